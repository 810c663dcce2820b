"""Watermark settings, as plain data.

`stamp` draws it. Kept apart because the bot reads, stores and sends these settings, and needs
no image library for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MINIMUM_OPACITY = 0.2
"""Below this the mark would not be one."""
MAXIMUM_TEXT = 40
"""Characters; more would be too small to read on an upright 360p clip."""


class Corner(StrEnum):
    """Corner of the watermark."""

    TOP_LEFT = "top-left"
    TOP_RIGHT = "top-right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM_RIGHT = "bottom-right"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatermarkSettings:
    """Text or logo, corner and opacity of the watermark.

    Raises:
        ValueError: Nothing to draw, too long a word, or too faint to be a mark.
    """

    text: str = "Rushes"
    logo: Path | None = None
    """An image file; it replaces the word."""
    corner: Corner = Corner.BOTTOM_RIGHT
    opacity: float = 0.7
    images: bool = True
    """Whether images carry it as well."""

    def __post_init__(self) -> None:
        if self.logo is None and not self.text.strip():
            raise ValueError("a watermark needs a text or a logo")
        if len(self.text) > MAXIMUM_TEXT:
            raise ValueError(f"a watermark has at most {MAXIMUM_TEXT} characters")
        if not MINIMUM_OPACITY <= self.opacity <= 1:
            raise ValueError(f"watermark opacity is {MINIMUM_OPACITY} to 1, not {self.opacity}")
