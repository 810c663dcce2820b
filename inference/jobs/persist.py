"""Writing down what must not be forgotten, also while the disk does not take it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from inference.clock import Clock
from inference.errors import StoreError

T = TypeVar("T")

RETRY_SECONDS = (0.5, 1, 2, 5, 10, 30)
"""Waits between tries; the last one repeats."""

_log = structlog.get_logger(__name__)


async def until_written(write: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Repeat a write of the store until the disk takes it, and return what it returned."""
    tries = 0
    while True:
        try:
            return await write()
        except StoreError as error:
            pause = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
            _log.error("store.unwritable", code=error.code, retry_seconds=pause)
            await clock.sleep(pause)
            tries += 1
