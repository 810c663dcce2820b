"""Writer of the shares: one change at a time, each in the transaction of its transition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from inference.clock import Clock
from inference.domain.fairness import Charge, Shares
from inference.domain.job import Job
from inference.jobs.durable_write import write_with_retry

Transition = Callable[[Charge], Awaitable[Job | None]]
"""Writes a charge with the transition that it belongs to; None when somebody else was first."""


class Charges:
    """Changes the shares together with the jobs, also while several renders end at once."""

    def __init__(self, shares: Shares, clock: Clock) -> None:
        self.shares = shares
        self.turn = asyncio.Lock()
        """Held from the reading of the shares until the change is applied."""
        self._clock = clock

    async def write(self, charge: Callable[[], Charge], transition: Transition) -> Job | None:
        """Write a transition, with retries, and apply its charge if it took place.

        Args:
            charge: Works out the charge from the shares as they are then.
            transition: Of the job.
        """
        async with self.turn:
            return await self.commit(charge(), transition)

    async def commit(self, charge: Charge, transition: Transition) -> Job | None:
        """Do the same for a charge that was worked out with `turn` held."""
        job = await write_with_retry(lambda: transition(charge), self._clock)
        if job is not None:
            self.shares.apply(charge)
        return job
