"""Attention regions: which tokens attend to each other, and their order in memory.

A region is a part of every frame, cut into boxes of one size; the tokens of a box attend to each
other. Tokens are ordered by box from the norm before the attention to the sum after it, so that
queries, keys and values of boxes are views without copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from inference.opensora.geometry import WINDOW


class Region(NamedTuple):
    """A part of the grid of patches, cut into boxes."""

    top: int
    left: int
    height: int
    width: int
    box: tuple[int, int, int]
    """Frames, rows and columns of a box; each divides that side of the region."""

    @property
    def tokens(self) -> int:
        """Number of tokens of a box, which attend to each other."""
        frames, rows, columns = self.box
        return frames * rows * columns

    def boxes(self, x: Tensor) -> Tensor:
        """Return a view of the region of x [B, T, H, W, C]: [B, T/t, H/h, W/w, t, h, w, C]."""
        frames, rows, columns = self.box
        part = x[:, :, self.top : self.top + self.height, self.left : self.left + self.width]
        cut = torch.unflatten(torch.unflatten(part, 3, (-1, columns)), 2, (-1, rows))
        return torch.unflatten(cut, 1, (-1, frames)).permute(0, 1, 3, 5, 2, 4, 6, 7)


Regions = tuple[Region, ...]
"""Regions that cover the grid; tokens are ordered by region."""


def frame_by_frame(height: int, width: int) -> Regions:
    """Return regions in which all tokens of a frame attend to each other; no reordering."""
    return (Region(0, 0, height, width, (1, height, width)),)


def window_by_window(frames: int, height: int, width: int) -> Regions:
    """Return regions in which an 8 x 8 window of patches attends to itself over all frames.

    The original pads the grid to whole windows and masks the padding. Smaller boxes at the border
    give the same attention without padding.
    """
    return tuple(
        Region(top, left, tall, wide, (frames, rows, columns))
        for top, tall, rows in _spans(height)
        for left, wide, columns in _spans(width)
    )


def slices(regions: Regions, rows: int) -> Iterator[tuple[Region, slice]]:
    """Yield each region with its slice of all rows [B * T * H * W, ...]."""
    grid = sum(region.height * region.width for region in regions)
    start = 0
    for region in regions:
        stop = start + rows // grid * region.height * region.width
        yield region, slice(start, stop)
        start = stop


def _spans(length: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, length, window) of a side's whole windows, and of its remainder."""
    whole = length - length % WINDOW
    if whole:
        yield 0, whole, WINDOW
    if whole < length:
        yield whole, length - whole, length - whole
