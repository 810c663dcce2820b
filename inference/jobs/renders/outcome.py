"""Outcomes of renders: bring each claimed job to its next state, with its charge."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.capabilities import Capabilities
from inference.domain.errors import Cancelled, EngineError, RushesError, StoreError, WorkerLost
from inference.domain.fairness import Charge
from inference.domain.job import Failure, Job
from inference.domain.render import Manifest
from inference.jobs.durable_write import failure_of, write_with_retry
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.renders.active_render import ActiveRender
from inference.jobs.renders.charges import Charges
from inference.store.jobs import JobStore

_log = structlog.get_logger(__name__)


class RenderOutcomes:
    """Finishes, requeues or ends jobs after their render."""

    def __init__(
        self,
        *,
        store: JobStore,
        charges: Charges,
        costs: DeviceCosts,
        capabilities: Callable[[str], Capabilities],
        finished: Callable[[str], None],
        enqueue: Callable[..., Awaitable[None]],
        clock: Clock,
    ) -> None:
        """Wire it up.

        Args:
            store: Where the transitions happen.
            charges: Writes those that charge somebody.
            costs: Learns from every render.
            capabilities: What each model can do.
            finished: Called with every job whose file is complete (`ResultModerator.add`).
            enqueue: Takes jobs that go back into the queue (`Dispatcher.enqueue_or_fail`).
            clock: Paces the tries while the disk takes nothing.
        """
        self._store = store
        self._charges = charges
        self._costs = costs
        self._capabilities = capabilities
        self._finished = finished
        self._enqueue = enqueue
        self._clock = clock

    async def complete(self, render: ActiveRender, manifest: Manifest) -> None:
        """Running -> finishing, unless a cancel was asked for before."""
        job = render.job
        load = manifest.timings.get("load", 0.0)
        start = max(0.0, render.progress.seconds_to_first - load)
        seconds = render.elapsed - load - start
        manifest = replace(manifest, timings={**manifest.timings, "start": start, "total": seconds})
        device = render.kind
        finished = await self._charges.write(
            lambda: self._correction(job, seconds - job.cost),
            lambda charge: self._store.finish(job.id, manifest, charge, device),
        )
        if finished is None:
            await self._end_cancelled(render, seconds=seconds)
            return
        self._finished(job.id)
        try:
            capabilities = self._capabilities(job.spec.model)
            self._costs.learn(job.spec, capabilities, manifest.timings, device)
        except Exception as error:  # noqa: BLE001 - the clip is complete; only the estimate suffers
            log_bug(_log, "job.nothing_learned", error, job=job.id)
        _log.info("job.rendered", job=job.id, seconds=round(seconds, 2), bytes=manifest.size)

    async def end_without_clip(self, render: ActiveRender, error: Exception) -> None:
        """Requeue or end a job whose render produced no file."""
        job = render.job
        log = _log.bind(job=job.id, attempt=job.attempt)
        match error:
            case Cancelled():
                if not await self._end_cancelled(render, seconds=render.seconds_run):
                    log.warning("job.stopped_unasked")
                    failure = Failure(code="internal", params={"job": job.id})
                    await self._requeue(render, failure, lost=True)
            case WorkerLost(code="worker.silent"):
                seconds = error.params.get("silent_seconds")
                log.warning("job.without_worker", silent_seconds=seconds)
                await self._unclaim(render)
            case WorkerLost(code=code):
                log.warning(
                    "job.worker_lost",
                    code=code,
                    exit=error.params.get("exit"),
                    silent_seconds=error.params.get("silent_seconds"),
                    idle_seconds=error.params.get("idle_seconds"),
                    reason=error.params.get("reason"),
                )
                # Our own shutdown does not count as a loss.
                failure = Failure(code="worker.gave_up")
                await self._requeue(render, failure, lost=code != "worker.closed")
            case EngineError(transient=True):
                log.warning("job.engine_error", code=error.code, transient=True)
                await self._requeue(render, failure_of(error, job.id), lost=True)
            case RushesError():
                log.warning("job.engine_error", code=error.code, transient=False)
                await self._end_failed(render, failure_of(error, job.id))
            case TimeoutError():
                log.warning("job.ran_too_long")
                failure = Failure(code="job.ran_too_long")
                if not await self._end_cancelled(render):
                    expire = partial(self._store.expire, job.id, failure)
                    await write_with_retry(expire, self._clock)
            case _:
                log_bug(log, "job.bug", error)
                await self._end_failed(render, failure_of(error, job.id))

    async def requeue_at_stop(self, render: ActiveRender) -> None:
        """Requeue the job of a stopping process, or end it if a cancel was requested."""
        job = render.job
        async with self._charges.turn:
            with contextlib.suppress(StoreError):  # then the next start's recovery does it
                charge = self._correction(job, -job.cost)
                if await self._store.requeue(job.id, charge, lost=False) is not None:
                    self._charges.shares.apply(charge)
                    return
                charge = self._spent(render)
                await self._store.cancel(
                    job.id, running=True, charge=charge, seconds=render.seconds_run
                )

    async def _requeue(self, render: ActiveRender, failure: Failure, *, lost: bool) -> None:
        """Requeue a job at the front, or fail it after too many losses; it is not charged."""
        job = render.job
        queued = await self._charges.write(
            lambda: self._correction(job, -job.cost),
            lambda charge: self._store.requeue(job.id, charge, lost=lost),
        )
        if queued is not None:
            await self._enqueue(queued)
        elif not await self._end_cancelled(render):
            await self._end_failed(render, failure, free=True)

    async def _unclaim(self, render: ActiveRender) -> None:
        """Requeue a job that no worker has seen; it does not count as an attempt."""
        job = render.job
        queued = await self._charges.write(
            lambda: self._correction(job, -job.cost),
            lambda charge: self._store.unclaim(job.id, charge),
        )
        if queued is not None:
            await self._enqueue(queued, front=True)
        else:
            await self._end_cancelled(render)

    async def _end_cancelled(self, render: ActiveRender, *, seconds: float = 0.0) -> bool:
        """End a job as cancelled; return whether a cancel was requested.

        Args:
            render: Of the job, on the GPU until now.
            seconds: What ran and counts towards quotas; nothing where the failure was ours.
        """
        job = render.job
        ended = await self._charges.write(
            lambda: self._correction(job, seconds - job.cost) if seconds else self._spent(render),
            lambda charge: self._store.cancel(job.id, running=True, charge=charge, seconds=seconds),
        )
        if ended is not None:
            _log.info("job.cancelled", job=job.id)
        return ended is not None

    async def _end_failed(
        self, render: ActiveRender, failure: Failure, *, free: bool = False
    ) -> None:
        """Fail a job; it is charged the time that it used, unless `free`."""
        job = render.job
        await self._charges.write(
            lambda: self._correction(job, -job.cost) if free else self._spent(render),
            lambda charge: self._store.fail(job.id, failure, charge=charge),
        )

    def _correction(self, job: Job, seconds: float) -> Charge:
        return self._charges.shares.correct(job.tenant, seconds)

    def _spent(self, render: ActiveRender) -> Charge:
        """Return the charge of a failed job: the time that it used, at most its estimate."""
        return self._correction(render.job, min(0.0, render.elapsed - render.job.cost))
