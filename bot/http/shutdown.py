"""Ends the answers that wait for jobs when the server closes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Shutdown:
    """Ends answers that wait (events, long polls) when the server shuts down."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Timeout] = set()
        self._closed = False

    def begin(self) -> None:
        """End all waiting answers, now and from now on."""
        self._closed = True
        for limit in self._waiting:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def limit_wait(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Raise `TimeoutError` in the block after some seconds, or once the server closes."""
        async with asyncio.timeout(0 if self._closed else seconds) as limit:
            self._waiting.add(limit)
            try:
                yield
            finally:
                self._waiting.discard(limit)
