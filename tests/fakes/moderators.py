"""Moderators that find what a test says, and a sampler that decodes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from inference.domain.errors import ModeratorUnavailable
from inference.domain.verdict import Reason
from inference.safety.guard import ModerationGuard


class FakeModerator:
    """Reads and looks. `gate` makes it wait, `down` makes it unavailable."""

    def __init__(self, *found: Reason, name: str = "fake") -> None:
        self.name = name
        self.found = frozenset(found)
        self.down = False
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.texts: list[tuple[tuple[str, ...], str]] = []
        """Everything it has read, and for whom."""
        self.pictures: list[bytes] = []
        """Everything it has seen."""

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        self.texts.append((tuple(texts), tenant))
        return await self._answer()

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:
        self.pictures += [await asyncio.to_thread(still.read_bytes) for still in stills]
        return await self._answer()

    async def _answer(self) -> frozenset[Reason]:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.down:
            raise ModeratorUnavailable("down")
        return self.found


class FakeStillExtractor:
    """Takes the file itself for its only still; `error` makes it fail."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def stills(self, file: Path, directory: Path) -> list[Path]:
        if self.error is not None:
            raise self.error
        still = directory / "00.jpg"
        await asyncio.to_thread(directory.mkdir, exist_ok=True)
        await asyncio.to_thread(still.write_bytes, await asyncio.to_thread(file.read_bytes))
        return [still]


class FakeGuildWords:
    """The same words in every guild."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words = list(words)

    async def of(self, tenant: str) -> Sequence[str]:
        return self.words


def a_guard(
    *,
    texts: Sequence[FakeModerator] = (),
    pictures: Sequence[FakeModerator] = (),
    fail_closed: bool = False,
) -> ModerationGuard:
    """Return a guard over fakes; without any it lets everything pass."""
    return ModerationGuard(
        texts=texts, pictures=pictures, extractor=FakeStillExtractor(), fail_closed=fail_closed
    )
