"""Outlines of simple things, as signed distance functions. Pure numpy."""

from __future__ import annotations

from functools import reduce
from types import MappingProxyType

import numpy as np

from benchmarks.training.world.silhouettes import SILHOUETTES, Array, Outline, whole


def _both(one: Array, other: Array) -> Array:
    """Return the intersection of two outlines."""
    inside: Array = np.maximum(one, other)
    return inside


def _either(one: Array, other: Array) -> Array:
    """Return the union of two outlines."""
    inside: Array = np.minimum(one, other)
    return inside


def _ball(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.95


def _square(x: Array, y: Array) -> Array:
    return _both(abs(x), abs(y)) - 0.82


def _diamond(x: Array, y: Array) -> Array:
    return (abs(x) * 1.2 + abs(y) - 1.05) * 0.65


def _triangle(x: Array, y: Array) -> Array:
    return _both(-y - 0.75, 0.86 * abs(x) + 0.5 * y - 0.5)


def _star(x: Array, y: Array) -> Array:
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    point = 2 * np.pi / 5
    folded = abs((angle + point / 2) % point - point / 2)
    along, across = radius * np.cos(folded), radius * np.sin(folded)
    notch = 0.42 * np.array([np.cos(point / 2), np.sin(point / 2)])
    normal = np.array([notch[1], 1.1 - notch[0]]) / np.hypot(notch[1], 1.1 - notch[0])
    distance: Array = (along - 1.1) * normal[0] + across * normal[1]
    return distance


def _ring(x: Array, y: Array) -> Array:
    return abs(np.hypot(x, y) - 0.72) - 0.27


def _heart(x: Array, y: Array) -> Array:
    return np.hypot(x, y + 0.15 - 0.6 * np.sqrt(abs(x))) - 0.9


def _moon(x: Array, y: Array) -> Array:
    return _both(np.hypot(x, y) - 0.95, 0.75 - np.hypot(x - 0.5, y - 0.2))


def _cloud(x: Array, y: Array) -> Array:
    puffs = ((-0.6, -0.1, 0.4), (0.0, 0.15, 0.6), (0.6, -0.1, 0.42))
    top = reduce(_either, (np.hypot(x - a, y - b) - radius for a, b, radius in puffs))
    return _both(top, -y - 0.35)


def _tree(x: Array, y: Array) -> Array:
    crown = _both(-y - 0.35, 0.8 * abs(x) + 0.6 * y - 0.6)
    trunk = _both(abs(x) - 0.2, abs(y + 0.6) - 0.4)
    return _either(crown, trunk)


def _house(x: Array, y: Array) -> Array:
    walls = _both(abs(x) - 0.7, abs(y + 0.4) - 0.5)
    roof = _both(-y + 0.05, 0.65 * abs(x) + 0.75 * y - 0.7)
    return _either(walls, roof)


def _fish(x: Array, y: Array) -> Array:
    body = (np.hypot((x - 0.2) / 0.8, y / 0.5) - 1) * 0.5
    tail = _both(x + 0.4, abs(y) * 0.8 + (x + 0.4) * 0.6)
    return _either(body, _both(tail, -x - 1))


def _boat(x: Array, y: Array) -> Array:
    hull = _both(abs(y + 0.55) - 0.25, abs(x) - 0.75 - (y + 0.55) * 0.6)
    sail = _both(-y - 0.2, _both(-x - 0.1, 0.75 * x + 0.65 * y - 0.55))
    return _either(hull, sail)


def _sun(x: Array, y: Array) -> Array:
    rays: Array = np.cos(8 * np.arctan2(y, x))
    return np.hypot(x, y) - 0.8 - 0.22 * rays


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
        **{name: whole(parts) for name, parts in SILHOUETTES.items()},
    }
)
"""Outlines of all things by name."""
