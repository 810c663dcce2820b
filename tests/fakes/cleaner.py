"""Reference images without a network and without a decoder."""

from __future__ import annotations

import asyncio
from pathlib import Path

from inference.domain.job import Job


class FakeImages:
    """Where a platform's images come from; `error` makes it fail, `gate` makes it wait."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.fetched: list[str] = []

    async def fetch(self, job: Job, image: str, target: Path) -> None:
        self.fetched.append(image)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        await asyncio.to_thread(target.write_bytes, b"raw")


class FakeCleaner:
    """Writes a file that says what it was made of; `error` makes it fail."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def clean_image(self, source: Path, target: Path) -> None:
        if self.error is not None:
            raise self.error
        raw = await asyncio.to_thread(source.read_bytes)
        await asyncio.to_thread(target.write_bytes, b"clean " + raw)

    async def first_frame(self, source: Path, target: Path) -> None:
        raw = await asyncio.to_thread(source.read_bytes)
        await asyncio.to_thread(target.write_bytes, b"first frame of " + raw)
