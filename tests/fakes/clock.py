"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio

NOON = 1_790_000_000.0
"""Unix seconds at which a manual clock starts."""


class ManualClock:
    """Wall and monotonic time move together with `advance`; `jump` sets the wall clock alone."""

    def __init__(self, now: float = NOON) -> None:
        self._now = now
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, float, asyncio.Future[None]]] = []
        self._somebody_sleeps = asyncio.Event()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        sleeper = (self._monotonic + seconds, seconds, woken)
        self._sleepers.append(sleeper)
        self._somebody_sleeps.set()
        try:
            await woken
        finally:
            self._sleepers.remove(sleeper)

    async def asleep(self, seconds: float) -> None:
        """Wait until somebody sleeps who asked for so many seconds."""
        async with asyncio.timeout(60):
            while seconds not in {asked for _, asked, woken in self._sleepers if not woken.done()}:
                self._somebody_sleeps.clear()
                await self._somebody_sleeps.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass and wake those whose time has come."""
        self._now += seconds
        self._monotonic += seconds
        for at, _, woken in self._sleepers:
            if at <= self._monotonic and not woken.done():
                woken.set_result(None)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP would."""
        self._now += seconds
