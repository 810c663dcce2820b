"""A prompt assistant without a server; `error` makes it fail, `gate` makes it wait."""

from __future__ import annotations

import asyncio

from inference.assist.base import RefinementRequest


class FakeAssistant:
    """Answers every request with `Refined <number>: <words>`."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.requests: list[RefinementRequest] = []

    async def refine(self, request: RefinementRequest) -> str:
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return f"Refined {len(self.requests)}: {request.words}"
