"""Admission rules of the queue."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from inference.domain.errors import UserError
from inference.domain.quota import Usage

CEILING = 2
"""Times the cap on all waiting jobs, where nobody gets a place any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Queue counts, as one transaction sees them."""

    total: int
    tenant: int
    requester: int
    """In all tenants together: another guild must not be a way around the cap."""
    newest_at: float | None
    """When the requester last submitted something, Unix seconds."""
    usage: Usage = field(default_factory=Usage)
    """GPU time in the day of the order's quota; nothing where there is no quota."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Limits on waiting jobs. The running job does not count.

    Past `total`, a tenant with nothing waiting still gets one place, up to `ceiling`: guilds that
    were made to fill the queue do not lock the others out.
    """

    per_tenant: int = 5
    per_requester: int = 4
    total: int = 200
    cooldown_seconds: float = 0.0
    job_seconds: float = math.inf
    """Longest estimated GPU time of one job: others wait for as long."""

    @property
    def ceiling(self) -> int:
        """Absolute maximum of waiting jobs."""
        return CEILING * self.total


def admit_length(cost: float, limits: QueueLimits) -> None:
    """Check a job's estimated GPU seconds against the limit.

    Raises:
        UserError: `queue.job_too_long`.
    """
    if cost > limits.job_seconds:
        raise UserError("queue.job_too_long", seconds=cost, limit=limits.job_seconds)


def admit(counts: Counts, limits: QueueLimits, *, now: float) -> None:
    """Check the queue limits and the cooldown for one more job.

    Raises:
        UserError: `queue.full_user`, `queue.full_tenant`, `queue.full_total`, `queue.cooldown`.
    """
    if counts.requester >= limits.per_requester:
        raise UserError("queue.full_user", limit=limits.per_requester, count=counts.requester)
    if counts.tenant >= limits.per_tenant:
        raise UserError("queue.full_tenant", limit=limits.per_tenant, count=counts.tenant)
    if counts.total >= (limits.ceiling if counts.tenant == 0 else limits.total):
        raise UserError("queue.full_total", limit=limits.total, count=counts.total)
    if counts.newest_at is not None:
        # A job from the future means that the wall clock jumped back: better no cooldown than one
        # that lasts until the clock is there again.
        elapsed = now - counts.newest_at
        if 0 <= elapsed < limits.cooldown_seconds:
            raise UserError("queue.cooldown", seconds=limits.cooldown_seconds - elapsed)
