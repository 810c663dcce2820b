"""Ports of text and picture moderators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inference.domain.errors import ModeratorUnavailable
from inference.domain.verdict import Reason


class TextModerator(Protocol):
    """Port of text moderation."""

    @property
    def name(self) -> str:
        """Its name in logs."""
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
        """Its name in logs."""
        ...

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:
        """Return the reasons against these pictures, JPEG files of moderate size.

        Raises:
            ModeratorUnavailable: It cannot be asked now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderators:
    """The moderators of one source; hosted ones send what they judge to a service."""

    texts: Sequence[TextModerator] = ()
    pictures: Sequence[PictureModerator] = ()
    hosted_texts: Sequence[TextModerator] = ()
    hosted_pictures: Sequence[PictureModerator] = ()

    @classmethod
    def unavailable(cls) -> Moderators:
        """Return those that stand in for a source that could not be made."""
        return cls(texts=(_Unavailable(),), pictures=(_Unavailable(),))


class _Unavailable:
    """Placeholder for an unavailable moderator; the config says whether all is then denied."""

    name = "unavailable"

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:  # noqa: ARG002 - the port's signature
        raise ModeratorUnavailable("plugin.broken")

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:  # noqa: ARG002 - the port's signature
        raise ModeratorUnavailable("plugin.broken")


class StillExtractor(Protocol):
    """Extracts stills from files (`workers.media.process.MediaProcess`)."""

    async def stills(self, file: Path, directory: Path) -> list[Path]:
        """Write a few frames of a clip, or the one of an image, as JPEG files into a directory.

        Raises:
            EngineError: It cannot be read, or nobody can do it now.
        """
        ...
