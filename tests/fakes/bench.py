"""The job core on a test bench: a real store in a folder, with everything around it played."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.jobs.core import Core, open_core
from inference.jobs.model import Job, JobState
from inference.jobs.policy import QueueLimits
from inference.jobs.service import CancelOutcome
from inference.media.watermark import WatermarkSettings
from tests.fakes.cleaner import FakeCleaner, FakeImages
from tests.fakes.clock import ManualClock
from tests.fakes.executor import FakeExecutor
from tests.fakes.orders import an_order, capabilities

ROOMY = QueueLimits(per_tenant=1000, per_requester=1000, total=1000)


@dataclass(kw_only=True)
class Bench:
    """A core that can be opened and closed like a process, keeping its folder."""

    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    executor: FakeExecutor = field(default_factory=FakeExecutor)
    cleaner: FakeCleaner = field(default_factory=FakeCleaner)
    images: FakeImages = field(default_factory=FakeImages)
    limits: QueueLimits = ROOMY
    weights: Mapping[str, float] = field(default_factory=dict)
    core: Core = field(init=False)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Core]:
        """Run the core inside the block, as the process would."""
        async with open_core(
            data_directory=self.directory,
            executor=self.executor,
            cleaner=self.cleaner,
            sources={"test": self.images},
            capabilities=capabilities,
            limits=self.limits,
            weights=self.weights,
            watermark=WatermarkSettings(),
            clock=self.clock,
        ) as self.core:
            yield self.core

    async def submit(self, *arguments: str, **order: Any) -> Job:
        """Submit an order (see `an_order`) a little later than the one before."""
        self.clock.advance(0.01)
        return await self.core.jobs.submit(an_order(*arguments, **order))

    async def queued(self, *arguments: str, **order: Any) -> Job:
        """Submit an order and wait until it is in line."""
        job = await self.submit(*arguments, **order)
        return await self.reached(job.id, JobState.QUEUED)

    async def cancel(self, job: Job) -> CancelOutcome:
        """Cancel a job as its own tenant."""
        return await self.core.jobs.cancel(job.id, tenant=job.tenant)

    async def now(self, job: Job) -> Job:
        """Return a job as the store has it."""
        return await self.core.jobs.get(job.id, tenant=job.tenant)

    async def reached(self, job_id: str, *states: JobState) -> Job:
        """Wait until a job is in one of the states."""
        with self.core.events.subscribe() as events:
            async with asyncio.timeout(10):
                while True:
                    job = await self.core.store.get(job_id)
                    if job is not None and job.state in states:
                        return job
                    await events.get()
