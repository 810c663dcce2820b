"""Job events for subscribers in this process. They are hints; the store is the truth."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from inference.domain.job import WAITING, Job, JobState
from inference.domain.render import Progress

MAX_PENDING = 1000
"""Events kept for a slow subscriber; beyond it the oldest are dropped, never the publisher held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """A change of state, progress or queue position of a job."""

    job_id: str
    tenant: str
    state: JobState
    progress: Progress | None = None


class EventBus:
    """In-process publish/subscribe for job events."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[JobEvent]] = set()
        self.departures = 0
        """How often a job did not wait any more: places may have become free since."""

    def publish(self, event: JobEvent) -> None:
        """Put the event into every subscriber's queue without waiting."""
        if event.progress is None and event.state not in WAITING:
            self.departures += 1
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[JobEvent]]:
        """Yield a queue that receives every event published inside the block."""
        queue: asyncio.Queue[JobEvent] = asyncio.Queue(MAX_PENDING)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def wait_past(
        self,
        job_ids: Iterable[str],
        states: Collection[JobState],
        *,
        read: Callable[[str], Awaitable[Job]],
        seconds: float,
    ) -> list[Job]:
        """Return jobs as they are once none is in one of these states, or when time is up.

        Args:
            job_ids: The jobs.
            states: What they are expected to leave.
            read: Reads a job.
            seconds: How long they are waited for at most.
        """
        wanted = list(job_ids)
        deadline = asyncio.get_running_loop().time() + seconds
        with self.subscribe() as moves:
            while True:
                jobs = [await read(job_id) for job_id in wanted]
                if not any(job.state in states for job in jobs):
                    return jobs
                try:
                    async with asyncio.timeout_at(deadline):
                        await next_move(moves, wanted)
                except TimeoutError:
                    return jobs


async def next_move(moves: asyncio.Queue[JobEvent], job_ids: Collection[str]) -> None:
    """Wait until something happened to one of some jobs."""
    while (await moves.get()).job_id not in job_ids:
        pass
