"""What time does to jobs: waiting too long, files past their days, rows to be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from inference.clock import Clock
from inference.jobs.forecast import QueueForecast
from inference.jobs.line import Line
from inference.jobs.model import Failure
from inference.loops import survive
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.store.ledger import Ledger

TICK_SECONDS = 10.0
"""Between two looks at the line."""

FILES_EVERY = 360
"""Ticks between two looks at old files: an hour."""

REVIEW_LOOKS = 24
"""Looks, an hour apart, at a job that waits for its requester's word before it is ended."""

WAIT_SECONDS_LEAST = 6 * 3600.0
"""Nobody is sent away sooner than this, however short the line was."""

WAIT_FACTOR = 10.0
"""A job that has waited this many times what it was told has been overtaken by events."""

CLOCK_JUMP_SECONDS = 600.0
"""Wall time that passed in one tick and no monotonic clock saw: the wall clock was set."""

_log = structlog.get_logger(__name__)


class Sweeper:
    """Expires what waits too long and deletes what was kept long enough.

    Waiting is counted in ticks of this process, not by the wall clock: a clock that is set, a
    night with the machine off or a paused line must not send anybody away.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        ledger: Ledger,
        artifacts: Artifacts,
        line: Line,
        standing_still: Callable[[], bool],
        files_seconds: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._artifacts = artifacts
        self._line = line
        self._forecast = QueueForecast(line)
        self._standing_still = standing_still
        self._files_seconds = files_seconds
        self._clock = clock
        self._waited: dict[str, tuple[float, float]] = {}
        self._reviews: dict[str, int] = {}

    async def run(self) -> None:
        """Look after the line and the files until cancelled."""
        ticks = 0
        while True:
            wall, steady = self._clock.now(), self._clock.monotonic()
            await survive(self.expire_waiting, name="sweeper.waiting")
            await survive(self.forget, name="sweeper.forget")
            if ticks % FILES_EVERY == 0:
                await survive(self.expire_files, name="sweeper.files")
                await survive(self.expire_reviews, name="sweeper.reviews")
                await survive(self._anonymise, name="sweeper.ledger")
            await self._clock.sleep(TICK_SECONDS)
            ticks += 1
            jump = (self._clock.now() - wall) - (self._clock.monotonic() - steady)
            if abs(jump) > CLOCK_JUMP_SECONDS:
                _log.warning("clock.jumped", seconds=round(jump))
                ticks = 1  # whatever the files' ages look like now, they get another hour

    async def _anonymise(self) -> None:
        await self._ledger.anonymise(self._clock.now())

    async def expire_waiting(self) -> None:
        """Count one tick for everybody in line, and end what has waited far beyond its forecast."""
        if self._standing_still():
            return
        waited: dict[str, tuple[float, float]] = {}
        overdue: list[tuple[str, str]] = []
        for ticket in self._line.tickets():
            job_id = ticket.head.job_id
            so_far, limit = self._waited.get(job_id, (0.0, 0.0))
            if limit == 0.0 and (place := self._forecast.position(job_id)) is not None:
                limit = max(WAIT_SECONDS_LEAST, WAIT_FACTOR * (place.before + place.cost))
            waited[job_id] = (so_far + TICK_SECONDS, limit)
            if so_far + TICK_SECONDS > limit:
                overdue.append((job_id, ticket.tenant))
        self._waited = waited
        for job_id, tenant in overdue:
            await survive(partial(self._expire, job_id, tenant), name="sweeper.waiting")

    async def _expire(self, job_id: str, tenant: str) -> None:
        failure = Failure(code="job.waited_too_long")
        if await self._store.expire(job_id, failure) is not None:
            self._line.leave(job_id, tenant)
            _log.warning("job.expired", job=job_id)

    async def expire_reviews(self) -> None:
        """Count one look for every job that waits for a word, and end what waited for a day."""
        waiting = await self._store.in_review()
        self._reviews = {job_id: self._reviews.get(job_id, 0) + 1 for job_id in waiting}
        for job_id, looks in self._reviews.items():
            if looks > REVIEW_LOOKS:
                unanswered = Failure(code="job.review_unanswered")
                expire = partial(self._store.expire, job_id, unanswered)
                await survive(expire, name="sweeper.reviews")

    async def expire_files(self) -> None:
        """Delete the files of jobs that ended longer ago than files are kept."""
        before = self._clock.now() - self._files_seconds
        kept = await asyncio.to_thread(self._artifacts.job_ids)
        for job_id in await self._store.without_files(before, among=kept):
            remove = partial(asyncio.to_thread, self._artifacts.remove, job_id)
            await survive(remove, name="sweeper.files")

    async def forget(self) -> None:
        """Delete rows and files of jobs whose requester wants to be forgotten, once they ended."""
        for job_id in await self._store.forgotten():
            await survive(partial(self._delete, job_id), name="sweeper.forget")

    async def _delete(self, job_id: str) -> None:
        await asyncio.to_thread(self._artifacts.remove, job_id)
        await self._store.delete(job_id)
