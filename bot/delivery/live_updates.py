"""Live updates of cards: progress of the running jobs and moves in the queue.

Nothing here is durable: what must be shown is in the outbox; this only makes waiting pleasant.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from bot.delivery.delivery import Delivery
from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import RushesError
from inference.domain.events import EventBus
from inference.domain.job import JobState
from inference.jobs.forecast import EXACT
from inference.jobs.service import JobService
from inference.retries import repeat

RUNNING_SECONDS = 3.0
"""Between two edits of a running card."""

RUNNING_SECONDS_MOST = 15.0
"""The same for a render that takes very long."""

SLOWER_EVERY = 20
"""Edits after which the pace is halved: a long job needs no edit every three seconds."""

WAITING_SECONDS = 60.0
"""Between two edits of a waiting card."""

_BANDS = (1, 2, 5, 10, 20, 50, 100)
_log = structlog.get_logger(__name__)


def band(position: int) -> int:
    """Return the band of a queue position; a waiting card changes only when its band does."""
    return next((index for index, top in enumerate(_BANDS) if position <= top), len(_BANDS))


@dataclass(slots=True)
class _Pace:
    """When the card of a running job may be edited again."""

    next_at: float
    edits: int = 0

    def note_edit(self, now: float) -> None:
        self.edits += 1
        pause = RUNNING_SECONDS * 2 ** (self.edits // SLOWER_EVERY)
        self.next_at = now + min(pause, RUNNING_SECONDS_MOST)


class LiveUpdates:
    """Refreshes cards between the states that the outbox posts."""

    def __init__(
        self, *, delivery: Delivery, jobs: JobService, events: EventBus, clock: Clock
    ) -> None:
        self._delivery = delivery
        self._jobs = jobs
        self._events = events
        self._clock = clock
        self._shown: dict[str, tuple[float, int]] = {}
        self._followed: dict[str, _Pace] = {}
        """Running jobs."""
        self._crowded = False
        """Whether more jobs waited at the last look than the front has."""

    async def run(self) -> None:
        """Refresh cards until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_running(tasks), name="live-running")
            tasks.create_task(self._follow_waiting(tasks), name="live-waiting")

    async def _follow_running(self, tasks: asyncio.TaskGroup) -> None:
        with self._events.subscribe() as events:
            while True:
                event = await events.get()
                now = self._clock.monotonic()
                if event.state is not JobState.RUNNING:
                    self._followed.pop(event.job_id, None)
                elif event.progress is not None:
                    self._followed.setdefault(event.job_id, _Pace(now + RUNNING_SECONDS / 2))
                    self._refresh_running(tasks)

    async def _follow_waiting(self, tasks: asyncio.TaskGroup) -> None:
        async def turn() -> None:
            await self._clock.sleep(1.0)
            self._refresh_waiting(tasks)
            self._refresh_running(tasks)  # a bar moves between two reports too

        await repeat(turn, name="live", clock=self._clock)

    def _refresh_running(self, tasks: asyncio.TaskGroup) -> None:
        """Start to refresh the cards of running jobs whose pace allows it."""
        now = self._clock.monotonic()
        for job_id, pace in self._followed.items():
            if now >= pace.next_at:
                self._start_refresh(job_id, tasks)
                pace.note_edit(now)

    def _refresh_waiting(self, tasks: asyncio.TaskGroup) -> None:
        """Start to refresh the cards of jobs near the front that moved to another band."""
        now = self._clock.monotonic()
        waiting, crowded = self._jobs.front(), self._crowded
        self._crowded = len(waiting) == EXACT
        for position, job_id in enumerate(waiting, 1):
            at, shown = self._shown.get(job_id, (now - WAITING_SECONDS, -1))
            if band(position) != shown and now - at >= WAITING_SECONDS:
                self._shown[job_id] = (now, band(position))
                # The outbox has just posted the card of a job that is new here, unless it has
                # moved up from behind the front.
                if shown != -1 or crowded:
                    self._start_refresh(job_id, tasks)
        self._shown = {job_id: self._shown[job_id] for job_id in waiting if job_id in self._shown}

    def _start_refresh(self, job_id: str, tasks: asyncio.TaskGroup) -> None:
        """Refresh a card on its own: a platform that does not answer must not hold the others."""
        tasks.create_task(self._refresh(job_id), name=f"live-{job_id}")

    async def _refresh(self, job_id: str) -> None:
        try:
            await self._delivery.refresh(job_id)
        except RushesError as error:
            _log.info("live.skipped", job=job_id, code=error.code)
        except TimeoutError:
            _log.info("live.skipped", job=job_id, code="timeout")
        except Exception as error:  # noqa: BLE001 - one card must not stop the others
            log_bug(_log, "live.bug", error, job=job_id)
