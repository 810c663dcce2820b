"""The GPU's loop: take the next job, claim it, render it, hand the file on.

The store's guarded claim decides; a ticket whose job is gone is simply dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from inference.clock import Clock
from inference.engines.base import Capabilities
from inference.errors import Cancelled, EngineError, RushesError, StoreError, WorkerLost
from inference.jobs.estimate import CostModel
from inference.jobs.events import EventBus, JobEvent
from inference.jobs.line import Line, Ticket
from inference.jobs.model import Failure, Job
from inference.jobs.persist import until_written
from inference.jobs.recipe import recipe
from inference.jobs.scheduler import Charge, Head
from inference.media.watermark import WatermarkSettings
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.workers.base import Executor, Manifest, Progress, RenderTask, Stage

T = TypeVar("T")

_log = structlog.get_logger(__name__)

NEVER_RAN = frozenset({"worker.silent", "worker.closed"})
"""Losses of a worker before it saw the job: not the job's fault."""

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
            self._line.touch()
        return job

    async def _serve(self, job: Job) -> None:
        """Bring a claimed job to its next state, whatever happens."""
        log = _log.bind(job=job.id, attempt=job.attempt)
        self._running, self._progress = job, None
        self._idle.clear()
        self._started = self._clock.monotonic()
        log.info("job.started", model=job.spec.model, tenant=job.tenant)
        try:
            async with asyncio.timeout(_longest(job)):
                manifest = await self._executor.render(self._task(job), self._report)
        except Cancelled:
            if not await self._cancelled(job):
                log.error("job.stopped_unasked")
                await self._again(job, _internal(job), lost=True)
        except WorkerLost as error:
            log.warning("job.worker_lost", code=error.code, **error.params)
            if error.code in NEVER_RAN:
                await self._again(job, Failure(code=error.code), lost=False)
            else:
                await self._again(job, Failure(code="worker.gave_up"), lost=True)
        except RushesError as error:
            transient = isinstance(error, EngineError) and error.transient
            log.warning("job.engine_error", code=error.code, transient=transient)
            failure = Failure(code=error.code, params=error.params)
            if transient:
                await self._again(job, failure, lost=True)
            else:
                await self._failed(job, failure)
        except TimeoutError:
            log.warning("job.ran_too_long")
            failure = Failure(code="job.ran_too_long")
            if not await self._cancelled(job):
                await self._written(lambda: self._store.expire(job.id, failure))
        except asyncio.CancelledError:
            await asyncio.shield(self._put_back(job))
            raise
        except Exception:  # the worker loop's own net: one bad job must not stop the line
            log.exception("job.bug")
            await self._failed(job, _internal(job))
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
            await self._cancelled(job)
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
        elif not await self._cancelled(job):
            await self._failed(job, failure)

    async def _put_back(self, job: Job) -> None:
        """Queue the job of a process that stops, or end it if that was asked for."""
        charge = self._line.shares.correct(job.tenant, -job.cost)
        with contextlib.suppress(StoreError):  # then the next start's recovery does it
            if await self._store.requeue(job.id, charge, lost=False) is None:
                await self._store.cancel(job.id, running=True, charge=self._spent(job))

    async def _cancelled(self, job: Job) -> bool:
        """End a job as cancelled; return whether somebody had asked for it."""
        charge = self._spent(job)
        ended = await self._written(lambda: self._store.cancel(job.id, running=True, charge=charge))
        if ended is None:
            return False
        self._line.shares.apply(charge)
        _log.info("job.cancelled", job=job.id)
        return True

    async def _failed(self, job: Job, failure: Failure) -> None:
        charge = self._spent(job)
        if await self._written(lambda: self._store.fail(job.id, failure, charge=charge)):
            self._line.shares.apply(charge)

    def _spent(self, job: Job) -> Charge:
        """Return the charge of a job without a clip: what it used, and never over its estimate."""
        elapsed = self._clock.monotonic() - self._started
        return self._line.shares.correct(job.tenant, min(0.0, elapsed - job.cost))

    def _task(self, job: Job) -> RenderTask:
        return RenderTask(
            job_id=job.id,
            attempt=job.attempt,
            spec=job.spec,
            directory=self._artifacts.attempt_directory(job),
            image=self._artifacts.image(job),
            watermark=job.presentation.marked(self._watermark),
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
        """Write down what the GPU did: it must not be forgotten."""
        return await until_written(write, self._clock)


def _longest(job: Job) -> float:
    """Return after how many seconds a render is given up."""
    return max(RUN_SECONDS_LEAST, RUN_FACTOR * job.cost)


def _internal(job: Job) -> Failure:
    return Failure(code="internal", params={"job": job.id})
