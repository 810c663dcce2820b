"""The job core on a test bench: a real store in a folder, with everything around it played."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.assist.base import PromptAssistant
from inference.domain.capabilities import Capabilities
from inference.domain.job import Job, JobState
from inference.domain.limits import QueueLimits
from inference.domain.watermark import WatermarkSettings
from inference.jobs.assembly import Core, open_core
from inference.jobs.service import CancelOutcome
from inference.safety.guard import ModerationGuard
from inference.workers.pool import Pool
from tests.fakes.cleaner import FakeCleaner, FakeImages
from tests.fakes.clock import ManualClock
from tests.fakes.executor import FakeSlot
from tests.fakes.moderators import a_guard
from tests.fakes.orders import an_order, capabilities

ROOMY = QueueLimits(per_tenant=1000, per_requester=1000, total=1000)


@dataclass(kw_only=True)
class Bench:
    """A core that can be opened and closed like a process, keeping its folder."""

    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    executor: FakeSlot = field(default_factory=FakeSlot)
    """The first slot."""
    more: Sequence[FakeSlot] = ()
    """Further slots."""
    cleaner: FakeCleaner = field(default_factory=FakeCleaner)
    images: FakeImages = field(default_factory=FakeImages)
    other_images: FakeImages = field(default_factory=FakeImages)
    """Of a second platform, "other"."""
    limits: QueueLimits = ROOMY
    weights: Mapping[str, float] = field(default_factory=dict)
    capabilities: Callable[[str], Capabilities] = capabilities
    assistant: PromptAssistant | None = None
    guard: ModerationGuard = field(default_factory=a_guard)
    core: Core = field(init=False)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Core]:
        """Run the core inside the block, as the process would."""
        async with open_core(
            data_directory=self.directory,
            pool=Pool([self.executor, *self.more]),
            cleaner=self.cleaner,
            sources={"test": self.images, "other": self.other_images},
            capabilities=self.capabilities,
            limits=self.limits,
            weights=self.weights,
            watermark=WatermarkSettings(),
            files_seconds=7 * 86400.0,
            assistant=self.assistant,
            guard=lambda _: self.guard,
            clock=self.clock,
        ) as self.core:
            yield self.core

    def crashed(self) -> Bench:
        """Return a bench on the folder as `kill -9` would leave it now; this one lives on."""
        copy = self.directory.with_name(self.directory.name + "+")
        shutil.copytree(self.directory, copy)
        more = [FakeSlot(slot.name) for slot in self.more]
        return replace(self, directory=copy, executor=FakeSlot(), more=more, images=FakeImages())

    @contextlib.asynccontextmanager
    async def writer_held(self) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Hold up the database's writer inside the block.

        Yields:
            A function that waits until so many transactions stand behind it.
        """
        database, released = self.core.store._database, asyncio.Event()

        async def hold(_: object) -> None:
            await released.wait()

        async def queued(count: int) -> None:
            async with asyncio.timeout(180):
                while database._work.qsize() != count:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0)

        holding = asyncio.create_task(database.write("hold", hold))
        await asyncio.sleep(0)
        await queued(0)
        try:
            yield queued
        finally:
            released.set()
            await holding

    async def disk(self, *, full: bool) -> None:
        """Let the database grow no more, or again."""
        pages = 1 if full else 1 << 30  # never less than there are
        await self.core.store._database._writer.execute(f"PRAGMA max_page_count = {pages}")

    async def submit(self, *arguments: str, **order: Any) -> Job:
        """Submit an order (see `an_order`) a little later than the one before."""
        self.clock.advance(0.01)
        return await self.core.jobs.submit(an_order(*arguments, **order))

    async def queued(self, *arguments: str, **order: Any) -> Job:
        """Submit an order and wait until it is in line."""
        job = await self.submit(*arguments, **order)
        job = await self.reached(job.id, JobState.QUEUED)
        jobs = self.core.jobs
        async with asyncio.timeout(180):
            while jobs.position(job.id) is None and (await self.now(job)).state is job.state:  # noqa: ASYNC110 - the queue hears of it after the database
                await asyncio.sleep(0)
        return job

    async def cancel(self, job: Job) -> CancelOutcome:
        """Cancel a job as its own tenant."""
        return await self.core.jobs.cancel(job.id, tenant=job.tenant)

    async def revise(self, job: Job, **spec: Any) -> Job | None:
        """Edit a job as its own tenant."""
        return await self.core.jobs.revise(
            job.id, tenant=job.tenant, spec=replace(job.spec, **spec), origins=job.origins
        )

    async def now(self, job: Job) -> Job:
        """Return a job as the store has it."""
        return await self.core.jobs.get(job.id, tenant=job.tenant)

    async def reached(self, job_id: str, *states: JobState) -> Job:
        """Wait until a job is in one of the states."""
        with self.core.events.subscribe() as events:
            async with asyncio.timeout(180):
                while True:
                    job = await self.core.store.get(job_id)
                    if job is not None and job.state in states:
                        return job
                    await events.get()
