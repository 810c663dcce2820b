"""Ports of text and picture moderators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from inference.domain.verdict import Reason


class TextModerator(Protocol):
    """Port of text moderation."""

    @property
    def name(self) -> str:
        """What logs call it."""
        ...

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        """Return the reasons against these texts in a tenant.

        Raises:
            ModeratorUnavailable: It cannot be asked now.
        """
        ...


class PictureModerator(Protocol):
    """Port of picture moderation."""

    @property
    def name(self) -> str:
        """What logs call it."""
        ...

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:
        """Return the reasons against these pictures, JPEG files of moderate size.

        Raises:
            ModeratorUnavailable: It cannot be asked now.
        """
        ...


class StillExtractor(Protocol):
    """Extracts stills from files (`workers.media.MediaProcess`)."""

    async def stills(self, file: Path, directory: Path) -> list[Path]:
        """Write a few frames of a clip, or the one of an image, as JPEG files into a directory.

        Raises:
            EngineError: It cannot be read, or nobody can do it now.
        """
        ...
