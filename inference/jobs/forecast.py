"""Queue forecast: position of each waiting job, and GPU time before it.

The front of the queue is forecast exactly, job by job. Farther back a position is computed from
start tags: one binary search per tenant counts the jobs that start earlier. A change in the queue
costs the front and the tenant that changed, never the whole queue.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice

from inference.domain.fairness import Head
from inference.jobs.estimates.cost_model import Stages
from inference.jobs.queue import JobQueue

EXACT = 100
"""Jobs at the front whose order is worked out; behind them people only care for the magnitude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastEntry:
    """Position of a job, and the GPU time before it."""

    position: int
    """1 is the next to be served."""
    before: float
    """GPU seconds of the jobs that are served before it."""
    stages: Stages
    """What it takes itself, as of now."""

    @property
    def cost(self) -> float:
        """Its own GPU seconds."""
        return self.stages.render


@dataclass(frozen=True, slots=True, order=True)
class FreeSlot:
    """When a slot is free, and with which model."""

    after: float
    """Seconds until it is free."""
    model: str | None = field(default=None, compare=False)
    """What is warm there then."""

    def with_job(self, head: Head, stages: Stages) -> FreeSlot:
        """Return the slot as it is after one more job."""
        return FreeSlot(self.ready(head, stages), head.model)

    def ready(self, head: Head, stages: Stages) -> float:
        """Return the seconds until a job is rendered there."""
        load = 0.0 if head.model == self.model else stages.load
        return self.after + load + stages.render


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """Position of a waiting job, with the expected times of its start and end."""

    position: int
    """1 is the next to be served."""
    start_in: float
    """Seconds until the GPU takes it."""
    ready_in: float
    """Seconds until its clip is there."""


class QueueForecast:
    """Queue positions, computed on demand."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._version = -1
        self._front: dict[str, ForecastEntry] = {}
        self._rows: dict[str, _Row] = {}

    def position(self, job_id: str) -> ForecastEntry | None:
        """Return the position of a job, or None when it is not queued."""
        tenant = self._queue.tenant_of(job_id)
        if tenant is None:
            return None
        return self.front().get(job_id) or self._behind(job_id, tenant)

    def front(self) -> dict[str, ForecastEntry]:
        """Return the first jobs in the expected order of service, by id."""
        if self._version != self._queue.version:
            self._front, before = {}, 0.0
            for number, (_, head) in enumerate(islice(self._queue.forecast(), EXACT), 1):
                stages = self._queue.ticket(head.job_id).stages
                entry = ForecastEntry(position=number, before=before, stages=stages)
                self._front[head.job_id] = entry
                before += entry.cost
            self._version = self._queue.version
        return self._front

    def times(self, job_id: str, slots: Sequence[FreeSlot]) -> QueuePosition | None:
        """Return when a waiting job starts and is ready, or None when it is not queued."""
        entry = self.position(job_id)
        if entry is None:
            return None
        head, free = self._queue.ticket(job_id).head, list(slots)
        heapq.heapify(free)
        if entry.position > EXACT:
            after = (sum(slot.after for slot in free) + entry.before) / len(free)
            first = FreeSlot(after, head.model)
        else:
            for ahead, its in islice(self.front().items(), entry.position - 1):
                taken = free[0].with_job(self._queue.ticket(ahead).head, its.stages)
                heapq.heapreplace(free, taken)
            first = free[0]
        return QueuePosition(
            position=entry.position,
            start_in=first.after,
            ready_in=first.ready(head, entry.stages) + entry.stages.deliver,
        )

    def in_tenant(self, tenant: str) -> dict[str, int]:
        """Return the jobs of one tenant in its own order: id -> index."""
        row = self._row(tenant)
        return {} if row is None else row.index

    def _behind(self, job_id: str, tenant: str) -> ForecastEntry | None:
        """Return a position behind the front, by start tags alone."""
        row, shares = self._row(tenant), self._queue.shares
        if row is None or job_id not in row.index:
            return None
        index = row.index[job_id]
        begins = shares.start(tenant) + row.before[index] / shares.weight(tenant)
        count, seconds = index, row.before[index]
        for other in self._queue.queues:
            if other != tenant and (theirs := self._row(other)) is not None:
                until = (begins - shares.start(other)) * shares.weight(other)
                earlier = bisect_left(theirs.before, until, hi=len(theirs.index))
                count += earlier
                seconds += theirs.before[earlier]
        return ForecastEntry(
            position=max(count, len(self.front())) + 1,
            before=seconds,
            stages=self._queue.ticket(job_id).stages,
        )

    def _row(self, tenant: str) -> _Row | None:
        queue = self._queue.queues.get(tenant)
        if queue is None:
            self._rows.pop(tenant, None)
            return None
        row = self._rows.get(tenant)
        if row is None or row.changes != queue.changes:
            heads = list(queue.upcoming())
            row = self._rows[tenant] = _Row(
                changes=queue.changes,
                index={head.job_id: number for number, head in enumerate(heads)},
                before=list(accumulate((head.cost for head in heads), initial=0.0)),
            )
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One tenant's jobs in its own order."""

    changes: object
    """`TenantQueue.changes` when it was made."""
    index: dict[str, int]
    before: list[float]
    """GPU seconds before each of them, and at last of all."""
