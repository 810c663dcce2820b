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
    """Declared by the file; checked before anything is decoded. Phones take 48 megapixels."""
    min_side: int = 16
    """Of the clean image: very long strips fail too."""
    max_side: int = 2048
    """Larger images are reduced to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanImage:
    """Result of cleaning an image."""

    width: int
    height: int
    format: str
    """Of the source: png, jpeg, webp, gif, heif or avif."""


SCALES = (Fraction(1), Fraction(3, 4), Fraction(1, 2))
"""Sizes at which the ladder tries a clip, the best first."""

STILL = len(SCALES)
"""Number of the ladder's last rung: a still instead of a clip."""


class Rung(StrEnum):
    """Step of the size ladder, from the best quality to the last resort."""

    ORIGINAL = "original"
    """Nothing: it fits."""
    BITRATE = "bitrate"
    """Same size in pixels, fewer bits."""
    SMALLER = "smaller"
    """Three quarters or half as wide."""
    STILL = "still"
    """A JPEG of the middle frame instead of the clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Result of the size ladder: a file within the limit."""

    path: Path
    rung: Rung
    width: int
    height: int
