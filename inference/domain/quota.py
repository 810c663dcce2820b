"""Daily GPU-time quotas per person and guild, in whole milliseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from inference.domain.errors import UserError


def milliseconds(seconds: float) -> int:
    """Convert seconds to the ledger's unit, rounded up."""
    return math.ceil(seconds * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Quota of the day an order falls into; None is unlimited."""

    requester_seconds: int | None = None
    tenant_seconds: int | None = None
    person_seconds: int | None = None
    """Of the requester in all tenants together, as the operator set it."""
    since: float
    """Beginning of the day, Unix seconds; what was charged before does not count."""
    until: float
    """End of the day: from then on all is free again."""
    person_since: float | None = None
    """Beginning of the operator's day, which no guild moves with its time zone; `since` if None."""
    person_until: float | None = None
    """End of that day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Milliseconds charged today, and reserved by unfinished jobs."""

    tenant_spent: int = 0
    requester_spent: int = 0
    tenant_reserved: int = 0
    requester_reserved: int = 0
    person_spent: int = 0
    """Of the requester in all tenants together."""
    person_reserved: int = 0

    def without(self, cost: float) -> Usage:
        """Return the usage without one reserved job of the requester."""
        reserved = milliseconds(cost)
        return replace(
            self,
            tenant_reserved=self.tenant_reserved - reserved,
            requester_reserved=self.requester_reserved - reserved,
            person_reserved=self.person_reserved - reserved,
        )

    def remaining(self, quota: Quota) -> int | None:
        """Return the milliseconds of GPU time left for the next job; None is without limit."""
        free = [
            limit * 1000 - taken
            for limit, taken in (
                (quota.requester_seconds, self.requester_spent + self.requester_reserved),
                (quota.tenant_seconds, self.tenant_spent + self.tenant_reserved),
                (quota.person_seconds, self.person_spent + self.person_reserved),
            )
            if limit is not None
        ]
        return max(0, min(free)) if free else None


def admit_cost(usage: Usage, quota: Quota, cost: float, *, now: float) -> None:
    """Check a job's GPU seconds against the quota.

    Raises:
        UserError: `quota.requester` or `quota.tenant`: what is used, reserved and left, in whole
            seconds, and the seconds until the day ends.
    """
    person_until = quota.until if quota.person_until is None else quota.person_until
    for limit, spent, reserved, until in (
        (quota.requester_seconds, usage.requester_spent, usage.requester_reserved, quota.until),
        (quota.person_seconds, usage.person_spent, usage.person_reserved, person_until),
    ):
        if figures := _figures(limit, spent, reserved, cost):
            raise UserError("quota.requester", seconds=max(0.0, until - now), **figures)
    figures = _figures(quota.tenant_seconds, usage.tenant_spent, usage.tenant_reserved, cost)
    if figures:
        raise UserError("quota.tenant", seconds=max(0.0, quota.until - now), **figures)


def _figures(limit: int | None, spent: int, reserved: int, cost: float) -> dict[str, int]:
    """Return the figures of a refusal in whole seconds; empty where there is room."""
    if limit is None or spent + reserved + milliseconds(cost) <= limit * 1000:
        return {}
    return {
        "limit": limit,
        "used": math.ceil(spent / 1000),
        "reserved": math.ceil(reserved / 1000),
        "cost": math.ceil(cost),
    }
