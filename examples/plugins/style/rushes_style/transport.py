"""Regularised optimal transport between two palettes (Cuturi 2013), as a smooth map of colours.

Outside the clip's palette the map is the entropic one of Pooladian and Niles-Weed (2021): a mean of
the picture's colours, weighted by how near they are and how much of each is left. So every result
lies among the picture's colours, and near colours have near results: no noise is brought out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from rushes_style.colour import Floats

SMOOTHNESS = 40.0
"""Squared distance in CIELAB over which colours are taken together."""
_COLOURS = 256
"""The most in a palette."""
_CELL = 7.0
"""Distance in CIELAB below which two pixels have one colour in a palette."""
_ROUNDS, _LAST_ROUNDS = 10, 40
"""Of Sinkhorn's algorithm: for each smoothness on the way, and for the last one."""
_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours with their shares of all pixels."""

    colours: Floats
    """CIELAB, [colours, 3]."""
    shares: Floats

    @classmethod
    def of(cls, pixels: Floats) -> Self:
        """Return the palette of pixels in CIELAB, [pixels, 3]."""
        cells = np.floor(pixels / _CELL).astype(np.int64)
        cells -= cells.min(0)
        count = cells.max(0) + 1
        key = (cells[:, 0] * count[1] + cells[:, 1]) * count[2] + cells[:, 2]
        _, cell, sizes = np.unique(key, return_inverse=True, return_counts=True)
        sums = [np.bincount(cell, pixels[:, axis]) for axis in range(3)]
        means = np.stack(sums, 1) / sizes[:, None]
        largest = np.argsort(-sizes, kind="stable")[:_COLOURS]
        shares = sizes[largest] / sizes[largest].sum()
        return cls(colours=means[largest].astype(np.float32), shares=shares.astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """The map from one palette to another."""

    colours: Floats
    """Of the palette that is aimed at."""
    weights: Floats
    """How strongly each attracts, as a logarithm."""

    @classmethod
    def between(cls, source: Palette, target: Palette) -> Self:
        """Find it, from a very smooth one to the one wanted."""
        cost = squared_distances(source.colours, target.colours)
        here, there = np.log(source.shares), np.log(target.shares)
        potential = np.zeros_like(target.shares)
        smoothness = 16 * SMOOTHNESS
        while True:
            last = smoothness <= SMOOTHNESS
            for _ in range(_LAST_ROUNDS if last else _ROUNDS):
                own = -_log_sum_exp(potential / smoothness + there - cost / smoothness)
                potential = -smoothness * _log_sum_exp(own + here - cost.T / smoothness)
            if last:
                return cls(colours=target.colours, weights=potential / SMOOTHNESS + there)
            smoothness /= 4

    def __call__(self, colours: Floats) -> Floats:
        """Return where colours [colours, 3] go."""
        moved = np.empty_like(colours)
        for start in range(0, len(colours), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            distances = squared_distances(colours[part], self.colours)
            pull = self.weights - distances / SMOOTHNESS
            pull -= pull.max(1, keepdims=True)
            np.exp(pull, out=pull)
            moved[part] = pull @ self.colours / pull.sum(1, keepdims=True)
        return moved


def squared_distances(some: Floats, others: Floats) -> Floats:
    """Return the squared distances of colours, [some, others]."""
    squared: Floats = (some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T
    return squared


def _log_sum_exp(values: Floats) -> Floats:
    """Return the logarithm of the sum of exponentials of each row, [rows]."""
    highest = values.max(1, keepdims=True)
    total: Floats = highest[:, 0] + np.log(np.exp(values - highest).sum(1))
    return total
