"""Attention regions: which tokens attend to each other, and their order in memory.

A region is a part of every frame, cut into boxes of one size; the tokens of a box attend to each
other. They stand box by box from the norm before the attention to the sum after it, so that
queries, keys and values are cut by views alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from inference.opensora.geometry import WINDOW


class Region(NamedTuple):
    """A part of the grid of patches, in boxes."""

    top: int
    left: int
    height: int
    width: int
    box: tuple[int, int, int]
    """Frames, rows and columns of a box; they divide the region."""

    @property
    def tokens(self) -> int:
        """How many tokens attend to each other."""
        frames, rows, columns = self.box
        return frames * rows * columns

    def boxes(self, x: Tensor) -> Tensor:
        """View the region of x [B, T, H, W, C] as [B, T / t, H / h, W / w, t, h, w, C]."""
        frames, rows, columns = self.box
        part = x[:, :, self.top : self.top + self.height, self.left : self.left + self.width]
        cut = torch.unflatten(torch.unflatten(part, 3, (-1, columns)), 2, (-1, rows))
        return torch.unflatten(cut, 1, (-1, frames)).permute(0, 1, 3, 5, 2, 4, 6, 7)


Regions = tuple[Region, ...]
"""Regions that cover the grid. Their tokens stand one region after the other."""


def frame_by_frame(height: int, width: int) -> Regions:
    """Let all tokens of a frame attend to each other; they stand as they lie."""
    return (Region(0, 0, height, width, (1, height, width)),)


def window_by_window(frames: int, height: int, width: int) -> Regions:
    """Let the tokens of all frames in each 8 x 8 window of the grid attend to each other.

    The original pads the grid to whole windows and masks the padding. Attention among the real
    tokens is the same function, so the windows at the border are regions of smaller boxes.
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
    """Split a side into its whole windows and the narrower rest, as (start, length, window)."""
    whole = length - length % WINDOW
    if whole:
        yield 0, whole, WINDOW
    if whole < length:
        yield whole, length - whole, length - whole
