"""In-memory job queue: one asyncio queue of ids per tenant, and the fair choice between them.

Everything here is rebuilt from the store at start; the store's claim decides in the end.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from inference.domain.scheduler import Charge, Head, Shares, forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Queue entry of a job."""

    head: Head
    tenant: str
    requester_id: str


class TenantQueue(asyncio.Queue[Ticket]):
    """Queue of one tenant: round-robin over requesters, each one's jobs in order."""

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - the base class' hook
        self._turns: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self.changes = object()
        """Another one after every change; that of a new queue is like no other."""

    def _put(self, item: Ticket) -> None:
        self.changes = object()
        self._turns.setdefault(item.requester_id, deque()).append(item)

    def _get(self) -> Ticket:
        self.changes = object()
        requester_id, tickets = self._turns.popitem(last=False)
        ticket = tickets.popleft()
        if tickets:
            self._turns[requester_id] = tickets
        return ticket

    def qsize(self) -> int:
        """Return the number of waiting jobs."""
        return sum(len(tickets) for tickets in self._turns.values())

    def empty(self) -> bool:
        """Return whether no job waits; the base class asks this before every get."""
        return not self._turns

    def first(self) -> Ticket:
        """Return the job that `get_nowait` would return."""
        return next(iter(self._turns.values()))[0]

    def put_back(self, ticket: Ticket) -> None:
        """Put a job back to the very front."""
        self.changes = object()
        tickets = self._turns.setdefault(ticket.requester_id, deque())
        tickets.appendleft(ticket)
        self._turns.move_to_end(ticket.requester_id, last=False)

    def discard(self, job_id: str) -> bool:
        """Remove a job; return whether it was there."""
        for requester_id, tickets in self._turns.items():
            for ticket in tickets:
                if ticket.head.job_id == job_id:
                    self.changes = object()
                    tickets.remove(ticket)
                    if not tickets:
                        del self._turns[requester_id]
                    return True
        return False

    def tickets(self) -> Iterator[Ticket]:
        """Yield all waiting jobs, in no particular order."""
        for tickets in self._turns.values():
            yield from tickets

    def upcoming(self) -> Iterator[Head]:
        """Yield the waiting jobs in the order in which they would be served."""
        for round_ in itertools.zip_longest(*self._turns.values()):
            for ticket in round_:
                if ticket is not None:
                    yield ticket.head


class JobQueue:
    """Queues of all tenants, with the shares that decide between them."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self._queues: dict[str, TenantQueue] = {}
        self._tenants: dict[str, str] = {}
        self._filled = asyncio.Event()
        self.version = 0
        """Counts changes, so that forecasts can be reused until the next one."""

    def __len__(self) -> int:
        return sum(queue.qsize() for queue in self._queues.values())

    @property
    def queues(self) -> Mapping[str, TenantQueue]:
        """Tenant -> its queue, for tenants with waiting jobs."""
        return self._queues

    def tenant_of(self, job_id: str) -> str | None:
        """Return the tenant of a queued job, or None."""
        return self._tenants.get(job_id)

    def tickets(self) -> Iterator[Ticket]:
        """Yield all waiting jobs, in no particular order."""
        for queue in self._queues.values():
            yield from queue.tickets()

    def put(self, ticket: Ticket, *, front: bool = False) -> None:
        """Add a job: last of its requester's, or at the front of its tenant's."""
        queue = self._queues.setdefault(ticket.tenant, TenantQueue())
        if front:
            queue.put_back(ticket)
        else:
            queue.put_nowait(ticket)
        self._tenants[ticket.head.job_id] = ticket.tenant
        self._changed()

    def discard(self, job_id: str, tenant: str) -> None:
        """Remove a job; unknown ids are ignored."""
        queue = self._queues.get(tenant)
        if queue is not None and queue.discard(job_id):
            self._tenants.pop(job_id, None)
            self._drop_if_empty(tenant)
            self._changed()

    async def not_empty(self) -> None:
        """Wait until a job is in the queue."""
        while not self._queues:  # who woke us may have left again before we ran
            await self._filled.wait()

    def take(self, warm_model: str | None) -> tuple[Ticket, Charge]:
        """Remove and return the next job, with the charge that its claim must persist.

        The charge is not applied: that is for after the claim.
        """
        heads = {tenant: queue.first().head for tenant, queue in self._queues.items()}
        tenant = self.shares.choose(heads, warm_model=warm_model)
        charge = self.shares.charge(tenant, heads[tenant], heads)
        ticket = self._queues[tenant].get_nowait()
        self._tenants.pop(ticket.head.job_id, None)
        self._drop_if_empty(tenant)
        self._changed()
        return ticket, charge

    def forecast(self) -> Iterator[tuple[str, Head]]:
        """Yield (tenant, job) in the expected order of service."""
        return forecast(self.shares, self._queues)

    def invalidate_forecasts(self) -> None:
        """Invalidate forecasts without a change of the queue, such as when the GPU becomes free."""
        self.version += 1

    def _drop_if_empty(self, tenant: str) -> None:
        if self._queues[tenant].empty():
            del self._queues[tenant]

    def _changed(self) -> None:
        self.version += 1
        if self._queues:
            self._filled.set()
        else:
            self._filled.clear()
