"""Who may see a job: the one rule behind every list, card, button, suggestion and route.

A job from a private channel is for the people in it, its requester and the channel's admins; any
other job is for its tenant. All others learn only that a place in the queue is taken. The
operator of the machine also learns the ids, to cancel by, but no prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from inference.domain.job import Job


class JobAccess(IntEnum):
    """How much of a job a viewer may see."""

    NONE = 0
    """Nothing; in the queue of its tenant, that a place is taken."""
    ID = 1
    """Its id as well."""
    ALL = 2


def _nowhere(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """A person who looks at jobs, in a channel."""

    tenant: str
    person: str = ""
    """As the tenant knows them; empty for no particular person."""
    channels: frozenset[str] = frozenset()
    """The channel they look from; for a thread also the channel it is in."""
    guest: bool = False
    """Whether they belong to the tenant in that one channel only."""
    operator: bool = False
    administers: Callable[[str], bool] = _nowhere
    """Whether they are an admin of a private channel, given by its id."""
    turned_private: frozenset[str] = frozenset()
    """Channels that were public when jobs were asked for there, and are not any more."""


def find_job_access(job: Job, viewer: Viewer) -> JobAccess:
    """Return how much of a job a viewer may see."""
    if job.tenant != viewer.tenant:
        return JobAccess.NONE
    if viewer.person and job.requester.id == viewer.person:
        return JobAccess.ALL
    channel = job.audience.channel
    if channel and (channel in viewer.channels or viewer.administers(channel)):
        return JobAccess.ALL
    private = job.audience.private or channel in viewer.turned_private
    if not private and not viewer.guest:
        return JobAccess.ALL
    return JobAccess.ID if viewer.operator else JobAccess.NONE


def can_see(job: Job, viewer: Viewer) -> bool:
    """Whether a viewer may see a job, with its prompt and its file."""
    return find_job_access(job, viewer) is JobAccess.ALL
