"""Refinement of a transport: moves colours until the whole palette is that of the picture.

Transport pairs colours; where lightness cannot follow or large areas share one colour, the palette
that comes out still differs. Here it is compared along many directions of CIELAB (sliced optimal
transport, Bonneel et al. 2015), and colours move, lightness never. What moves them is smooth over
colours, so near colours have near results still.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from rushes_style.colour import Floats
from rushes_style.transport import Palette, Transport, squared_distances

_WIDTH = 25.0
"""Squared distance in CIELAB over which colours move together."""
_NEAR = 0.32
"""Share of the distance that may be left without a refinement."""
_ROUNDS = 40
_DIRECTIONS = 32
_QUANTILES = 512
_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """A transport, and what is added to its result."""

    transport: Transport
    places: Floats
    """Colours of the clip, before the transport, [colours, 3]."""
    pushes: Floats
    """How far each moves the colours around it, along a and b, [colours, 2]."""

    @classmethod
    def of(cls, transport: Transport, source: Palette, target: Palette) -> Self:
        """Find it.

        Args:
            transport: Maps the clip's colours, in the lightness that they will have.
            source: These colours.
            target: Those of the picture.
        """
        moved = transport(source.colours)[:, 1:]
        wanted = Quantiles(target, even_directions())
        near = _nearness(source.colours, source.colours)
        pushes = np.zeros_like(moved)
        for _ in range(_ROUNDS):
            now = np.concatenate([source.colours[:, :1], moved + near @ pushes], 1)
            pushes += wanted.steps(now, source.shares)[:, 1:]
        return cls(transport=transport, places=source.colours, pushes=pushes)

    def __call__(self, colours: Floats) -> Floats:
        """Return where colours [colours, 3] go; their lightness stays."""
        moved = self.transport(colours)
        moved[:, 0] = colours[:, 0]
        for start in range(0, len(colours), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            moved[part, 1:] += _nearness(colours[part], self.places) @ self.pushes
        return moved


class Quantiles:
    """A palette seen along directions: where each share of its pixels lies."""

    def __init__(self, palette: Palette, directions: Floats) -> None:
        self._directions = directions
        shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        self._sums = []
        for along in (palette.colours @ directions).T:
            order = along.argsort()
            ranks = palette.shares[order].cumsum() - palette.shares[order] / 2
            sums = np.interp(shares, ranks, along[order]).cumsum() / _QUANTILES
            self._sums.append(np.concatenate([[0.0], sums]))

    def steps(self, colours: Floats, shares: Floats) -> Floats:
        """Return how colours move to come nearer, on the average of all directions."""
        moves = np.stack(list(self._moves(colours, shares)))
        mean: Floats = moves.T @ self._directions.T * (3 / len(moves))
        return mean

    def _moves(self, colours: Floats, shares: Floats) -> Iterator[Floats]:
        """Yield how far each colour is from its place along each direction."""
        edges = np.linspace(0, 1, _QUANTILES + 1)
        for direction, sums in zip(self._directions.T, self._sums, strict=True):
            along = colours @ direction
            order = along.argsort(kind="stable")
            own = shares[order]
            after = np.minimum(own.cumsum(), 1.0)
            reached = np.interp(np.concatenate([[0.0], after]), edges, sums)
            wanted = np.diff(reached) / np.maximum(np.diff(np.concatenate([[0.0], after])), 1e-9)
            moves = np.empty_like(along)
            moves[order] = wanted - along[order]
            yield moves


def is_far(made: Floats, clip: Floats, picture: Floats) -> bool:
    """Return whether too much is left of the distance from a clip to a picture.

    Args:
        made: Some pixels of the clip after the transport, CIELAB.
        clip: The same before.
        picture: Pixels of the picture.
    """
    directions = even_directions()
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    seen = [np.quantile(pixels @ directions, shares, axis=0) for pixels in (made, clip, picture)]
    left, whole = (np.abs(each - seen[2]).mean() for each in seen[:2])
    return bool(left > _NEAR * whole)


def even_directions() -> Floats:
    """Return directions in CIELAB, [3, directions]; lightness has no part in colour among them.

    Each has a twin with the opposite colour, so that a grey picture adds no colour.
    """
    number = np.arange(_DIRECTIONS // 2) + 0.5
    up = 1 - number / (_DIRECTIONS // 2)  # evenly over half a sphere, along a spiral
    turn, flat = np.pi * (1 + 5**0.5) * number, np.sqrt(1 - up**2)
    some = np.stack([up, flat * np.cos(turn), flat * np.sin(turn)])
    return np.concatenate([some, some * [[1], [-1], [-1]]], 1).astype(np.float32)


def _nearness(colours: Floats, places: Floats) -> npt.NDArray[np.float32]:
    """Return the shares that places have in each colour, [colours, places]."""
    near = squared_distances(colours, places)
    near -= near.min(1, keepdims=True)
    np.exp(near / -_WIDTH, out=near)
    near /= near.sum(1, keepdims=True)
    return near
