"""Queue forecast: at which position a job is, and how much GPU time comes before it.

The front of the queue is forecast exactly, job by job. Farther back a position is computed from
start tags: one binary search per tenant counts the jobs that start earlier. A change in the queue
costs the front and the tenant that changed, never the whole queue.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, islice

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
    cost: float
    """Its own GPU seconds."""


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
                self._front[head.job_id] = ForecastEntry(
                    position=number, before=before, cost=head.cost
                )
                before += head.cost
            self._version = self._queue.version
        return self._front

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
            cost=row.before[index + 1] - row.before[index],
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
