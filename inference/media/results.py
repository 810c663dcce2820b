"""Limits and results of media operations, without Pillow or PyAV."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Limits on reference images."""

    file_bytes: int = 20 * 2**20
    pixels: int = 50_000_000
    """Most pixels, as declared by the file and checked before decoding. Phones have 48 megapixels.
    """
    min_side: int = 16
    """Shortest side of the clean image in pixels, which also refuses very long strips."""
    max_side: int = 2048
    """Longest side of the clean image in pixels; larger images are scaled down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanImage:
    """Result of cleaning an image."""

    width: int
    height: int
    format: str
    """Format of the source: png, jpeg, webp, gif, heif or avif."""


SCALES = (Fraction(1), Fraction(3, 4), Fraction(1, 2))
"""Scales at which the ladder encodes a clip, from the best."""

STILL = len(SCALES)
"""Number of the last step: a still in place of the clip."""


class Rung(StrEnum):
    """Step of size reduction, from the best quality to the lowest."""

    ORIGINAL = "original"
    """Unchanged: the file fits."""
    BITRATE = "bitrate"
    """Same size in pixels, lower bitrate."""
    SMALLER = "smaller"
    """Scaled to three quarters or half, see `SCALES`."""
    STILL = "still"
    """A JPEG of the middle frame in place of the clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Result of size reduction: a file within the limit."""

    path: Path
    rung: Rung
    width: int
    height: int
