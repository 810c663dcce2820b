"""Time that a test can move, the ids made of it, and waiting for things to happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from tests.fakes.rushes_process import wait_limit

EPOCH_MS = 1_420_070_400_000
"""Discord's first millisecond, the zero of its ids."""

T = TypeVar("T")


class Clock:
    """The wall clock plus what tests added to it."""

    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds that tests let pass."""
        self._last_id = 0

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        """Let time pass for tokens, signed URLs and nonces; rate limits stay on real time."""
        self.ahead += seconds

    def snowflake(self) -> int:
        """Return a new id; later ids are greater."""
        fresh = (int(self.now() * 1000) - EPOCH_MS) << 22
        self._last_id = max(self._last_id + 1, fresh)
        return self._last_id


class Bell:
    """Wakes those who wait for a condition, whenever something happened."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Let everybody look again."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def until(self, condition: Callable[[], T | None], seconds: float, what: str) -> T:
        """Return what `condition` returns as soon as that is true.

        Raises:
            TimeoutError: It did not come true in time; the text says what was waited for.
        """
        try:
            async with wait_limit(seconds):
                while not (found := condition()):
                    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.add(waiting)
                    try:
                        await waiting
                    finally:
                        self._waiting.discard(waiting)
        except TimeoutError:
            raise TimeoutError(f"{what}: not within {seconds} s") from None
        return found
