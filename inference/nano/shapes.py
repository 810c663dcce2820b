"""Outlines of the things in the drawn world, as signed distances. Pure numpy."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

Outline = Callable[[Array, Array], Array]
"""Negative inside; x to the right and y up, about -1..1 across the thing."""


def _ball(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.95


def _square(x: Array, y: Array) -> Array:
    return np.maximum(abs(x), abs(y)) - 0.82


def _diamond(x: Array, y: Array) -> Array:
    return (abs(x) * 1.2 + abs(y) - 1.05) * 0.65


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(-y - 0.75, 0.86 * abs(x) + 0.5 * y - 0.5)


def _star(x: Array, y: Array) -> Array:
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    point = 2 * np.pi / 5
    folded = abs((angle + point / 2) % point - point / 2)
    along, across = radius * np.cos(folded), radius * np.sin(folded)
    notch = 0.42 * np.array([np.cos(point / 2), np.sin(point / 2)])
    normal = np.array([notch[1], 1.1 - notch[0]]) / np.hypot(notch[1], 1.1 - notch[0])
    return (along - 1.1) * np.float32(normal[0]) + across * np.float32(normal[1])


def _ring(x: Array, y: Array) -> Array:
    return abs(np.hypot(x, y) - 0.72) - 0.27


def _heart(x: Array, y: Array) -> Array:
    return np.hypot(x, y + 0.15 - 0.6 * np.sqrt(abs(x))) - 0.9


def _moon(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 0.95, 0.75 - np.hypot(x - 0.5, y - 0.2))


def _cloud(x: Array, y: Array) -> Array:
    puffs = ((-0.6, -0.1, 0.4), (0.0, 0.15, 0.6), (0.6, -0.1, 0.42))
    top = np.minimum.reduce([np.hypot(x - a, y - b) - radius for a, b, radius in puffs])
    return np.maximum(top, -y - 0.35)


def _tree(x: Array, y: Array) -> Array:
    crown = np.maximum(-y - 0.35, 0.8 * abs(x) + 0.6 * y - 0.6)
    trunk = np.maximum(abs(x) - 0.2, abs(y + 0.6) - 0.4)
    return np.minimum(crown, trunk)


def _house(x: Array, y: Array) -> Array:
    walls = np.maximum(abs(x) - 0.7, abs(y + 0.4) - 0.5)
    roof = np.maximum(-y + 0.05, 0.65 * abs(x) + 0.75 * y - 0.7)
    return np.minimum(walls, roof)


def _fish(x: Array, y: Array) -> Array:
    body = (np.hypot((x - 0.2) / 0.8, y / 0.5) - 1) * 0.5
    tail = np.maximum(x + 0.4, abs(y) * 0.8 + (x + 0.4) * 0.6)
    return np.minimum(body, np.maximum(tail, -x - 1))


def _boat(x: Array, y: Array) -> Array:
    hull = np.maximum(abs(y + 0.55) - 0.25, abs(x) - 0.75 - (y + 0.55) * 0.6)
    sail = np.maximum(-y - 0.2, np.maximum(-x - 0.1, 0.75 * x + 0.65 * y - 0.55))
    return np.minimum(hull, sail)


def _sun(x: Array, y: Array) -> Array:
    rays = np.cos(8 * np.arctan2(y, x))
    return np.hypot(x, y) - 0.78 - 0.2 * rays


OUTLINES: MappingProxyType[str, Outline] = MappingProxyType(
    {
        "ball": _ball,
        "square": _square,
        "triangle": _triangle,
        "star": _star,
        "ring": _ring,
        "heart": _heart,
        "diamond": _diamond,
        "moon": _moon,
        "cloud": _cloud,
        "tree": _tree,
        "house": _house,
        "fish": _fish,
        "boat": _boat,
        "sun": _sun,
    }
)
"""Every thing of the drawn world by its name."""
