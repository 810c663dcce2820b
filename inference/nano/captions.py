"""What a person might type for a scene, and which scenes nano learns from. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from inference.nano.backgrounds import PLACES
from inference.nano.scenes import (
    COLOURS,
    HIDING,
    MOTION_LEVELS,
    STRAIGHT_MOVES,
    Move,
    Scene,
    is_held_out,
)
from inference.nano.shapes import OUTLINES
from inference.opensora.controls import Aesthetic, Camera, Motion
from inference.opensora.prompts import suffix

Choice = TypeVar("Choice")

_THINGS = MappingProxyType(
    {
        "ball": ("ball", "ball", "circle", "sphere"),
        "square": ("square", "square", "box", "cube"),
        "ring": ("ring", "ring", "hoop"),
        "tree": ("tree", "tree", "fir tree"),
        "house": ("house", "house", "hut"),
        "boat": ("boat", "boat", "sailing boat"),
        "moon": ("moon", "moon", "crescent"),
    }
)
_PLACES = MappingProxyType(
    {
        "snow": ("in the snow", "in snow", "on a snowy field", "in a snowy landscape", "in winter"),
        "night": ("in the night sky", "at night", "under the stars", "in space"),
        "sunset": ("at sunset", "in the sunset", "in the evening", "in front of a sunset"),
        "meadow": ("on a meadow", "on green grass", "in a green field", "in a park"),
        "sky": ("in the blue sky", "in the sky", "among the clouds"),
        "city": ("in the city at night", "over a city", "above city lights", "in the city"),
        "desert": ("in the desert", "over sand dunes", "on the sand"),
        "sea": ("on the sea", "by the ocean", "on the water", "over the waves"),
        "checkerboard": ("on a checkerboard", "on a chessboard", "on grey tiles"),
    }
)
_ACTIONS = ("moving", "moving", "moving", "going", "flying", "sliding", "drifting", "rolling")
_WAYS = MappingProxyType(
    {
        Move.LEFT: ("to the left", "to the left", "left", "towards the left"),
        Move.RIGHT: ("to the right", "to the right", "right", "towards the right"),
        Move.UP: ("up", "up", "upwards", "to the top"),
        Move.DOWN: ("down", "down", "downwards", "to the bottom"),
    }
)
_PHRASES = MappingProxyType(
    {
        Move.STILL: ("standing still", "resting", "not moving"),
        Move.BOUNCE: ("bouncing", "jumping", "bouncing up and down"),
        Move.CIRCLE: ("circling", "moving in a circle", "going round"),
        Move.GROW: ("growing", "getting bigger", "coming closer"),
        Move.SHRINK: ("shrinking", "getting smaller", "going away"),
    }
)
_OTHERS = MappingProxyType(
    {"thing": OUTLINES, "colour": COLOURS, "place": PLACES, "motion": MOTION_LEVELS}
)
_PAIRS = (
    (Move.LEFT, Move.RIGHT),
    (Move.UP, Move.DOWN),
    (Camera.PAN_LEFT, Camera.PAN_RIGHT),
    (Camera.TILT_UP, Camera.TILT_DOWN),
    (Camera.ZOOM_IN, Camera.ZOOM_OUT),
)
_OPPOSITES = MappingProxyType(dict(_PAIRS) | {second: first for first, second in _PAIRS})
_OPENINGS = ("a video of", "a cartoon of", "a beautiful picture of", "we see", "there is")
_DISTRACTORS = (
    ", cinematic",
    ", high quality",
    ", beautiful light, 4k",
    ", made for my friend",
    ", very detailed",
    ", while the music plays",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A prompt, and the suffix that the product would append to it."""

    prompt: str
    suffix: str


def describe(scene: Scene, random: np.random.Generator, *, image: bool = False) -> Caption:
    """Put a scene into words; some captions leave something out, some say too much.

    The same state of `random` gives the same words for whatever the scene does not change.

    Args:
        scene: What to describe.
        random: Chooses the words.
        image: Leave out all that moves.
    """
    choose = _Chooser(random)
    opening = choose(_OPENINGS) + " " if choose.chance(0.12) else ""
    article = "an" if scene.colour[0] in "aeiou" else "a"
    subject = f"{choose((article, article, article, 'the', 'one'))} {_name(scene, choose)}"
    where, phrase = choose(_PLACES[scene.place]), _phrase(scene, choose)
    silent_move, silent_place, place_first = (choose.chance(p) for p in (0.06, 0.06, 0.08))
    parts = [subject]
    if not (image or silent_move):
        parts.append(phrase)
    if not silent_place:
        parts.insert(0 if place_first else len(parts), where + "," * place_first)
    ending = choose(_DISTRACTORS) if choose.chance(0.15) else ""
    prompt = opening + " ".join(parts) + ending + choose(("", "", "."))
    return Caption(prompt=prompt, suffix=suffix_of(prompt, scene, image=image))


def brief(scene: Scene, random: np.random.Generator, *, image: bool = False) -> Caption:
    """Put one thing about a scene into a few words, most often how it moves.

    What is small in the picture drowns in captions that also say what is large.
    """
    choose = _Chooser(random)
    said, phrase = [_name(scene, choose), choose(_PLACES[scene.place])], _phrase(scene, choose)
    if not image:
        said += [phrase, phrase, f"something {phrase}", f"a thing {phrase}"]
    prompt = choose(said)
    return Caption(prompt=prompt, suffix=suffix_of(prompt, scene, image=image))


def plain(scene: Scene) -> Caption:
    """Put all of a scene into the words that are the most usual for it."""
    article = "an" if scene.colour[0] in "aeiou" else "a"
    way = _WAYS.get(scene.move)
    phrase = f"moving {way[0]}" if way else _PHRASES[scene.move][0]
    prompt = f"{article} {scene.colour} {scene.thing} {phrase} {_PLACES[scene.place][0]}"
    return Caption(prompt=prompt, suffix=suffix_of(prompt, scene))


def contradicted(scene: Scene, attribute: str) -> Scene | None:
    """Change one field of a scene, to the opposite if it has one; None if it has none to change.

    Moves other than the four straight ones, no camera and no level of motion have none.
    """
    value = getattr(scene, attribute)
    if attribute in _OTHERS:
        names = list(_OTHERS[attribute])
        if value not in names:
            return None
        change: dict[str, Any] = {attribute: names[(names.index(value) + 4) % len(names)]}
        return replace(scene, **change)
    if value not in _OPPOSITES:
        return None
    change = {attribute: _OPPOSITES[value]}
    return replace(scene, **change)


def _name(scene: Scene, choose: _Chooser) -> str:
    return f"{scene.colour} {choose(_THINGS.get(scene.thing, (scene.thing,)))}"


def _phrase(scene: Scene, choose: _Chooser) -> str:
    """Say what the thing does."""
    if scene.move in _WAYS:
        return f"{choose(_ACTIONS)} {choose(_WAYS[scene.move])}"
    return choose(_PHRASES[scene.move])


def suffix_of(prompt: str, scene: Scene, *, image: bool = False) -> str:
    """Say a scene's levels and camera the way the product does."""
    moving = not image
    return suffix(
        prompt,
        aesthetic=None if scene.aesthetic is Aesthetic.OFF else scene.aesthetic.value,
        motion=scene.motion.value if moving and scene.motion is not Motion.OFF else None,
        camera=scene.camera.value if moving and scene.camera is not Camera.NONE else None,
    )


def draw_scene(random: np.random.Generator, *, held_out: bool = False) -> Scene:
    """Draw a scene to learn from, or with `held_out` one that training never shows.

    Defaults of the product (fair motion, excellent, no camera) are the most frequent.
    """
    choose = _Chooser(random)
    while True:
        thing, colour, place = choose(list(OUTLINES)), choose(list(COLOURS)), choose(list(PLACES))
        if (colour, place) not in HIDING and is_held_out(colour, thing) == held_out:
            break
    camera = Camera.NONE
    if choose.chance(0.35):
        camera = choose([camera for camera in Camera if camera is not Camera.NONE])
    others = (Move.STILL, Move.BOUNCE, Move.CIRCLE, Move.GROW, Move.SHRINK)
    move = choose(STRAIGHT_MOVES) if choose.chance(0.75) else choose(others)
    if camera not in (Camera.NONE, Camera.STATIC) and choose.chance(0.8):
        move = Move.STILL
    return Scene(
        thing=thing,
        colour=colour,
        place=place,
        move=move,
        motion=Motion.FAIR if choose.chance(0.4) else choose(list(Motion)),
        camera=camera,
        aesthetic=Aesthetic.EXCELLENT if choose.chance(0.75) else choose(list(Aesthetic)),
        seed=int(random.integers(2**31)),
    )


class _Chooser:
    """Uniform choices from one generator; every question advances it equally."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def __call__(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self._random.random() * len(choices))]

    def chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)
