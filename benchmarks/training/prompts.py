"""Prompts for the evaluation of nano: held-out pairs, and sentences as people type them.

    python -m benchmarks.training.prompts   # prints every prompt with its seed

They are fixed, so that results of different weights can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.training.reporting import say
from benchmarks.training.world.backgrounds import COLOURS, PLAIN, UNNAMED
from benchmarks.training.world.captions import plain
from benchmarks.training.world.scenes import HIDING, STRAIGHT_MOVES, Move, Scene, is_held_out
from benchmarks.training.world.shapes import OUTLINES
from benchmarks.training.world.silhouettes import SILHOUETTES
from benchmarks.training.world.words import WHERE
from inference.opensora.controls import Aesthetic, Camera, Motion

COUNT = 104
"""Number of held-out questions: four for each thing."""

NEW_THINGS = frozenset(SILHOUETTES)
"""Things that were not in the first version of the weights."""

NAMED = tuple(place for place in WHERE if place not in PLAIN)
_BACKGROUNDS = (NAMED, tuple(PLAIN), NAMED, tuple(PLAIN), (UNNAMED,))

_FIRST_SEED = 7_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt with the scene that it describes."""

    prompt: str
    scene: Scene


def scene_of(
    thing: str, colour: str, place: str, move: Move = Move.STILL, *, seed: int = 3
) -> Scene:
    """Return a scene with default options for all other fields."""
    return Scene(
        thing=thing,
        colour=colour,
        place=place,
        move=move,
        motion=Motion.FAIR,
        camera=Camera.NONE,
        aesthetic=Aesthetic.EXCELLENT,
        seed=seed,
    )


def held_out(count: int) -> list[Question]:
    """Return questions about pairs of thing and colour that are held out from training.

    Things repeat in order; backgrounds and directions change with every round.
    """
    pairs = [(t, c) for t in OUTLINES for c in COLOURS if is_held_out(c, t)]
    questions = []
    for number in range(count):
        thing, colour = pairs[number % len(pairs)]
        some = _BACKGROUNDS[number % len(_BACKGROUNDS)]
        turn = number // len(_BACKGROUNDS)
        places = [some[(turn + step) % len(some)] for step in range(len(some))]
        place = next(one for one in places if (colour, one) not in HIDING)
        move = STRAIGHT_MOVES[(number + number // len(pairs)) % len(STRAIGHT_MOVES)]
        scene = scene_of(thing, colour, place, move, seed=_FIRST_SEED + number)
        questions.append(Question(plain(scene).prompt, scene))
    return questions


_TYPED = (
    ("a red fox running through snow", "fox", "red", "snow", Move.RIGHT),
    ("a black cat", "cat", "black", UNNAMED, Move.STILL),
    ("a blue car on a white background", "car", "blue", "plain white", Move.STILL),
    ("a white bird flying left in front of a red wall", "bird", "white", "plain red", Move.LEFT),
    ("A brown horse running in a meadow", "horse", "brown", "meadow", Move.RIGHT),
    ("a brown puppy on a plain yellow background", "dog", "brown", "plain yellow", Move.STILL),
    ("a red car driving through the desert", "car", "red", "desert", Move.RIGHT),
    ("a green train going left in the snow", "train", "green", "snow", Move.LEFT),
    ("white rocket taking off at night", "rocket", "white", "night", Move.UP),
    ("a yellow plane flying through the sky", "plane", "yellow", "sky", Move.RIGHT),
    ("pink flowers on a blue background", "flower", "pink", "plain blue", Move.STILL),
    ("a red mushroom on the grass", "mushroom", "red", "meadow", Move.STILL),
    ("a purple person walking through the snow", "person", "purple", "snow", Move.RIGHT),
    ("an orange ball falling on a black background", "ball", "orange", "plain black", Move.DOWN),
    ("a yellow star against a purple background", "star", "yellow", "plain purple", Move.STILL),
    ("a pink heart rising, in front of a white wall", "heart", "pink", "plain white", Move.UP),
    ("a green boat moving to the left on the water", "boat", "green", "sea", Move.LEFT),
    ("a red kitten walking left", "cat", "red", UNNAMED, Move.LEFT),
    ("a blue bird falling on a pink background", "bird", "blue", "plain pink", Move.DOWN),
    ("a white fox at sunset", "fox", "white", "sunset", Move.STILL),
    ("a white house on plain green", "house", "white", "plain green", Move.STILL),
    (
        "a black horse running left on a brown background",
        "horse",
        "black",
        "plain brown",
        Move.LEFT,
    ),
    ("a blue fish swimming on an orange background", "fish", "blue", "plain orange", Move.RIGHT),
    ("a purple rocket rising in the city", "rocket", "purple", "city", Move.UP),
)


def typed() -> list[Question]:
    """Return questions with sentences written by hand, not from the caption templates."""
    return [
        Question(prompt, scene_of(thing, colour, place, move, seed=_FIRST_SEED + 1000 + number))
        for number, (prompt, thing, colour, place, move) in enumerate(_TYPED)
    ]


def main() -> None:
    """Print every prompt with its seed."""
    for question in (*held_out(COUNT), *typed()):
        say(f"{question.scene.seed}\t{question.prompt}")


if __name__ == "__main__":
    main()
