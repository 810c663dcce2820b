"""Expiry of waiting jobs, reviews, files and ledger entries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from inference.clock import Clock
from inference.domain.job import Failure, is_job_id
from inference.jobs.clock_trust import ClockTrust
from inference.jobs.forecast import QueueForecast
from inference.jobs.queue import JobQueue
from inference.retries import survive
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.store.ledger import Ledger

TICK_SECONDS = 10.0
"""Between two looks at the queue."""

FILES_EVERY = 360
"""Ticks between two looks at old files: an hour."""

REVIEW_LOOKS = 24
"""Looks, an hour apart, at a job that waits for its requester's word before it is ended."""

LATE_SECONDS = 86_400.0
"""How long files of a forgotten job are looked for that somebody was still writing."""

WAIT_SECONDS_LEAST = 6 * 3600.0
"""Nobody is sent away sooner than this, however short the queue was."""

WAIT_FACTOR = 10.0
"""A job that has waited this many times what it was told has been overtaken by events."""

UNKNOWN_LOOKS = 3
"""Looks, an hour apart, at a folder of no job of ours before it may be deleted."""

REMOVED_AT_ONCE = 50
"""Jobs whose files one look deletes: a wrong clock or a lost database costs hours, not everything.
"""

_log = structlog.get_logger(__name__)


class Expiry:
    """Expires jobs that wait too long, and deletes files past their retention.

    Waiting is counted in ticks of this process, not by the wall clock: a clock that is set, a
    night with the machine off or a paused queue must not send anybody away.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        ledger: Ledger,
        artifacts: Artifacts,
        queue: JobQueue,
        standing_still: Callable[[], bool],
        files_seconds: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._artifacts = artifacts
        self._queue = queue
        self._forecast = QueueForecast(queue)
        self._standing_still = standing_still
        self._files_seconds = files_seconds
        self._clock = clock
        self._waited: dict[str, tuple[float, float]] = {}
        self._reviews: dict[str, int] = {}
        self._unknown: dict[str, int] = {}
        self._trust = ClockTrust(clock)

    async def run(self) -> None:
        """Run all expiry tasks until cancelled."""
        ticks = 0
        await survive(self._remember, name="expiry.clock")
        await survive(self.remove_refused, name="expiry.files")
        while True:
            await survive(self.expire_waiting, name="expiry.waiting")
            await survive(self.forget, name="expiry.forget")
            if ticks and ticks % FILES_EVERY == 0:
                # Reading all rows finds those that were damaged since.
                await survive(self._store.list_unfinished, name="expiry.rows")
                await survive(self.expire_files, name="expiry.files")
                await survive(self.expire_reviews, name="expiry.reviews")
                await survive(self._anonymise, name="expiry.ledger")
            await self._clock.sleep(TICK_SECONDS)
            ticks += 1
            if self._trust.observe():
                ticks = 1  # whatever the files' ages look like now, they get another hour

    async def _remember(self) -> None:
        self._trust.remember(await self._store.last_seen())

    async def _anonymise(self) -> None:
        """Make entries anonymous that no quota needs any more, by a clock that is believed."""
        if self._trust.is_trusted():
            await self._ledger.anonymise(self._clock.now())
            await self._store.note_time(self._clock.now())

    async def expire_waiting(self) -> None:
        """Count one tick for every queued job, and end those far beyond their forecast."""
        if self._standing_still():
            return
        waited: dict[str, tuple[float, float]] = {}
        overdue: list[tuple[str, str]] = []
        for ticket in self._queue.tickets():
            job_id = ticket.head.job_id
            so_far, limit = self._waited.get(job_id, (0.0, 0.0))
            if limit == 0.0 and (queued := self._forecast.position(job_id)) is not None:
                limit = max(WAIT_SECONDS_LEAST, WAIT_FACTOR * (queued.before + queued.cost))
            waited[job_id] = (so_far + TICK_SECONDS, limit)
            if so_far + TICK_SECONDS > limit:
                overdue.append((job_id, ticket.tenant))
        self._waited = waited
        for job_id, tenant in overdue:
            await survive(partial(self._expire, job_id, tenant), name="expiry.waiting")

    async def _expire(self, job_id: str, tenant: str) -> None:
        failure = Failure(code="job.waited_too_long")
        if await self._store.expire(job_id, failure) is not None:
            self._queue.discard(job_id, tenant)
            _log.warning("job.expired", job=job_id)

    async def expire_reviews(self) -> None:
        """Count one tick for every job in review, and end those that waited for a day."""
        waiting = await self._store.in_review()
        self._reviews = {job_id: self._reviews.get(job_id, 0) + 1 for job_id in waiting}
        for job_id, looks in self._reviews.items():
            if looks > REVIEW_LOOKS:
                unanswered = Failure(code="job.review_unanswered")
                expire = partial(self._store.expire, job_id, unanswered)
                await survive(expire, name="expiry.reviews")

    async def remove_refused(self) -> None:
        """Delete files of refused jobs that a crash left behind.

        That is known whatever the clock says, and nobody may see those files.
        """
        kept = await asyncio.to_thread(self._artifacts.job_ids)
        for job_id in await self._store.without_files(0.0, among=kept):
            await survive(partial(self._remove, job_id, "refused"), name="expiry.files")

    async def expire_files(self) -> None:
        """Delete the files of jobs that ended longer ago than the retention time.

        Only by a clock that has been believed for a while, and never many at once. A folder that
        belongs to no job goes only when it has a job's name, nothing in it is younger than files
        are kept, and several looks have found the same.
        """
        kept = await asyncio.to_thread(self._artifacts.job_ids)
        unknown = await self._store.unknown(kept)
        self._unknown = {name: self._unknown.get(name, 0) + 1 for name in unknown}
        if not self._trust.is_trusted():
            return
        before = self._clock.now() - self._files_seconds
        due = [(job_id, "age") for job_id in await self._store.without_files(before, among=kept)]
        for name, looks in self._unknown.items():
            if looks > UNKNOWN_LOOKS and is_job_id(name):
                changed = await asyncio.to_thread(self._artifacts.newest_change, name)
                if changed < before:
                    due.append((name, "unknown"))
        for job_id, reason in due[:REMOVED_AT_ONCE]:
            await survive(partial(self._remove, job_id, reason), name="expiry.files")
        if due:
            count = min(len(due), REMOVED_AT_ONCE)
            _log.info("expiry.files_removed", count=count, left=len(due) - count)

    async def _remove(self, job_id: str, reason: str) -> None:
        if await asyncio.to_thread(self._artifacts.remove, job_id):
            _log.info("job.files_removed", job=job_id, reason=reason)

    async def forget(self) -> None:
        """Delete what is left of erased jobs: ended shells, and files that came late."""
        for job_id in await self._store.forgotten():
            await survive(partial(self._delete, job_id), name="expiry.forget")
        settled = []
        for job_id, since in await self._store.removals():
            gone = await asyncio.to_thread(self._artifacts.remove, job_id)
            if gone and abs(self._clock.now() - since) > LATE_SECONDS:
                settled.append(job_id)
        if settled:
            await self._store.settle_removals(settled)

    async def _delete(self, job_id: str) -> None:
        await asyncio.to_thread(self._artifacts.remove, job_id)
        await self._store.delete(job_id)
