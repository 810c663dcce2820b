"""Moderation of finished files before delivery.

Durable and resumable: a job found in `finishing` after a restart is looked at then, so that no
file leaves unseen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.job import Failure, Job, JobState
from inference.jobs.durable_write import end_job, failure_of, write_with_retry
from inference.safety.guard import ModerationGuard
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore

CONCURRENT = 2
"""Files looked at at once: one on this machine, one by somebody who was asked."""

_log = structlog.get_logger(__name__)


class ResultModerator:
    """Checks finished files and releases or deletes them."""

    def __init__(
        self, *, store: JobStore, artifacts: Artifacts, guard: ModerationGuard, clock: Clock
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._guard = guard
        self._clock = clock
        self._arrivals: asyncio.Queue[str] = asyncio.Queue()

    def add(self, job_id: str) -> None:
        """Add a job whose file is complete, new or found after a restart."""
        self._arrivals.put_nowait(job_id)

    async def run(self) -> None:
        """Check files in order of arrival until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(CONCURRENT):
                tasks.create_task(self._serve(), name=f"result-moderation-{number}")

    async def idle(self) -> None:
        """Wait until every added file has been checked."""
        await self._arrivals.join()

    async def _serve(self) -> None:
        while True:
            job_id = await self._arrivals.get()
            try:
                await self._check(job_id)
            except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
                log_bug(_log, "job.moderation_bug", error, job=job_id)
                await self._fail(job_id, failure_of(error, job_id))
            finally:
                self._arrivals.task_done()

    async def _check(self, job_id: str) -> None:
        job = await self._write(lambda: self._store.get(job_id))
        if job is None or job.state is not JobState.FINISHING:
            return
        try:
            file = self._artifacts.find_finished(job)
            if file is None:
                await self._fail(job.id, Failure(code="file.gone"))
                return
            verdict = await self._guard.judge_file(file, flagged=job.output.flagged)
        except Exception as error:  # noqa: BLE001 - one bad file must not leave unseen
            if (
                self._artifacts.find_finished(job) is None
            ):  # deleted meanwhile; one that has ended stays
                await self._fail(job.id, Failure(code="file.gone"))
                return
            log_bug(_log, "job.moderation_bug", error, job=job.id)
            await self._fail(job.id, Failure(code="internal", params={"job": job.id}))
            return
        if verdict.denied:
            reason = verdict.reasons[0].value
            failure = Failure(code="safety.result", params={"reason": reason})
            _log.info("job.refused", job=job.id, code=failure.code, reason=reason)
            if await self._write(lambda: self._store.refuse(job.id, failure)):
                await asyncio.to_thread(self._artifacts.remove, job.id)
            return
        await self._write(lambda: self._store.deliver(job.id, job.verdict.merge(verdict)))

    async def _fail(self, job_id: str, failure: Failure) -> None:
        await end_job(lambda: self._store.fail(job_id, failure), job_id, self._clock)

    async def _write(self, write: Callable[[], Awaitable[Job | None]]) -> Job | None:
        return await write_with_retry(write, self._clock)
