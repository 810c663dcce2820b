"""Retries: backoff with jitter, limited tries, and endless loops that survive their errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import RushesError

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
"""Of the pauses of a loop whose turns fail."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


def backoff(failures: int, *, first: float, longest: float, jitter: float = 0.2) -> float:
    """Return the pause before the next try.

    Args:
        failures: Earlier ones, in a row; each doubles the pause.
        first: Seconds after the first failure.
        longest: Seconds at most, before jitter.
        jitter: Share that is added at random, so that tries do not come together.
    """
    pause = min(first * 2.0 ** min(failures, 60), longest)
    return pause * random.uniform(1.0, 1.0 + jitter)  # noqa: S311 - spreads tries, guards nothing


async def retry(
    work: Callable[[], Awaitable[T]],
    *,
    again: Callable[[Exception], bool],
    tries: int,
    first: float,
    clock: Clock,
) -> T:
    """Return what a function returns once it succeeds; its last exception is raised.

    Args:
        work: What may fail; the `retry_after` of its exception is waited for.
        again: Whether an exception is worth another try.
        tries: In all.
        first: Seconds after the first failure.
        clock: Waits.
    """
    for failures in count():
        try:
            return await work()
        except Exception as error:
            if failures + 1 >= tries or not again(error):
                raise
            asked: float | None = getattr(error, "retry_after", None)
            pause = backoff(failures, first=first, longest=LONGEST_SECONDS)
            await clock.sleep(asked or pause)
    raise AssertionError("unreachable")


class Backoff:
    """The pauses of one loop: none after the first failure, then growing ones."""

    def __init__(
        self,
        clock: Clock,
        *,
        first: float = FIRST_SECONDS,
        longest: float = LONGEST_SECONDS,
        jitter: float = 0.0,
    ) -> None:
        """Start without a failure; the arguments are those of `backoff`."""
        self._clock = clock
        self._first, self._longest, self._jitter = first, longest, jitter
        self._failures = 0

    def next(self) -> float:
        """Count a failure and return the seconds to wait after it."""
        earlier, self._failures = self._failures - 1, self._failures + 1
        if earlier < 0:
            return 0.0
        return backoff(earlier, first=self._first, longest=self._longest, jitter=self._jitter)

    def reset(self) -> None:
        """Reset after a success."""
        self._failures = 0

    async def pause(self) -> None:
        """Sleep after a failure; the first time, only yield."""
        seconds = self.next()
        await (self._clock.sleep(seconds) if seconds else asyncio.sleep(0))


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
