"""Dispatcher: takes the next job, claims it, renders it and hands the file on.

The store's guarded claim decides; a ticket whose job is gone is simply dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import Cancelled, EngineError, RushesError, StoreError, WorkerLost
from inference.domain.events import EventBus, JobEvent
from inference.domain.job import Failure, Job
from inference.domain.render import Manifest, Progress, Stage
from inference.domain.scheduler import Charge, Head
from inference.domain.watermark import WatermarkSettings
from inference.engines.base import Capabilities
from inference.jobs.durable_write import end_job, failure_of, write_with_retry
from inference.jobs.estimate import CostModel
from inference.jobs.queue import JobQueue, Ticket
from inference.jobs.recipe import recipe
from inference.loops import Backoff, survive
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.workers.executor import Executor, RenderTask, Supervised

T = TypeVar("T")

_log = structlog.get_logger(__name__)

RUN_SECONDS_LEAST = 1800.0
"""No render is given up sooner: a first estimate may be far off on an unknown machine."""

TRUSTED_STEPS = 4
"""Steps after which a render's own pace says all about its end."""

RUN_FACTOR = 10.0
"""A render that takes this many times its estimate will never end; the step watchdog of the worker
catches the ones that hang."""


CLAIM_TRIES = 3
"""Tries to take a job out of the queue before it is ended."""


class Dispatcher:
    """Runs queued jobs on one executor, one at a time."""

    def __init__(
        self,
        *,
        store: JobStore,
        artifacts: Artifacts,
        queue: JobQueue,
        costs: CostModel,
        events: EventBus,
        executor: Executor,
        capabilities: Callable[[str], Capabilities],
        watermark: WatermarkSettings,
        finished: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """Wire it up.

        Args:
            store: Where the transitions happen.
            artifacts: Where the files go.
            queue: Whose turn it is.
            costs: Learns from every render.
            events: Hears of progress.
            executor: Renders.
            capabilities: What each model can do.
            watermark: On every clip.
            finished: Called with every job whose file is complete (`ResultModerator.add`).
            clock: Measures renders, and paces the tries while the disk takes nothing.
        """
        self._store = store
        self._artifacts = artifacts
        self._queue = queue
        self._costs = costs
        self._events = events
        self._executor = executor
        self._capabilities = capabilities
        self._watermark = watermark
        self._finished = finished
        self._clock = clock
        self._unclaimed: dict[str, int] = {}
        self._running: Job | None = None
        self._progress: Progress | None = None
        self._started = 0.0
        self._stepping_since = 0.0
        self._stopping = False
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
    def without_worker(self) -> bool:
        """Whether jobs wait because no worker starts."""
        return isinstance(self._executor, Supervised) and self._executor.away

    @property
    def running(self) -> Job | None:
        """The running job."""
        return self._running

    def progress(self, job_id: str) -> Progress | None:
        """Return the progress of a job, or None when it is not running."""
        if self._running is None or self._running.id != job_id:
            return None
        return self._progress

    def seconds_left(self) -> float:
        """Return the expected seconds until the GPU is free."""
        if self._running is None:
            return 0.0
        now = self._clock.monotonic()
        by_estimate = max(0.0, self._running.cost - (now - self._started))
        progress = self._progress
        if progress is None or progress.stage is not Stage.RENDERING or not progress.done:
            return by_estimate
        spec = self._running.spec
        try:
            rest = self._costs.rest_seconds(spec, self._capabilities(spec.model))
        except Exception:  # noqa: BLE001 - the model is gone; others still need an estimate
            return by_estimate
        by_pace = (now - self._stepping_since) / progress.done * (progress.total - progress.done)
        by_pace += rest
        # A few steps are better than any estimate; the first one includes warm-up.
        trust = min(1.0, progress.done / TRUSTED_STEPS)
        return trust * by_pace + (1 - trust) * by_estimate

    async def cancel(self, job_id: str) -> None:
        """Ask the executor to stop a job; a job that has ended is ignored."""
        await self._executor.cancel(job_id)

    def stop(self) -> None:
        """Start no further jobs; the running one may finish."""
        self._stopping = True

    async def idle(self) -> None:
        """Wait until no job is running."""
        await self._idle.wait()

    # -- the loop ----------------------------------------------------------------------------

    def enqueue(self, job: Job, *, front: bool = False) -> None:
        """Queue a job; at the front if asked, or if it was on the GPU before."""
        capabilities = self._capabilities(job.spec.model)
        head = Head(
            job_id=job.id,
            model=job.spec.model,
            cost=job.cost,
            load_seconds=self._costs.load_seconds(capabilities),
            sequence=job.sequence,
        )
        ticket = Ticket(head=head, tenant=job.tenant, requester_id=job.requester.id)
        self._queue.put(ticket, front=front or job.attempt > 0)

    async def enqueue_or_fail(self, job: Job, *, front: bool = False) -> None:
        """Queue a job, or fail it when its model is gone."""
        try:
            self.enqueue(job, front=front)
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
            if not isinstance(error, RushesError):
                log_bug(_log, "job.bug", error, job=job.id)
            failure = failure_of(error, job.id)
            await end_job(lambda: self._store.fail(job.id, failure), job.id, self._clock)

    async def run(self) -> None:
        """Serve the queue until cancelled, which requeues the running job, or until `stop`."""
        backoff = Backoff(self._clock)
        while True:
            await self._resumed.wait()
            await self._queue.not_empty()
            if self._stopping:
                return
            if self.paused:
                continue
            if await survive(self._turn, name="dispatcher"):
                backoff.reset()
            else:
                await backoff.pause()

    async def _turn(self) -> None:
        """Serve the next job in the queue, once there is a worker."""
        if isinstance(self._executor, Supervised) and self._executor.away:
            await self._wait_for_worker(self._executor)
            return
        ticket, charge = self._queue.take(self._executor.warm_model)
        try:
            job = await self._claim(ticket, charge)
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the queue
            await self._retry_claim(ticket, error)
            return
        self._unclaimed.pop(ticket.head.job_id, None)
        if job is not None:
            await self._serve(job)

    async def _retry_claim(self, ticket: Ticket, error: Exception) -> None:
        """Put a job back in the queue that could not be claimed, or end it after a few tries."""
        job_id = ticket.head.job_id
        log_bug(_log, "job.not_claimed", error, job=job_id)
        tries = self._unclaimed.pop(job_id, 0) + 1
        if tries < CLAIM_TRIES:
            self._unclaimed[job_id] = tries
            self._queue.put(ticket)
            return
        failure = failure_of(error, job_id)
        await end_job(lambda: self._store.fail(job_id, failure), job_id, self._clock)

    async def _wait_for_worker(self, executor: Supervised) -> None:
        """Leave the jobs in the queue until a worker starts."""
        _log.warning("queue.without_worker", waiting=len(self._queue))
        self._queue.invalidate_forecasts()
        await executor.ready()
        self._queue.invalidate_forecasts()

    async def _claim(self, ticket: Ticket, charge: Charge) -> Job | None:
        job = await self._write(lambda: self._store.claim(ticket.head.job_id, charge))
        if job is not None:
            self._queue.shares.apply(charge)
            self._queue.invalidate_forecasts()
        return job

    async def _serve(self, job: Job) -> None:
        """Bring a claimed job to its next state, whatever happens."""
        self._running, self._progress = job, None
        self._idle.clear()
        self._started = self._stepping_since = self._clock.monotonic()
        _log.info("job.started", job=job.id, attempt=job.attempt, tenant=job.tenant)
        try:
            await self._render(job)
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the queue
            log_bug(_log, "job.bug", error, job=job.id, attempt=job.attempt)
            failure = failure_of(error, job.id)
            await end_job(lambda: self._store.fail(job.id, failure), job.id, self._clock)
        finally:
            self._running = self._progress = None
            self._idle.set()
            self._queue.invalidate_forecasts()

    async def _render(self, job: Job) -> None:
        """Render a claimed job and bring it to its next state."""
        try:
            self._capabilities(job.spec.model)  # a plugin may have been taken away meanwhile
            async with asyncio.timeout(_longest(job)):
                manifest = await self._executor.render(self._task(job), self._report)
        except asyncio.CancelledError:
            await asyncio.shield(self._requeue_at_stop(job))
            raise
        except Exception as error:  # noqa: BLE001 - classified in the callee
            await self._end_without_clip(job, error)
        else:
            await self._hand_over(job, manifest)

    async def _end_without_clip(self, job: Job, error: Exception) -> None:
        """Requeue or end a job whose render produced no file."""
        log = _log.bind(job=job.id, attempt=job.attempt)
        match error:
            case Cancelled():
                if not await self._end_cancelled(job, seconds=self._seconds_run()):
                    log.warning("job.stopped_unasked")
                    await self._requeue(job, _internal(job), lost=True)
            case WorkerLost(code="worker.silent"):
                log.warning("job.without_worker", **error.params)
                await self._unclaim(job)
            case WorkerLost(code=code):
                log.warning("job.worker_lost", code=code, **error.params)
                # Our own shutdown does not count as a loss.
                failure = Failure(code="worker.gave_up")
                await self._requeue(job, failure, lost=code != "worker.closed")
            case EngineError(transient=True):
                log.warning("job.engine_error", code=error.code, transient=True)
                await self._requeue(job, Failure(code=error.code, params=error.params), lost=True)
            case RushesError():
                log.warning("job.engine_error", code=error.code, transient=False)
                await self._end_failed(job, Failure(code=error.code, params=error.params))
            case TimeoutError():
                log.warning("job.ran_too_long")
                failure = Failure(code="job.ran_too_long")
                if not await self._end_cancelled(job):
                    await self._write(lambda: self._store.expire(job.id, failure))
            case _:
                log_bug(log, "job.bug", error)
                await self._end_failed(job, _internal(job))

    async def _hand_over(self, job: Job, manifest: Manifest) -> None:
        """Running -> finishing, unless a cancel was asked for before."""
        seconds = self._clock.monotonic() - self._started - manifest.timings.get("load", 0.0)
        manifest = replace(manifest, timings={**manifest.timings, "total": seconds})
        charge = self._queue.shares.correct(job.tenant, seconds - job.cost)
        finished = await self._write(lambda: self._store.finish(job.id, manifest, charge))
        if finished is None:
            await self._end_cancelled(job, seconds=seconds)
            return
        self._queue.shares.apply(charge)
        self._finished(job.id)
        try:
            self._costs.learn(job.spec, self._capabilities(job.spec.model), manifest.timings)
        except Exception as error:  # noqa: BLE001 - the clip is complete; only the estimate suffers
            log_bug(_log, "job.nothing_learned", error, job=job.id)
        _log.info("job.rendered", job=job.id, seconds=round(seconds, 2), bytes=manifest.size)

    async def _requeue(self, job: Job, failure: Failure, *, lost: bool) -> None:
        """Requeue a job at the front, or end it after too many losses."""
        charge = self._refund(job)
        queued = await self._write(lambda: self._store.requeue(job.id, charge, lost=lost))
        if queued is not None:
            self._queue.shares.apply(charge)
            await self.enqueue_or_fail(queued)
        elif not await self._end_cancelled(job):
            await self._end_failed(job, failure, charge)

    async def _unclaim(self, job: Job) -> None:
        """Requeue a job that no worker has seen; it does not count as an attempt."""
        charge = self._refund(job)
        queued = await self._write(lambda: self._store.unclaim(job.id, charge))
        if queued is not None:
            self._queue.shares.apply(charge)
            await self.enqueue_or_fail(queued, front=True)
        else:
            await self._end_cancelled(job)

    async def _requeue_at_stop(self, job: Job) -> None:
        """Requeue the running job of a stopping process, or end it if a cancel was requested."""
        charge = self._refund(job)
        with contextlib.suppress(StoreError):  # then the next start's recovery does it
            if await self._store.requeue(job.id, charge, lost=False) is None:
                spent, seconds = self._spent(job), self._seconds_run()
                await self._store.cancel(job.id, running=True, charge=spent, seconds=seconds)

    async def _end_cancelled(self, job: Job, *, seconds: float = 0.0) -> bool:
        """End a job as cancelled; return whether a cancel was requested.

        Args:
            job: On the GPU until now.
            seconds: What ran and counts towards quotas; nothing where the failure was ours.
        """
        charge = self._queue.shares.correct(job.tenant, seconds - job.cost) if seconds else None
        charge = charge or self._spent(job)
        ended = await self._write(
            lambda: self._store.cancel(job.id, running=True, charge=charge, seconds=seconds)
        )
        if ended is None:
            return False
        self._queue.shares.apply(charge)
        _log.info("job.cancelled", job=job.id)
        return True

    async def _end_failed(self, job: Job, failure: Failure, charge: Charge | None = None) -> None:
        """End a job without a clip, with the charge of what it used unless another is given."""
        charge = charge or self._spent(job)
        if await self._write(lambda: self._store.fail(job.id, failure, charge=charge)):
            self._queue.shares.apply(charge)

    def _seconds_run(self) -> float:
        """Return the seconds the job has been rendering, without model loading."""
        if self._progress is None or self._progress.stage is Stage.LOADING:
            return 0.0
        return self._clock.monotonic() - self._stepping_since

    def _refund(self, job: Job) -> Charge:
        """Return the charge that undoes the one of the claim."""
        return self._queue.shares.correct(job.tenant, -job.cost)

    def _spent(self, job: Job) -> Charge:
        """Return the charge of a job without a clip: what it used, and never over its estimate."""
        elapsed = self._clock.monotonic() - self._started
        return self._queue.shares.correct(job.tenant, min(0.0, elapsed - job.cost))

    def _task(self, job: Job) -> RenderTask:
        return RenderTask(
            job_id=job.id,
            attempt=job.attempt,
            spec=job.spec,
            directory=self._artifacts.attempt_directory(job),
            image=self._artifacts.image(job),
            watermark=job.output.marked(self._watermark),
            recipe=recipe(job),
            last=self._artifacts.input(job, job.spec.last),
            latents=self._artifacts.input(job, job.spec.latents),
        )

    def _report(self, progress: Progress) -> None:
        job = self._running
        if job is not None:
            if progress.stage is Stage.RENDERING and not progress.done:
                self._stepping_since = self._clock.monotonic()
            self._progress = progress
            self._events.publish(
                JobEvent(job_id=job.id, tenant=job.tenant, state=job.state, progress=progress)
            )

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write with retries: results of the GPU must not be lost."""
        return await write_with_retry(write, self._clock)


def _longest(job: Job) -> float:
    """Return the time limit of a render in seconds."""
    return max(RUN_SECONDS_LEAST, RUN_FACTOR * job.cost)


def _internal(job: Job) -> Failure:
    return Failure(code="internal", params={"job": job.id})
