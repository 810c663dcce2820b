"""Fairness between tenants: start-time fair queueing decides whose job is next. No clock, no I/O.

Every tenant has a virtual time: the GPU seconds it was given, divided by its weight. The tenant
with the earliest *start tag* goes first, `start = max(system virtual time, own virtual time)`, and
is charged the estimated cost at once; the end of the job corrects the charge. A tenant that was
away starts at the system's virtual time: it neither banks credit nor pays for its absence.
(Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996.)
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

TIE = 0.1
"""Start tags closer than this share of a job are a tie, and the earlier arrival goes first: the
corrections after each job are noise at that scale, and noise should not decide whose turn it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The next job of a tenant."""

    job_id: str
    model: str
    cost: float
    """Estimated GPU seconds."""
    load_seconds: float
    """What bringing its model in would cost if it is not there."""
    sequence: int
    """Breaks ties: earlier in the queue first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """New values of the persisted virtual times."""

    tenant: str
    tenant_virtual_time: float
    virtual_time: float
    affinity_debt: Mapping[str, float] = field(default_factory=dict)
    """New value of `Shares.affinity_debt`; not persisted."""


@dataclass(slots=True, kw_only=True)
class Shares:
    """State of the fair queue; persisted with every charge."""

    virtual_time: float = 0.0
    tenants: dict[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    """Tenant -> weight; 1 where unnamed. Twice the weight is twice the GPU seconds."""
    affinity_debt: Mapping[str, float] = field(default_factory=dict)
    """Slot -> GPU seconds that it gave to its warm model out of turn since somebody was served in
    turn."""

    def start(self, tenant: str) -> float:
        """Return the start tag of the tenant's next job."""
        return max(self.virtual_time, self.tenants.get(tenant, 0.0))

    def weight(self, tenant: str) -> float:
        """Return the tenant's weight."""
        return self.weights.get(tenant, 1.0)

    def choose(
        self, heads: Mapping[str, Head], *, warm_model: str | None = None, slot: str = ""
    ) -> str:
        """Return the tenant to serve next on a slot.

        A tenant whose head uses the warm model may go first if it starts less than one model load
        after the fair one: swapping models would cost everybody more than it waits. All of them
        together may do so for one model load, or ever new tenants would keep the fair one waiting.

        Args:
            heads: The next job of every waiting tenant; not empty.
            warm_model: The model on the slot's device now.
            slot: Its name.
        """
        fair = self.fair(heads)
        head = heads[fair]
        if warm_model in {None, head.model} or self._debt(slot) >= head.load_seconds:
            return fair
        latest = self.start(fair) + head.load_seconds / self.weight(fair)
        warm = (
            tenant
            for tenant, other in heads.items()
            if other.model == warm_model and self.start(tenant) < latest
        )
        return min(
            warm, key=lambda tenant: (self.start(tenant), heads[tenant].sequence), default=fair
        )

    def _debt(self, slot: str) -> float:
        return self.affinity_debt.get(slot, 0.0)

    def fair(self, heads: Mapping[str, Head]) -> str:
        """Return the tenant whose turn it is, whatever model is warm."""
        earliest = min(heads, key=lambda tenant: (self.start(tenant), heads[tenant].sequence))
        latest = self.tie_limit(earliest, heads[earliest], self.start(earliest))
        tied = (tenant for tenant in heads if self.start(tenant) <= latest)
        return min(tied, key=lambda tenant: heads[tenant].sequence)

    def tie_limit(self, tenant: str, head: Head, start: float) -> float:
        """Return the latest start tag that counts as equal to this earliest one."""
        return start + TIE * head.cost / self.weight(tenant)

    def charge(
        self, tenant: str, head: Head, heads: Mapping[str, Head], *, slot: str = ""
    ) -> Charge:
        """Return the virtual times once `tenant` has been given a slot for `head`.

        The system's virtual time follows the earliest waiting start tag, not the served one, so
        that letting a warm model go first takes nothing from those who waited.

        Args:
            tenant: Who is served.
            head: The job that is taken.
            heads: The next job of every waiting tenant, also of those that the slot cannot serve.
            slot: Its name.
        """
        earliest = min(self.start(other) for other in heads)
        in_turn = tenant == self.fair(heads)
        debt = {} if in_turn else {**self.affinity_debt, slot: self._debt(slot) + head.cost}
        return Charge(
            tenant=tenant,
            tenant_virtual_time=self.start(tenant) + head.cost / self.weight(tenant),
            virtual_time=max(self.virtual_time, earliest),
            affinity_debt=debt,
        )

    def correct(self, tenant: str, seconds: float) -> Charge:
        """Return the virtual times after a charge turned out `seconds` too small (or too big)."""
        now = self.tenants.get(tenant, self.virtual_time)
        return Charge(
            tenant=tenant,
            tenant_virtual_time=max(0.0, now + seconds / self.weight(tenant)),
            virtual_time=self.virtual_time,
            affinity_debt=self.affinity_debt,
        )

    def apply(self, charge: Charge) -> None:
        """Adopt a charge that was persisted."""
        self.tenants[charge.tenant] = charge.tenant_virtual_time
        self.virtual_time = charge.virtual_time
        self.affinity_debt = charge.affinity_debt


class Backlog(Protocol):
    """The waiting heads of one tenant, in its own order (`jobs.queue.TenantQueue`)."""

    def upcoming(self) -> Iterator[Head]:
        """Yield the tenant's jobs in the order they would be served."""
        ...


def forecast(shares: Shares, backlogs: Mapping[str, Backlog]) -> Iterator[tuple[str, Head]]:
    """Yield (tenant, job) in the expected order of service, ignoring model swaps and new jobs.

    A few heap operations per job, so a full queue is forecast in milliseconds.
    """
    streams = {tenant: backlog.upcoming() for tenant, backlog in backlogs.items()}
    heads: dict[str, Head] = {}
    by_start: list[tuple[float, int, str, str]] = []  # all heads, and some already served
    later: list[tuple[float, int, str]] = []  # the heads that start after the present tie
    tied: list[tuple[int, float, str]] = []  # the others, the earlier arrival first

    def enter(tenant: str, start: float) -> None:
        for head in itertools.islice(streams[tenant], 1):
            heads[tenant] = head
            heapq.heappush(by_start, (start, head.sequence, tenant, head.job_id))
            heapq.heappush(later, (start, head.sequence, tenant))

    for tenant in streams:
        enter(tenant, shares.start(tenant))
    while heads:
        start, _, tenant, job_id = by_start[0]
        if tenant not in heads or heads[tenant].job_id != job_id:
            heapq.heappop(by_start)
            continue
        latest = shares.tie_limit(tenant, heads[tenant], start)
        while later and later[0][0] <= latest:
            start, sequence, tenant = heapq.heappop(later)
            heapq.heappush(tied, (sequence, start, tenant))
        sequence, start, tenant = heapq.heappop(tied)
        if start > latest:  # this tie is narrower than the one before
            heapq.heappush(later, (start, sequence, tenant))
            continue
        head = heads.pop(tenant)
        yield tenant, head
        enter(tenant, start + head.cost / shares.weight(tenant))
