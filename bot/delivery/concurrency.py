"""Concurrency limits of delivery: one for each platform and kind of work.

A platform that hangs, or uploads that take minutes, must not hold up anything else. Nor must one
guild or workspace whose requests hang hold up the others of its platform: it gets half of a pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from inference.domain.outbox import ActKind


class DeliveryPool(StrEnum):
    """A kind of work with its own concurrency limit on each platform."""

    CARDS = "cards"
    """Small messages: cards and notices."""
    UPLOADS = "uploads"
    """Messages with a file."""
    REMOVALS = "removals"
    PROGRESS = "progress"
    """Edits that only show progress; skipped when there is no room."""
    SHRINKING = "shrinking"
    """Files that are made smaller before their upload; the media process has its own limit."""


POOLS: Mapping[ActKind, DeliveryPool] = {
    ActKind.CARD: DeliveryPool.CARDS,
    ActKind.NOTICE: DeliveryPool.CARDS,
    ActKind.CLIP: DeliveryPool.UPLOADS,
    ActKind.SHEET: DeliveryPool.UPLOADS,
    ActKind.REMOVAL: DeliveryPool.REMOVALS,
}

LIMITS: Mapping[DeliveryPool, int] = {
    DeliveryPool.CARDS: 16,
    DeliveryPool.UPLOADS: 8,
    DeliveryPool.REMOVALS: 4,
    DeliveryPool.PROGRESS: 4,
}
"""Jobs under way at once, on each platform."""

TENANT_DIVISOR = 2
"""One tenant may have under way what fits into a pool, divided by this."""

TRY_SECONDS: Mapping[DeliveryPool, float] = {
    DeliveryPool.CARDS: 120.0,
    DeliveryPool.UPLOADS: 300.0,
    DeliveryPool.REMOVALS: 120.0,
    DeliveryPool.PROGRESS: 20.0,
}
"""Time limit of one try; longer means that the connection is dead."""


class ActiveJobs:
    """Jobs that are being delivered, and how many more each pool takes."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, DeliveryPool]] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._taken

    @property
    def pools(self) -> Mapping[str, DeliveryPool]:
        """The pools of jobs that are being delivered; nothing else is sent for these now."""
        return {job_id: pool for job_id, (_, pool) in self._taken.items()}

    def take(self, job_id: str, platform: str, pool: DeliveryPool) -> None:
        """Count a job in a pool, or move it to another one."""
        self._taken[job_id] = (platform, pool)

    def free(self, job_id: str) -> None:
        """Note that a job is no longer being delivered."""
        self._taken.pop(job_id, None)

    def room(
        self, platforms: Iterable[str]
    ) -> dict[tuple[str, ActKind], tuple[DeliveryPool, int, int]]:
        """Return each pool with room, by platform and kind of act, and how many more jobs it takes.

        The last number is how many jobs of one tenant may be under way there.
        """
        used: dict[tuple[str, DeliveryPool], int] = {}
        for taken in self._taken.values():
            used[taken] = used.get(taken, 0) + 1
        return {
            (platform, kind): (pool, free, tenant_limit(pool))
            for platform in platforms
            for kind, pool in POOLS.items()
            if (free := LIMITS[pool] - used.get((platform, pool), 0)) > 0
        }

    def full(self, platform: str, pool: DeliveryPool) -> bool:
        """Whether a pool takes no more jobs."""
        return sum(taken == (platform, pool) for taken in self._taken.values()) >= LIMITS[pool]


def tenant_limit(pool: DeliveryPool) -> int:
    """Return how many jobs of one tenant may be under way in a pool of a platform."""
    return LIMITS[pool] // TENANT_DIVISOR
