"""In-memory job queue: one asyncio queue of ids per tenant, and the fair choice between them.

Everything here is rebuilt from the store at start; the store's claim decides in the end.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from inference.domain.fairness import Charge, Head, Shares, forecast
from inference.jobs.estimates.cost_model import Stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Queue entry of a job."""

    head: Head
    tenant: str
    requester_id: str
    fits: Callable[[str], bool] = field(default=lambda _slot: True, compare=False)
    """Whether the slot of a name may render it."""
    expected: Callable[[], Stages] | None = field(default=None, compare=False)
    """What it is expected to take as of now; without, what its head was made with."""

    @property
    def stages(self) -> Stages:
        """Expected seconds of its stages, on a slot that has to load its model."""
        head = self.head
        if self.expected is None:
            return Stages(load=head.load_seconds, text=0.0, sample=head.cost, rest=0.0)
        return self.expected()


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
        ticket = self.first()
        self.take(ticket)
        return ticket

    def take(self, ticket: Ticket) -> None:
        """Remove a job that is to be served; its requester's next one waits for all others."""
        self.changes = object()
        tickets = self._turns.pop(ticket.requester_id)
        tickets.remove(ticket)
        if tickets:
            self._turns[ticket.requester_id] = tickets

    def qsize(self) -> int:
        """Return the number of waiting jobs."""
        return sum(len(tickets) for tickets in self._turns.values())

    def empty(self) -> bool:
        """Return whether no job waits; the base class asks this before every get."""
        return not self._turns

    def first(self) -> Ticket:
        """Return the job that `get_nowait` would return."""
        return next(iter(self._turns.values()))[0]

    def first_for(self, slot: str) -> Ticket | None:
        """Return the first job that a slot may render."""
        return next((ticket for ticket in self._upcoming() if ticket.fits(slot)), None)

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
        return (ticket.head for ticket in self._upcoming())

    def _upcoming(self) -> Iterator[Ticket]:
        for round_ in itertools.zip_longest(*self._turns.values()):
            yield from (ticket for ticket in round_ if ticket is not None)


class JobQueue:
    """Queues of all tenants, with the shares that decide between them."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self._queues: dict[str, TenantQueue] = {}
        self._tickets: dict[str, Ticket] = {}
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
        ticket = self._tickets.get(job_id)
        return None if ticket is None else ticket.tenant

    def ticket(self, job_id: str) -> Ticket:
        """Return the entry of a queued job."""
        return self._tickets[job_id]

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
        self._tickets[ticket.head.job_id] = ticket
        self.version += 1

    def discard(self, job_id: str, tenant: str) -> None:
        """Remove a job; unknown ids are ignored."""
        queue = self._queues.get(tenant)
        if queue is not None and queue.discard(job_id):
            self._tickets.pop(job_id, None)
            self._drop_if_empty(tenant)
            self.version += 1

    def next_model(self) -> str:
        """Return the model of the job whose turn it is; the queue must not be empty."""
        heads = self._heads()
        return heads[self.shares.fair(heads)].model

    def take(self, warm_model: str | None, slot: str = "") -> tuple[Ticket, Charge] | None:
        """Remove and return the next job for a slot, with the charge that its claim must persist.

        The charge is not applied: that is for after the claim.

        Args:
            warm_model: The model on the slot's device now.
            slot: Its name.

        Returns:
            None where no waiting job is for this slot.
        """
        found = {
            tenant: ticket
            for tenant, queue in self._queues.items()
            if (ticket := queue.first_for(slot)) is not None
        }
        if not found:
            return None
        candidates = {tenant: ticket.head for tenant, ticket in found.items()}
        tenant = self.shares.choose(candidates, warm_model=warm_model, slot=slot)
        charge = self.shares.charge(tenant, candidates[tenant], self._heads(), slot=slot)
        ticket = found[tenant]
        self._queues[tenant].take(ticket)
        self._tickets.pop(ticket.head.job_id, None)
        self._drop_if_empty(tenant)
        self.version += 1
        return ticket, charge

    def forecast(self) -> Iterator[tuple[str, Head]]:
        """Yield (tenant, job) in the expected order of service."""
        return forecast(self.shares, self._queues)

    def invalidate_forecasts(self) -> None:
        """Invalidate forecasts without a change of the queue, such as when the GPU becomes free."""
        self.version += 1

    def _heads(self) -> dict[str, Head]:
        return {tenant: queue.first().head for tenant, queue in self._queues.items()}

    def _drop_if_empty(self, tenant: str) -> None:
        if self._queues[tenant].empty():
            del self._queues[tenant]
