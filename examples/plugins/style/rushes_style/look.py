"""The look of a picture: its colours and light as one table that recolours frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from rushes_style.colour import Floats, from_lab, to_lab
from rushes_style.lightness import LEVELS, Motion, lightness_curve, similarity
from rushes_style.refinement import Refinement, is_far
from rushes_style.transport import Palette, Transport

Pixels = npt.NDArray[np.uint8]

_COARSE = 33
"""Nodes of the table that colours are moved by, along each of red, green and blue."""
_NODES = 65
"""Of the table of changes: fine enough for the lightness of what lies between its nodes."""
_FINE = 129
"""Of the table in use: a node for every other value, so that frames need no interpolation."""
_SAMPLE = 12_000
"""Pixels that are looked at, of a picture or of frames."""
_OPAQUE = 128
_NOISE = 2
"""Of 255: a pixel that changes by no more keeps its colour."""
_REFINED_SSIM = 0.895
"""Least SSIM of a clip whose colours are refined: encoded colours are coarser than lightness, so
that strong ones cost structure, and one at its limit has none to spare."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A style picture, as far as its look goes."""

    pixels: Floats
    """CIELAB, [pixels, 3]."""

    @classmethod
    def read(cls, picture: Pixels) -> Self:
        """Look at a picture.

        Args:
            picture: uint8 [height, width], or with 1 to 4 channels; what is transparent does not
                count, unless all is.

        Raises:
            ValueError: It is no picture.
        """
        if picture.dtype != np.uint8 or picture.ndim not in {2, 3} or not picture.size:
            raise ValueError(f"not a picture: {picture.dtype} {picture.shape}")
        channels = 1 if picture.ndim == 2 else picture.shape[2]  # noqa: PLR2004 - no channels
        pixels = picture.reshape(-1, channels)
        pixels = pixels[:: len(pixels) // _SAMPLE + 1]
        colours, alpha = pixels[:, : 3 if channels > 2 else 1], pixels[:, -1]  # noqa: PLR2004 - grey and alpha
        if channels in {2, 4} and (alpha >= _OPAQUE).any():
            colours = colours[alpha >= _OPAQUE]
        if colours.shape[1] == 1:
            colours = np.repeat(colours, 3, 1)
        return cls(pixels=to_lab(colours))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """How every colour changes: what is added to red, green and blue."""

    change: Floats
    """[65, 65, 65, 3], by red, green and blue."""
    _table: npt.NDArray[np.uint32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", _fine(self.change))

    @classmethod
    def make(cls, picture: Picture, frames: Pixels, strength: float = 1.0) -> Self:
        """Make the look that brings frames near a picture.

        Args:
            picture: What they shall look like.
            frames: Of the clip, [frames, height, width, 3].
            strength: 0 changes nothing, 1 changes as much as the frames can bear.
        """
        sample = sampled(frames)
        lightness = to_lab(frames[0])[..., 0]
        motion = Motion.of(to_lab(frames[:, ::4, ::4])[..., 0])
        curve = lightness_curve(lightness, motion, picture.pixels[:, 0])
        before = to_lab(sample)
        clip = _curved(before, curve)
        source, target = Palette.of(clip), Palette.of(picture.pixels)
        transport = Transport.between(source, Palette.of(_ranked(picture.pixels, clip[:, 0])))
        recoloured: Transport | Refinement = transport
        some = slice(None, None, 3)
        made = np.concatenate([clip[some, :1], transport(clip[some])[:, 1:]], 1)
        if (
            is_far(made, before[some], picture.pixels)
            and similarity(lightness, curve) > _REFINED_SSIM
        ):
            recoloured = Refinement.of(transport, source, target)
        coarse = recoloured(_curved(to_lab(_grid(_COARSE)), curve))[:, 1:]
        nodes = _grid(_NODES)
        lab = _curved(to_lab(nodes), curve)
        lab[:, 1:] = _halved(coarse.reshape(_COARSE, _COARSE, _COARSE, 2)).reshape(-1, 2)
        change = strength * (from_lab(lab) - nodes)
        return cls(change=change.reshape(_NODES, _NODES, _NODES, 3))

    def towards(self, other: Look, share: float) -> Look:
        """Return a look between this one and another."""
        return Look(change=self.change + share * (other.change - self.change))

    def apply(self, frames: Pixels, gate: NoiseGate | None = None) -> None:
        """Recolour frames [frames, height, width, 3] in place.

        Args:
            frames: Consecutive ones.
            gate: That the frames before went through, with the same look.
        """
        pattern = _pattern(*frames.shape[1:3])
        for frame in frames:
            # Odd values take the node below or above in turn, so that gradients stay smooth.
            index = (frame >> 1) + (frame & pattern)
            place = index[..., 0] * np.int64(_FINE * _FINE)
            place += index[..., 1] * np.int64(_FINE)
            place += index[..., 2]
            made = self._table.take(place)
            if gate is not None:
                made = gate.passed(frame, made)
            frame[...] = made.view(np.uint8).reshape(*place.shape, 4)[..., :3]


class NoiseGate:
    """Keeps the new colour of a pixel until the pixel itself changes by more than noise.

    Otherwise a look that raises contrast would make noise flicker.
    """

    def __init__(self) -> None:
        self._seen: Pixels | None = None
        """The frame as it was where each pixel was recoloured last, [3, height, width]."""
        self._made: npt.NDArray[np.uint32] | None = None

    def passed(self, frame: Pixels, made: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Return the new colours of a frame, and those of before where it has not changed.

        Args:
            frame: Before the look.
            made: After it, packed.
        """
        planes = np.moveaxis(frame, -1, 0).copy()
        if self._seen is None or self._made is None:
            self._seen, self._made = planes, made
            return made
        off = np.maximum(planes, self._seen) - np.minimum(planes, self._seen)
        same = np.maximum(np.maximum(off[0], off[1]), off[2]) <= _NOISE
        self._seen = np.where(same, self._seen, planes)
        self._made = np.where(same, self._made, made)
        return self._made


def sampled(frames: Pixels) -> Pixels:
    """Return some pixels of frames, [pixels, 3], from all over them."""
    pixels = frames.reshape(-1, 3)
    step = len(pixels) // _SAMPLE + 1
    return pixels[:: step + (frames.shape[2] % step == 0)]  # not the same columns of each row


def _curved(lab: Floats, curve: Floats) -> Floats:
    lab = lab.copy()
    lab[:, 0] = np.interp(lab[:, 0], LEVELS, curve)
    return lab


def _ranked(pixels: Floats, lightness: Floats) -> Floats:
    """Return pixels with the lightness of the same rank among others.

    So the brightest colours of a picture are meant for what is brightest in the clip.
    """
    ordered = np.sort(pixels[:, 0])
    below = np.searchsorted(ordered, pixels[:, 0], "left")
    rank = (below + np.searchsorted(ordered, pixels[:, 0], "right")) / (2 * len(ordered))
    ranked = pixels.copy()
    ranked[:, 0] = np.quantile(lightness, rank)
    return ranked


@lru_cache(maxsize=2)
def _grid(nodes: int) -> Pixels:
    """Return the colours of a table's nodes, [nodes ** 3, 3]; the last is 255 for 256."""
    values = np.minimum(np.arange(nodes) * (256 // (nodes - 1)), 255).astype(np.uint8)
    return np.stack(np.meshgrid(values, values, values, indexing="ij"), -1).reshape(-1, 3)


@lru_cache(maxsize=2)
def _pattern(height: int, width: int) -> Pixels:
    """Return a chessboard of zeros and ones, [height, width, 1]."""
    return ((np.arange(height)[:, None] + np.arange(width)) % 2).astype(np.uint8)[..., None]


def _fine(change: Floats) -> npt.NDArray[np.uint32]:
    """Return the fine table: a packed colour for every other value, interpolated linearly."""
    values = np.arange(_FINE, dtype=np.float32) * 2
    fine = _halved(change.astype(np.float32))
    fine[..., 0] += values[:, None, None]
    fine[..., 1] += values[:, None]
    fine[..., 2] += values
    table = np.zeros((*fine.shape[:3], 4), np.uint8)
    table[..., :3] = np.clip(np.rint(fine), 0, 255)
    return table.view(np.uint32).ravel()


def _halved(table: Floats) -> Floats:
    """Return a table with means between all nodes of its first three axes."""
    for axis in range(3):
        old = np.moveaxis(table, axis, 0)
        shape = list(table.shape)
        shape[axis] = 2 * len(old) - 1
        table = np.empty(shape, np.float32)
        new = np.moveaxis(table, axis, 0)
        new[::2] = old
        new[1::2] = (old[:-1] + old[1:]) / 2
    return table
