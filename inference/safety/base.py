"""What moderation says, as plain data, and the ports of those who look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from inference.domain.verdict import Reason


class TextModerator(Protocol):
    """Reads what people ask for."""

    @property
    def name(self) -> str:
        """What logs call it."""
        ...

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        """Return what stands against these texts in a guild.

        Raises:
            ModeratorUnavailable: It cannot be asked now.
        """
        ...


class PictureModerator(Protocol):
    """Looks at pictures."""

    @property
    def name(self) -> str:
        """What logs call it."""
        ...

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:
        """Return what stands against these pictures, JPEG files of a moderate size.

        Raises:
            ModeratorUnavailable: It cannot be asked now.
        """
        ...


class StillExtractor(Protocol):
    """Takes pictures out of files (`workers.media.MediaProcess`)."""

    async def stills(self, file: Path, directory: Path) -> list[Path]:
        """Write a few frames of a clip, or the one of an image, as JPEG files into a directory.

        Raises:
            EngineError: It cannot be read, or nobody can do it now.
        """
        ...
