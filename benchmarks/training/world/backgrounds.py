"""Backgrounds of scenes: functions from points of an infinite plane to colours. Pure numpy.

Every named place has details everywhere, of about the size of a thing, so that camera movement is
visible. Plain backgrounds have none, and the default for captions without a place has none either.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

COLOURS: MappingProxyType[str, Colour] = MappingProxyType(
    {
        "red": (0.92, 0.1, 0.1),
        "orange": (1.0, 0.52, 0.05),
        "yellow": (1.0, 0.9, 0.1),
        "green": (0.1, 0.72, 0.18),
        "blue": (0.1, 0.22, 0.95),
        "purple": (0.58, 0.12, 0.82),
        "pink": (1.0, 0.45, 0.72),
        "white": (1.0, 1.0, 1.0),
        "black": (0.04, 0.04, 0.04),
        "brown": (0.48, 0.27, 0.1),
    }
)
"""RGB colours of things and plain backgrounds, by name."""

UNNAMED = "unnamed"
"""Name of the default place, for captions without one."""

_UNNAMED_COLOUR = (0.72, 0.76, 0.8)

Place = Callable[[Array, Array, float], Array]
"""Maps points (x right, y up; a frame has height 2) and a phase to RGB 0..1 in a new last axis."""


def mix(low: Array | Colour, high: Array | Colour, share: Array) -> Array:
    """Blend colours: `low` where `share` is 0, `high` where it is 1 or more."""
    clipped = np.clip(share, 0, 1)[..., None].astype(np.float32)
    start, end = np.asarray(low, np.float32), np.asarray(high, np.float32)
    blended: Array = start + (end - start) * clipped
    return blended


def _edge(distance: Array) -> Array:
    """Return the antialiased coverage of the region with positive `distance`."""
    return distance * 10 + 0.5


def _ridge(x: Array, phase: float, roughness: float) -> Array:
    """Return the height of an aperiodic skyline."""
    waves = np.sin(x * 1.9 + phase) + 0.6 * np.sin(x * 4.3 + 2 * phase)
    peaks: Array = roughness * (waves + 0.4 * np.sin(x * 7.7 + 3 * phase))
    return peaks


def _scattered(x: Array, y: Array, phase: float, cells: float) -> Array:
    """Return the distance, in cells, to the dot at a pseudo-random position of each grid cell."""
    column, row = np.floor(x * cells), np.floor(y * cells)

    def spread(a: float, b: float) -> Array:
        noise: Array = np.modf(abs(np.sin(column * a + row * b + phase)) * 43758.5)[0]
        return noise * 0.6 + 0.2

    distance: Array = np.hypot(
        x * cells - column - spread(12.99, 78.23), y * cells - row - spread(39.35, 11.13)
    )
    return distance


def _snow(x: Array, y: Array, phase: float) -> Array:
    sky = mix((0.86, 0.93, 1.0), (0.45, 0.68, 0.95), y)
    peaks = mix(sky, (0.55, 0.6, 0.68), _edge(_ridge(x, phase, 0.16) - 0.05 - y))
    return mix(peaks, (0.95, 0.97, 1.0), _edge(-0.35 + 0.05 * np.sin(3 * x + phase) - y))


def _night(x: Array, y: Array, phase: float) -> Array:
    sky = mix((0.1, 0.08, 0.22), (0.02, 0.03, 0.1), (y + 1) / 2)
    return mix(sky, (1.0, 0.98, 0.85), 2 - 7 * _scattered(x, y, phase, 1.2))


def _sunset(x: Array, y: Array, phase: float) -> Array:
    sky = mix((1.0, 0.62, 0.28), (0.4, 0.22, 0.48), (y + 0.6) / 1.5)
    return mix(sky, (0.16, 0.08, 0.14), _edge(_ridge(x, phase, 0.1) - 0.62 - y))


def _meadow(x: Array, y: Array, phase: float) -> Array:
    sky = mix((0.8, 0.92, 1.0), (0.4, 0.68, 0.97), y)
    grass = mix((0.25, 0.62, 0.2), (0.12, 0.42, 0.12), 2 - 5 * _scattered(x, y, phase, 1.4))
    return mix(sky, grass, _edge(_ridge(x, phase, 0.06) - 0.2 - y))


def _sky(x: Array, y: Array, phase: float) -> Array:
    blue = mix((0.55, 0.8, 1.0), (0.2, 0.48, 0.92), (y + 1) / 2)
    clouds = np.sin(2.3 * x + phase) + np.sin(3.1 * y - 1.7 * x + 2 * phase) + np.sin(4.1 * y)
    return mix(blue, (0.97, 0.98, 1.0), clouds - 0.6)


def _city(x: Array, y: Array, phase: float) -> Array:
    sky = mix((0.36, 0.2, 0.38), (0.08, 0.07, 0.2), (y + 0.3) / 1.2)
    lit = mix((0.07, 0.06, 0.1), (1.0, 0.8, 0.4), 2.2 - 6 * _scattered(x, y, phase, 1.7))
    skyline = 0.35 * np.sin(np.floor(x * 2.5) * 5.7 + phase) - 0.15
    return mix(sky, lit, _edge(skyline - y))


def _desert(x: Array, y: Array, phase: float) -> Array:
    sky = mix((0.98, 0.92, 0.78), (0.5, 0.75, 0.92), y)
    far = mix(sky, (0.88, 0.68, 0.4), _edge(_ridge(x, phase, 0.1) - 0.1 - y))
    return mix(far, (0.76, 0.54, 0.28), _edge(_ridge(x, 2 * phase, 0.12) - 0.55 - y))


def _sea(x: Array, y: Array, phase: float) -> Array:
    sky = mix((0.9, 0.96, 1.0), (0.55, 0.8, 0.97), y)
    waves = np.sin(9 * y + 1.4 * np.sin(2.6 * x + phase)) * 0.9 + 0.4
    water = mix((0.05, 0.35, 0.6), (0.3, 0.62, 0.8), waves)
    return mix(sky, water, _edge(0.05 - y))


def _checkerboard(x: Array, y: Array, phase: float) -> Array:
    field = np.sin(np.pi * 1.7 * (x + phase)) * np.sin(np.pi * 1.7 * y)
    return mix((0.42, 0.42, 0.42), (0.86, 0.86, 0.84), field * 3 + 0.5)


def _plain(colour: Colour) -> Place:
    """Return a place with one colour."""

    def place(x: Array, _y: Array, _phase: float) -> Array:
        return np.broadcast_to(np.asarray(colour, np.float32), (*x.shape, 3))

    return place


PLAIN: MappingProxyType[str, str] = MappingProxyType(
    {f"plain {colour}": colour for colour in COLOURS}
)
"""Colours of plain backgrounds, by name."""

PLACES: MappingProxyType[str, Place] = MappingProxyType(
    {
        "snow": _snow,
        "night": _night,
        "sunset": _sunset,
        "meadow": _meadow,
        "sky": _sky,
        "city": _city,
        "desert": _desert,
        "sea": _sea,
        "checkerboard": _checkerboard,
        **{name: _plain(COLOURS[colour]) for name, colour in PLAIN.items()},
        UNNAMED: _plain(_UNNAMED_COLOUR),
    }
)
"""All places by name."""
