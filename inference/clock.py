"""Clock port: wall time, monotonic time and sleep, replaceable in tests."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations, and sleeping.

    Wall times are Unix seconds (UTC by definition), which is also how the store keeps them.
    Durations are never computed from wall times: the wall clock may jump.
    """

    def now(self) -> float:
        """Return Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SteadyTime:
    """Unix time that ignores clock jumps: wall time at start plus monotonic time.

    For due times within one process. Those that an earlier process wrote may lie in any future
    or past, so readers must bound them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()

    def now(self) -> float:
        """Return Unix seconds; never goes back."""
        return self._offset + self._clock.monotonic()


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)
