"""The GPU's loop: take the next job, claim it, render it, hand the file on.

The store's guarded claim decides; a ticket whose job is gone is simply dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from inference.clock import Clock
from inference.engines.base import Capabilities
from inference.errors import Cancelled, EngineError, StoreError, WorkerLost
from inference.jobs.estimate import CostModel
from inference.jobs.events import EventBus, JobEvent
from inference.jobs.line import Line, Ticket
from inference.jobs.model import Failure, Job
from inference.jobs.recipe import recipe
from inference.jobs.scheduler import Charge, Head
from inference.media.watermark import WatermarkSettings
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.workers.base import Executor, Manifest, Progress, RenderTask, Stage

T = TypeVar("T")

_log = structlog.get_logger(__name__)

STORE_RETRY_SECONDS = (0.5, 1, 2, 5, 10, 30)
"""Waits between tries to write down what the GPU did, while the disk does not take it."""

RUN_SECONDS_LEAST = 1800.0
"""No render is given up sooner: a first estimate may be far off on an unknown machine."""

RUN_FACTOR = 10.0
"""A render that takes this many times its estimate will never end; the step watchdog of the worker
catches the ones that hang."""


class Dispatcher:
    """Serves the line on one executor, one job at a time."""

    def __init__(
        self,
        *,
        store: JobStore,
        artifacts: Artifacts,
        line: Line,
        costs: CostModel,
        events: EventBus,
        executor: Executor,
        capabilities: Callable[[str], Capabilities],
        watermark: WatermarkSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._line = line
        self._costs = costs
        self._events = events
        self._executor = executor
        self._capabilities = capabilities
        self._watermark = watermark
        self._clock = clock
        self._running: Job | None = None
        self._progress: Progress | None = None
        self._started = 0.0
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._idle = asyncio.Event()
        self._idle.set()

    # -- what others see ---------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether no further job is started."""
        return not self._resumed.is_set()

    @paused.setter
    def paused(self, value: bool) -> None:
        if value:
            self._resumed.clear()
        else:
            self._resumed.set()

    @property
    def running(self) -> Job | None:
        """The job on the GPU."""
        return self._running

    def progress(self, job_id: str) -> Progress | None:
        """Return how far a job is, if it is the one on the GPU."""
        if self._running is None or self._running.id != job_id:
            return None
        return self._progress

    def seconds_left(self) -> float:
        """Return the expected seconds until the GPU is free; 0 when it is."""
        if self._running is None:
            return 0.0
        elapsed = self._clock.monotonic() - self._started
        by_estimate = max(0.0, self._running.cost - elapsed)
        progress = self._progress
        if progress is None or progress.stage is not Stage.RENDERING or not progress.done:
            return by_estimate
        fraction = progress.done / progress.total
        by_pace = elapsed / fraction - elapsed
        # The further it is, the more its own pace is worth over the estimate.
        return fraction * by_pace + (1 - fraction) * by_estimate

    async def cancel(self, job_id: str) -> None:
        """Ask the executor to stop a job; fine when it has ended meanwhile."""
        await self._executor.cancel(job_id)

    async def idle(self) -> None:
        """Wait until no job is on the GPU."""
        await self._idle.wait()

    # -- the loop ----------------------------------------------------------------------------

    def enter(self, job: Job) -> None:
        """Put a queued job in line; one that was on the GPU before goes to the front."""
        capabilities = self._capabilities(job.spec.model)
        head = Head(
            job_id=job.id,
            model=job.spec.model,
            cost=job.cost,
            load_seconds=capabilities.cost.load_seconds,
            sequence=job.sequence,
        )
        ticket = Ticket(head=head, tenant=job.tenant, requester_id=job.requester.id)
        self._line.join(ticket, front=job.attempt > 0)

    async def run(self) -> None:
        """Serve until cancelled; a job on the GPU then goes back in line."""
        while True:
            await self._resumed.wait()
            await self._line.occupied()
            if self.paused:
                continue
            ticket, charge = self._line.take(self._executor.warm_model)
            job = await self._claim(ticket, charge)
            if job is not None:
                await self._serve(job)

    async def _claim(self, ticket: Ticket, charge: Charge) -> Job | None:
        job = await self._written(lambda: self._store.claim(ticket.head.job_id, charge))
        if job is not None:
            self._line.shares.apply(charge)
        return job

    async def _serve(self, job: Job) -> None:
        """Bring a claimed job to its next state, whatever happens."""
        log = _log.bind(job=job.id, attempt=job.attempt)
        self._running, self._progress = job, None
        self._idle.clear()
        self._started = self._clock.monotonic()
        log.info("job.started", model=job.spec.model, tenant=job.tenant)
        try:
            async with asyncio.timeout(self._longest(job)):
                manifest = await self._executor.render(self._task(job), self._report)
        except Cancelled:
            await self._written(lambda: self._store.cancel(job.id, running=True))
            log.info("job.cancelled")
        except TimeoutError:
            log.warning("job.ran_too_long")
            failure = Failure(code="job.ran_too_long")
            await self._written(lambda: self._store.expire(job.id, failure))
        except WorkerLost as error:
            log.warning("job.worker_lost", code=error.code, **error.params)
            await self._again(job, Failure(code="worker.gave_up"), lost=True)
        except EngineError as error:
            log.warning("job.engine_error", code=error.code, transient=error.transient)
            failure = Failure(code=error.code, params=error.params)
            if error.transient:
                await self._again(job, failure, lost=True)
            else:
                await self._written(lambda: self._store.fail(job.id, failure))
        except asyncio.CancelledError:
            await asyncio.shield(self._again(job, Failure(code="job.interrupted"), lost=False))
            raise
        except Exception:  # the worker loop's own net: one bad job must not stop the line
            log.exception("job.bug")
            failure = Failure(code="internal", params={"job": job.id})
            await self._written(lambda: self._store.fail(job.id, failure))
        else:
            await self._hand_over(job, manifest)
        finally:
            self._running = self._progress = None
            self._idle.set()
            self._line.touch()

    async def _hand_over(self, job: Job, manifest: Manifest) -> None:
        """Running -> finishing -> delivering, unless a cancel was asked for before."""
        seconds = self._clock.monotonic() - self._started - manifest.timings.get("load", 0.0)
        manifest = replace(manifest, timings={**manifest.timings, "total": seconds})
        charge = self._line.shares.correct(job.tenant, seconds - job.cost)
        finished = await self._written(lambda: self._store.finish(job.id, manifest, charge))
        if finished is None:
            await self._written(lambda: self._store.cancel(job.id, running=True))
            return
        self._line.shares.apply(charge)
        self._costs.learn(job.spec, self._capabilities(job.spec.model), seconds)
        await self._written(lambda: self._store.deliver(job.id))
        _log.info("job.rendered", job=job.id, seconds=round(seconds, 2), bytes=manifest.size)

    async def _again(self, job: Job, failure: Failure, *, lost: bool) -> None:
        """Put a job back to the front of its line, or end it when it may not go again."""
        charge = self._line.shares.correct(job.tenant, -job.cost)
        queued = await self._written(lambda: self._store.requeue(job.id, charge, lost=lost))
        if queued is not None:
            self._line.shares.apply(charge)
            self.enter(queued)
        elif not await self._written(lambda: self._store.cancel(job.id, running=True)):
            await self._written(lambda: self._store.fail(job.id, failure))

    def _longest(self, job: Job) -> float:
        """Return the seconds after which a render is given up: far beyond any estimate."""
        load_seconds = self._capabilities(job.spec.model).cost.load_seconds
        return max(RUN_SECONDS_LEAST, RUN_FACTOR * (load_seconds + job.cost))

    def _task(self, job: Job) -> RenderTask:
        return RenderTask(
            job_id=job.id,
            attempt=job.attempt,
            spec=job.spec,
            directory=self._artifacts.attempt_directory(job),
            image=self._artifacts.image(job),
            watermark=self._watermark,
            recipe=recipe(job),
        )

    def _report(self, progress: Progress) -> None:
        job = self._running
        if job is not None:
            self._progress = progress
            self._events.publish(
                JobEvent(job_id=job.id, tenant=job.tenant, state=job.state, progress=progress)
            )

    async def _written(self, write: Callable[[], Awaitable[T]]) -> T:
        """Repeat a write until the disk takes it: what the GPU did must not be forgotten."""
        tries = 0
        while True:
            try:
                return await write()
            except StoreError as error:
                pause = STORE_RETRY_SECONDS[min(tries, len(STORE_RETRY_SECONDS) - 1)]
                _log.error("store.unwritable", code=error.code, retry_seconds=pause)
                await self._clock.sleep(pause)
                tries += 1
