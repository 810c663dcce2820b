"""Recovery of unfinished jobs when the process starts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from inference.bug_report import log_bug
from inference.domain.errors import StoreError
from inference.domain.job import UNPREPARED, Failure, Job, JobState
from inference.jobs.dispatcher import Dispatcher
from inference.jobs.preparation import Preparer
from inference.jobs.queue import JobQueue
from inference.jobs.result_moderation import ResultModerator
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.workers.slot import verify_manifest

_log = structlog.get_logger(__name__)


async def recover(
    *,
    store: JobStore,
    artifacts: Artifacts,
    queue: JobQueue,
    preparer: Preparer,
    dispatcher: Dispatcher,
    result_moderator: ResultModerator,
) -> None:
    """Resume every unfinished job.

    Outbox rows resume by themselves: whatever was not yet shown is still due. Jobs that were on
    the GPU return to the front of their queue; a complete file is looked at, not made again.
    """
    jobs = await store.list_unfinished()
    served = await store.read_last_served()
    resumed = [
        job for each in jobs if (job := await _resume_or_fail(each, store, artifacts, queue))
    ]
    for job in _in_turn([job for job in resumed if job.state is JobState.QUEUED], served):
        await dispatcher.enqueue_or_fail(job)
    for job in resumed:
        if job.state in UNPREPARED:
            preparer.add(job)
        elif job.state is JobState.FINISHING:
            result_moderator.add(job.id)
    if jobs:
        _log.info("jobs.recovered", count=len(jobs), waiting=len(queue))


async def _resume_or_fail(
    job: Job, store: JobStore, artifacts: Artifacts, queue: JobQueue
) -> Job | None:
    """Resume a job, or end it when that raises something unexpected: the others must start.

    Raises:
        StoreError: The disk or the database cannot be used at all.
    """
    try:
        return await _resume(job, store, artifacts, queue)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - one bad job must not stop the start
        log_bug(_log, "job.recovery_bug", error, job=job.id)
    try:
        return await store.fail(job.id, Failure(code="internal", params={"job": job.id}))
    except Exception as error:  # noqa: BLE001 - as above
        log_bug(_log, "job.end_failed", error, job=job.id)
        return None


async def _resume(job: Job, store: JobStore, artifacts: Artifacts, queue: JobQueue) -> Job:
    """Bring one job out of a state that only a living process can be in."""
    if job.state not in {JobState.RUNNING, JobState.FINISHING}:
        return job
    if job.cancel_requested_at is not None and job.state is JobState.RUNNING:
        # When the process ended is unknown; it ran at least until the cancel.
        ran = job.cancel_requested_at - (job.started_at or job.cancel_requested_at)
        charge = queue.shares.correct(job.tenant, min(0.0, max(0.0, ran) - job.cost))
        cancelled = await store.cancel(job.id, running=True, charge=charge)
        if cancelled is not None:
            queue.shares.apply(charge)
        return cancelled or job
    if job.state is JobState.FINISHING and await _complete(job, artifacts.find_finished(job)):
        return job
    charge = queue.shares.correct(job.tenant, -job.cost)
    queued = await store.requeue(job.id, charge, lost=False)
    if queued is not None:
        queue.shares.apply(charge)
        return queued
    failed = await store.fail(job.id, Failure(code="worker.gave_up"), charge=charge)
    if failed is not None:
        queue.shares.apply(charge)
    return failed or job


async def _complete(job: Job, path: Path | None) -> bool:
    if path is None or job.manifest is None:
        return False
    return await asyncio.to_thread(verify_manifest, job.manifest, path.parent) is None


def _in_turn(jobs: list[Job], served: dict[tuple[str, str], float]) -> list[Job]:
    """Order waiting jobs so that joining the queue one by one restores whose turn it is.

    A requester's turn comes after their last time on a slot, or after they joined the queue if
    that was later. Jobs that were on a slot come last here, the first of them at the very end:
    each goes to the front.
    """
    joined: dict[tuple[str, str], float] = {}
    for job in jobs:
        key = (job.tenant, job.requester.id)
        joined[key] = min(joined.get(key, float("inf")), job.queued_at or job.created_at)

    def turn(job: Job) -> tuple[float, int]:
        key = (job.tenant, job.requester.id)
        return (max(joined[key], served.get(key, 0.0)), job.sequence)

    begun = [job for job in jobs if job.attempt > 0]
    return [
        *sorted((job for job in jobs if job.attempt == 0), key=turn),
        *sorted(begun, key=lambda job: job.sequence, reverse=True),
    ]
