"""Endless loops with error handling and backoff."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import RushesError

BACKOFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits after turns that failed one after the other; the last one repeats."""

_log = structlog.get_logger(__name__)


class Backoff:
    """Growing pauses between consecutive failures."""

    def __init__(self, clock: Clock, pauses: Sequence[float] = BACKOFF_SECONDS) -> None:
        self._clock = clock
        self._pauses = pauses
        self._failures = 0

    @property
    def next_seconds(self) -> float:
        """Length of the next pause."""
        return self._pauses[min(self._failures, len(self._pauses) - 1)]

    def reset(self) -> None:
        """Reset after a success."""
        self._failures = 0

    async def pause(self) -> None:
        """Sleep after a failure; the first time, only yield."""
        seconds = self.next_seconds
        self._failures += 1
        if seconds > 0:
            await self._clock.sleep(seconds)
        else:
            await asyncio.sleep(0)


async def repeat(turn: Callable[[], Awaitable[object]], *, name: str, clock: Clock) -> None:
    """Run a function again and again until cancelled, whatever it raises.

    Args:
        turn: One turn of the loop.
        name: Of the loop, for the log.
        clock: Paces turns that fail.
    """
    backoff = Backoff(clock)
    while True:
        if await survive(turn, name=name):
            backoff.reset()
        else:
            await backoff.pause()


async def survive(turn: Callable[[], Awaitable[object]], *, name: str) -> bool:
    """Run one turn of a loop and log its exception; return whether it succeeded."""
    try:
        await turn()
    except RushesError as error:
        _log.error("loop.failed", loop=name, code=error.code)
    except Exception as error:  # noqa: BLE001 - the loop must go on
        log_bug(_log, "loop.bug", error, loop=name)
    else:
        return True
    return False
