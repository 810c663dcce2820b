"""Concurrency limits of delivery: one for each platform and kind of work.

A platform that hangs, or uploads that take minutes, must not hold up anything else. Nor must one
guild or workspace whose requests hang hold up the others of its platform: it gets half of a lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from inference.domain.outbox import ActKind


class Lane(StrEnum):
    """A kind of work with a limit of its own on each platform."""

    CARDS = "cards"
    """Small messages: cards and notices."""
    UPLOADS = "uploads"
    """Messages with a file."""
    REMOVALS = "removals"
    PROGRESS = "progress"
    """Edits that only show progress; skipped when there is no room."""
    SHRINKING = "shrinking"
    """Files that are made smaller before their upload; the media process has its own limit."""


LANES: Mapping[ActKind, Lane] = {
    ActKind.CARD: Lane.CARDS,
    ActKind.NOTICE: Lane.CARDS,
    ActKind.CLIP: Lane.UPLOADS,
    ActKind.REMOVAL: Lane.REMOVALS,
}

SLOTS: Mapping[Lane, int] = {
    Lane.CARDS: 16,
    Lane.UPLOADS: 8,
    Lane.REMOVALS: 4,
    Lane.PROGRESS: 4,
}
"""Jobs under way at once, on each platform."""

TENANTS_SHARE = 2
"""One tenant may have under way what fits into a lane, divided by this."""

TRY_SECONDS: Mapping[Lane, float] = {
    Lane.CARDS: 120.0,
    Lane.UPLOADS: 300.0,
    Lane.REMOVALS: 120.0,
    Lane.PROGRESS: 20.0,
}
"""Time limit of one try; longer means that the connection is dead."""


class Slots:
    """Jobs under way, each once, and the room that is left for more."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, Lane]] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._taken

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Jobs under way, each with its lane: nothing else may be sent for them now."""
        return {job_id: lane for job_id, (_, lane) in self._taken.items()}

    def take(self, job_id: str, platform: str, lane: Lane) -> None:
        """Put a job under way, or move it to another lane."""
        self._taken[job_id] = (platform, lane)

    def free(self, job_id: str) -> None:
        """Note that a job is no longer under way."""
        self._taken.pop(job_id, None)

    def room(self, platforms: Iterable[str]) -> dict[tuple[str, ActKind], tuple[Lane, int, int]]:
        """Return the lane of each kind of act on each platform, with its free slots, if any.

        The last number is how many jobs of one tenant may be under way there.
        """
        used: dict[tuple[str, Lane], int] = {}
        for taken in self._taken.values():
            used[taken] = used.get(taken, 0) + 1
        return {
            (platform, kind): (lane, free, tenant_slots(lane))
            for platform in platforms
            for kind, lane in LANES.items()
            if (free := SLOTS[lane] - used.get((platform, lane), 0)) > 0
        }

    def full(self, platform: str, lane: Lane) -> bool:
        """Whether a lane has no free slot."""
        return sum(taken == (platform, lane) for taken in self._taken.values()) >= SLOTS[lane]


def tenant_slots(lane: Lane) -> int:
    """Return how many jobs of one tenant may be under way in a lane of a platform."""
    return SLOTS[lane] // TENANTS_SHARE
