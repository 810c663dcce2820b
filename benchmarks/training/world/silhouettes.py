"""Silhouettes of frequently requested things, from simple parts in up to three tones. Pure numpy.

There are no parts that are too small for the model: legs and wings, but no eyes or whiskers. Most
things face right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Point = tuple[float, float]

Outline = Callable[[Array, Array], Array]
"""Signed distance function, negative inside; x right, y up, about -1..1 across the thing."""


class Tone(Enum):
    """Tone of a part, relative to the colour of its thing."""

    BODY = "body"
    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a silhouette: an outline and its tone."""

    outline: Outline
    tone: Tone = Tone.BODY


def _oval(centre: Point, width: float, height: float, tilt: float = 0.0) -> Outline:
    """Return an ellipse with two half axes, rotated counter-clockwise by an angle in radians."""
    cosine, sine = np.cos(tilt), np.sin(tilt)

    def outline(x: Array, y: Array) -> Array:
        right, up = x - centre[0], y - centre[1]
        along, across = right * cosine + up * sine, up * cosine - right * sine
        inside: Array = (np.hypot(along / width, across / height) - 1) * min(width, height)
        return inside

    return outline


def _limb(start: Point, end: Point, radius: float) -> Outline:
    """Return a line with round ends."""
    way = np.subtract(end, start)

    def outline(x: Array, y: Array) -> Array:
        right, up = x - start[0], y - start[1]
        share = np.clip((right * way[0] + up * way[1]) / (way @ way), 0, 1)
        inside: Array = np.hypot(right - share * way[0], up - share * way[1]) - radius
        return inside

    return outline


def _polygon(*corners: Point) -> Outline:
    """Return a convex polygon with its corners in counter-clockwise order."""
    pairs = tuple(zip(corners, (*corners[1:], corners[0]), strict=True))

    def outline(x: Array, y: Array) -> Array:
        sides = []
        for (x0, y0), (x1, y1) in pairs:
            length = np.hypot(x1 - x0, y1 - y0)
            sides.append(((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) / length)
        inside: Array = reduce(np.maximum, sides)
        return inside

    return outline


def _box(left: float, bottom: float, right: float, top: float) -> Outline:
    return _polygon((left, bottom), (right, bottom), (right, top), (left, top))


_FOX = (
    Part(_limb((-0.45, -0.05), (-0.95, 0.3), 0.2)),
    Part(_oval((-1.0, 0.38), 0.17, 0.14, 0.7), Tone.LIGHT),
    Part(_oval((-0.05, -0.12), 0.55, 0.25)),
    Part(_polygon((0.2, 0.0), (0.45, -0.12), (1.1, 0.08), (0.7, 0.42), (0.4, 0.4))),
    Part(_polygon((0.36, 0.3), (0.6, 0.38), (0.4, 0.88))),
    Part(_polygon((0.58, 0.36), (0.8, 0.3), (0.74, 0.82))),
    Part(_oval((0.5, -0.12), 0.2, 0.15), Tone.LIGHT),
    Part(_limb((-0.45, -0.25), (-0.6, -0.8), 0.09), Tone.DARK),
    Part(_limb((-0.25, -0.3), (-0.2, -0.8), 0.09), Tone.DARK),
    Part(_limb((0.25, -0.3), (0.2, -0.8), 0.09), Tone.DARK),
    Part(_limb((0.4, -0.25), (0.6, -0.75), 0.09), Tone.DARK),
)

_CAT = (
    Part(_limb((-0.4, -0.7), (-0.85, -0.35), 0.1)),
    Part(_limb((-0.85, -0.35), (-0.8, 0.3), 0.1)),
    Part(_oval((-0.02, -0.45), 0.46, 0.5)),
    Part(_oval((0.1, 0.35), 0.48, 0.4)),
    Part(_polygon((-0.36, 0.4), (0.02, 0.66), (-0.34, 1.05))),
    Part(_polygon((0.18, 0.66), (0.56, 0.4), (0.54, 1.05))),
    Part(_oval((0.08, -0.5), 0.2, 0.32), Tone.LIGHT),
    Part(_oval((0.1, 0.2), 0.2, 0.12), Tone.LIGHT),
)

_DOG = (
    Part(_limb((-0.65, 0.05), (-0.95, 0.55), 0.1)),
    Part(_polygon((-0.75, -0.35), (0.45, -0.35), (0.5, 0.15), (-0.75, 0.12))),
    Part(_limb((0.4, 0.1), (0.5, 0.4), 0.25)),
    Part(_oval((0.55, 0.5), 0.34, 0.3)),
    Part(_polygon((0.6, 0.2), (1.1, 0.2), (1.1, 0.48), (0.6, 0.6))),
    Part(_oval((0.32, 0.42), 0.13, 0.36, -0.2), Tone.DARK),
    *(Part(_limb((x, -0.3), (x, -0.85), 0.12)) for x in (-0.62, -0.34, 0.1, 0.36)),
    Part(_oval((1.05, 0.44), 0.1, 0.09), Tone.DARK),
)

_BIRD = (
    Part(_polygon((-0.45, -0.05), (-1.1, -0.3), (-1.05, 0.1))),
    Part(_oval((-0.02, 0.0), 0.58, 0.28, 0.15)),
    Part(_oval((0.55, 0.28), 0.26, 0.25)),
    Part(_polygon((0.72, 0.18), (1.1, 0.26), (0.74, 0.42)), Tone.DARK),
    Part(_polygon((-0.3, 0.05), (0.25, 0.08), (-0.45, 1.05)), Tone.LIGHT),
    Part(_polygon((-0.22, -0.1), (0.18, -0.08), (-0.45, -0.8)), Tone.DARK),
)

_HORSE = (
    Part(_limb((-0.65, 0.05), (-0.92, -0.45), 0.12), Tone.DARK),
    Part(_oval((-0.15, 0.0), 0.58, 0.27)),
    Part(_limb((0.3, 0.1), (0.55, 0.7), 0.2)),
    Part(_limb((0.55, 0.78), (0.88, 0.5), 0.14)),
    Part(_polygon((0.4, 0.8), (0.6, 0.85), (0.5, 1.1))),
    Part(_limb((0.1, 0.28), (0.38, 0.85), 0.09), Tone.DARK),
    Part(_limb((-0.55, -0.1), (-0.65, -0.95), 0.09)),
    Part(_limb((-0.38, -0.1), (-0.3, -0.95), 0.09)),
    Part(_limb((0.2, -0.1), (0.15, -0.95), 0.09)),
    Part(_limb((0.34, -0.1), (0.46, -0.95), 0.09)),
)

_CAR = (
    Part(_box(-1.05, -0.4, 1.05, 0.05)),
    Part(_polygon((-0.65, 0.0), (0.6, 0.0), (0.3, 0.5), (-0.45, 0.5))),
    Part(_polygon((-0.47, 0.06), (-0.07, 0.06), (-0.07, 0.4), (-0.36, 0.4)), Tone.LIGHT),
    Part(_polygon((0.07, 0.06), (0.42, 0.06), (0.24, 0.4), (0.07, 0.4)), Tone.LIGHT),
    Part(_oval((-0.58, -0.42), 0.27, 0.27), Tone.DARK),
    Part(_oval((0.58, -0.42), 0.27, 0.27), Tone.DARK),
)

_TRAIN = (
    Part(_box(-1.05, -0.45, -0.3, 0.65)),
    Part(_box(-0.4, -0.45, 1.0, 0.18)),
    Part(_box(0.55, 0.1, 0.8, 0.6)),
    Part(_box(-1.15, 0.55, -0.2, 0.72), Tone.DARK),
    Part(_box(-0.88, 0.05, -0.5, 0.42), Tone.LIGHT),
    *(Part(_oval((x, -0.55), 0.21, 0.21), Tone.DARK) for x in (-0.75, -0.2, 0.3, 0.78)),
)

_ROCKET = (
    Part(_polygon((-0.3, -0.5), (-0.3, 0.05), (-0.7, -0.75)), Tone.DARK),
    Part(_polygon((0.3, 0.05), (0.3, -0.5), (0.7, -0.75)), Tone.DARK),
    Part(_polygon((-0.2, -0.55), (0.0, -1.1), (0.2, -0.55)), Tone.LIGHT),
    Part(_box(-0.34, -0.6, 0.34, 0.4)),
    Part(_polygon((-0.34, 0.38), (0.34, 0.38), (0.12, 0.9), (0.0, 1.1), (-0.12, 0.9))),
    Part(_oval((0.0, 0.15), 0.18, 0.18), Tone.LIGHT),
)

_PLANE = (
    Part(_polygon((-0.2, 0.1), (-0.5, 0.75), (-0.28, 0.75), (0.32, 0.1)), Tone.DARK),
    Part(_polygon((-1.05, 0.05), (-0.6, 0.05), (-0.85, 0.65), (-1.1, 0.65))),
    Part(_limb((-0.85, 0.0), (0.85, 0.0), 0.22)),
    Part(_polygon((-0.2, -0.02), (-0.65, -0.8), (-0.4, -0.8), (0.35, -0.02)), Tone.DARK),
    Part(_oval((0.78, 0.08), 0.18, 0.1), Tone.LIGHT),
)

_FLOWER = (
    Part(_limb((0.0, 0.0), (0.0, -1.0), 0.09), Tone.DARK),
    Part(_oval((0.3, -0.65), 0.3, 0.14, 0.6), Tone.DARK),
    *(
        Part(_oval((0.42 * np.sin(turn), 0.4 + 0.42 * np.cos(turn)), 0.27, 0.27))
        for turn in 2 * np.pi / 5 * np.arange(5)
    ),
    Part(_oval((0.0, 0.4), 0.24, 0.24), Tone.LIGHT),
)


def _cap(x: Array, y: Array) -> Array:
    dome: Array = np.maximum(_oval((0.0, 0.05), 0.98, 0.9)(x, y), 0.05 - y)
    return dome


_MUSHROOM = (
    Part(_polygon((-0.3, -0.9), (0.3, -0.9), (0.22, 0.15), (-0.22, 0.15)), Tone.LIGHT),
    Part(_cap),
    Part(_oval((-0.42, 0.35), 0.17, 0.15), Tone.LIGHT),
    Part(_oval((0.1, 0.6), 0.18, 0.16), Tone.LIGHT),
    Part(_oval((0.5, 0.28), 0.15, 0.14), Tone.LIGHT),
)

_PERSON = (
    Part(_oval((0.0, 0.72), 0.27, 0.29), Tone.LIGHT),
    Part(_limb((-0.26, 0.26), (-0.56, -0.22), 0.11)),
    Part(_limb((0.26, 0.26), (0.56, -0.22), 0.11)),
    Part(_polygon((-0.28, -0.25), (0.28, -0.25), (0.34, 0.4), (-0.34, 0.4))),
    Part(_limb((-0.14, -0.25), (-0.26, -0.98), 0.14), Tone.DARK),
    Part(_limb((0.14, -0.25), (0.26, -0.98), 0.14), Tone.DARK),
)

SILHOUETTES: MappingProxyType[str, tuple[Part, ...]] = MappingProxyType(
    {
        "fox": _FOX,
        "cat": _CAT,
        "dog": _DOG,
        "bird": _BIRD,
        "horse": _HORSE,
        "car": _CAR,
        "train": _TRAIN,
        "rocket": _ROCKET,
        "plane": _PLANE,
        "flower": _FLOWER,
        "mushroom": _MUSHROOM,
        "person": _PERSON,
    }
)
"""Parts of things by name, from back to front."""

FACING = frozenset(("fox", "cat", "dog", "bird", "horse", "car", "train", "plane"))
"""Things that face the direction of their motion."""


def whole(parts: tuple[Part, ...]) -> Outline:
    """Return the union of all parts' outlines."""

    def outline(x: Array, y: Array) -> Array:
        inside: Array = reduce(np.minimum, (part.outline(x, y) for part in parts))
        return inside

    return outline
