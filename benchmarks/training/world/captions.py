"""Captions of scenes, as people might type them, and sampling of training scenes. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from benchmarks.training.world.backgrounds import COLOURS, PLACES, PLAIN, UNNAMED
from benchmarks.training.world.scenes import (
    HIDING,
    MOTION_LEVELS,
    STRAIGHT_MOVES,
    Move,
    Scene,
    is_held_out,
)
from benchmarks.training.world.shapes import OUTLINES
from benchmarks.training.world.silhouettes import SILHOUETTES
from benchmarks.training.world.words import (
    DIRECTED,
    HARMLESS,
    MOVES,
    ODD_ADJECTIVES,
    ODD_ENDINGS,
    ODD_LINKS,
    ODD_WORDS,
    OPENINGS,
    SYLLABLES,
    THINGS,
    UNDIRECTED,
    USUAL_COLOURS,
    WHERE,
    plural,
)
from inference.opensora.controls import Aesthetic, Camera, Motion
from inference.opensora.prompts import suffix

Choice = TypeVar("Choice")

_OTHERS = MappingProxyType(
    {"thing": OUTLINES, "colour": COLOURS, "place": WHERE, "motion": MOTION_LEVELS}
)
_PAIRS = (
    (Move.LEFT, Move.RIGHT),
    (Move.UP, Move.DOWN),
    (Camera.PAN_LEFT, Camera.PAN_RIGHT),
    (Camera.TILT_UP, Camera.TILT_DOWN),
    (Camera.ZOOM_IN, Camera.ZOOM_OUT),
)
_MADE_UP_SHARE = 0.4
"""Share of added words that are in no dictionary."""

_PLAIN_SHARE = 0.4
"""Share of scenes with a plain background or the default place, which are frequent requests."""

_UNNAMED_FACTOR = 4
"""Frequency of the default place, relative to that of each plain background."""

_USUAL_SHARE = 0.1
"""Share of scenes in which the thing has its default colour."""

_UNTOLD_SHARE = 0.5
"""Share of captions that do not say of a still thing that it is still. Captions always name a
motion: were it left out of some, those without one would mean all motions at once."""

_THINGS = (*OUTLINES, *SILHOUETTES)
"""Things by frequency: those with tones and finer outlines are harder, and twice as frequent."""

_CAMERAS = (*(one for one in Camera if one is not Camera.NONE), Camera.ZOOM_IN, Camera.ZOOM_OUT)
"""Camera moves by frequency: zooms, which move the least of a picture, twice."""

_OPPOSITES = MappingProxyType(dict(_PAIRS) | {second: first for first, second in _PAIRS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A prompt with the suffix that a request's options would append."""

    prompt: str
    suffix: str


def describe(scene: Scene, random: np.random.Generator, *, image: bool = False) -> Caption:
    """Describe a scene; some captions omit details, and some have superfluous words.

    With the same state of `random`, scenes that differ in one field get the same words for all
    others.

    Args:
        scene: The scene.
        random: Generator that chooses the words.
        image: Leave out motion and camera.
    """
    choose = _Chooser(random)
    opening = choose(OPENINGS) + " " if choose.chance(0.12) else ""
    subject = _subject(scene, choose)
    where, phrase = _where(scene, choose), _phrase(scene, choose)
    untold, silent_place, place_first = (choose.chance(p) for p in (_UNTOLD_SHARE, 0.03, 0.08))
    parts = [subject]
    if not (image or (untold and scene.move is Move.STILL)):
        parts.append(phrase)
    if where and not silent_place:
        parts.insert(0 if place_first else len(parts), where + "," * place_first)
    odd = choose(ODD_ENDINGS)
    if choose.chance(0.12):
        parts.append(odd)
    ending = choose(HARMLESS) if choose.chance(0.15) else ""
    prompt = opening + " ".join(parts) + ending + choose(("", "", "."))
    return Caption(prompt=prompt, suffix=suffix_of(prompt, scene, image=image))


def brief(scene: Scene, random: np.random.Generator, *, image: bool = False) -> Caption:
    """Describe one aspect of a scene in a few words, most often its motion.

    Small details have little effect on training in captions that also name large ones.
    """
    choose = _Chooser(random)
    subject, phrase = f"{scene.colour} {choose(THINGS[scene.thing])}", _phrase(scene, choose)
    still = image or scene.move is Move.STILL
    said = [subject] if still else [f"{subject} {phrase}"]
    if still and scene.place != UNNAMED:
        said.append(_where(scene, choose))
    if not image:
        said += [phrase, phrase, f"something {phrase}", f"a thing {phrase}"]
    prompt = choose(said)
    return Caption(prompt=prompt, suffix=suffix_of(prompt, scene, image=image))


def distracted(caption: Caption, random: np.random.Generator) -> Caption:
    """Add words to a prompt that say nothing about a scene: unknown ones, and made-up ones."""
    choose = _Chooser(random)
    words = [
        "".join(choose(SYLLABLES) for _ in range(choose((2, 2, 3))))
        if choose.chance(_MADE_UP_SHARE)
        else choose(ODD_WORDS)
        for _ in range(choose((1, 2, 2, 3)))
    ]
    odd = " ".join(f"{choose(ODD_LINKS)} {word}" for word in words)
    return replace(caption, prompt=f"{caption.prompt.rstrip('.')} {odd}")


def plain(scene: Scene) -> Caption:
    """Describe a whole scene with the most usual words."""
    article = "an" if scene.colour[0] in "aeiou" else "a"
    where = "" if scene.place == UNNAMED else f" {WHERE[scene.place][0]}"
    prompt = f"{article} {scene.colour} {scene.thing} {MOVES[scene.move][0]}{where}"
    return Caption(prompt=prompt, suffix=suffix_of(prompt, scene))


def contradicted(scene: Scene, attribute: str) -> Scene | None:
    """Return a scene with one field changed, to its opposite if it has one; None if not possible.

    It is not possible for moves other than the four straight ones, without a camera, and without a
    level of motion.
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


def _subject(scene: Scene, choose: _Chooser) -> str:
    """Name the thing, mostly with its colour, sometimes in the plural or with extra words."""
    noun, article = choose(THINGS[scene.thing]), choose(("a", "a", "a", "the", "one"))
    several, odd = choose(("", "some ", "two ")), choose(ODD_ADJECTIVES)
    plurals, silent, too_many = (choose.chance(p) for p in (0.08, 0.35, 0.12))
    words = [plural(noun) if plurals else noun]
    if not (silent and USUAL_COLOURS.get(scene.thing) == scene.colour):
        words.insert(0, scene.colour)
    if too_many:
        words.insert(0, odd)
    name = " ".join(words)
    if plurals:
        return several + name
    return ("an " if article == "a" and name[0] in "aeiou" else f"{article} ") + name


def _where(scene: Scene, choose: _Chooser) -> str:
    """Name the place; empty for the default place."""
    return choose(WHERE.get(scene.place, ("",)))


def _phrase(scene: Scene, choose: _Chooser) -> str:
    """Describe the motion of the thing."""
    way = choose(DIRECTED.get(scene.move, MOVES[scene.move]))
    silent, undirected = choose.chance(0.2), choose(UNDIRECTED.get(scene.move, (way,)))
    return undirected if silent else way


def suffix_of(prompt: str, scene: Scene, *, image: bool = False) -> str:
    """Return the prompt suffix for a scene's levels and camera, as for a request's options."""
    moving = not image
    return suffix(
        prompt,
        aesthetic=None if scene.aesthetic is Aesthetic.OFF else scene.aesthetic.value,
        motion=scene.motion.value if moving and scene.motion is not Motion.OFF else None,
        camera=scene.camera.value if moving and scene.camera is not Camera.NONE else None,
    )


def draw_scene(random: np.random.Generator, *, held_out: bool = False) -> Scene:
    """Sample a training scene, or with `held_out` one that is excluded from training.

    The default options (fair motion, excellent, no camera) are the most frequent.
    """
    choose = _Chooser(random)
    named = [place for place in PLACES if place not in PLAIN and place != UNNAMED]
    while True:
        thing, colour = choose(_THINGS), choose(list(COLOURS))
        if choose.chance(_USUAL_SHARE):
            colour = USUAL_COLOURS.get(thing, colour)
        place = choose(named)
        if choose.chance(_PLAIN_SHARE):
            place = choose([*PLAIN, *[UNNAMED] * _UNNAMED_FACTOR])
        if (colour, place) in HIDING or is_held_out(colour, thing) != held_out:
            continue
        # else a pair that is never seen would tell that the other colour must be the thing's
        if held_out or place not in PLAIN or not is_held_out(PLAIN[place], thing):
            break
    camera = Camera.NONE
    if choose.chance(0.35):
        camera = choose(_CAMERAS)
    curved = (Move.BOUNCE, Move.CIRCLE, Move.GROW, Move.SHRINK, Move.SPIN)
    others = (*[Move.STILL] * len(curved), *curved)
    move = choose(STRAIGHT_MOVES) if choose.chance(0.7) else choose(others)
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
    """Uniform choices from one generator; each choice advances it equally."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def __call__(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self._random.random() * len(choices))]

    def chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)
