"""Addresses of jobs on Slack, and ids of people across workspaces."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

NAME = "slack"

_HOME = "@"


@dataclass(frozen=True, slots=True, kw_only=True, config={"extra": "ignore"})
class Address:
    """Where a job is answered, kept with it as its opaque address: ids only, no tokens.

    Those of older jobs have further keys.
    """

    team: str
    """The workspace whose installation answers; empty where only the organisation is known."""
    enterprise: str | None = None
    """The organisation, if the app is installed for all of it."""
    channel: str
    thread_ts: str | None = None
    """The thread in which it was asked."""
    user: str
    """Plain user id of who asked, for direct and ephemeral messages."""


def person_id(user: str, home: str | None) -> str:
    """Return the id of a person in jobs and settings.

    Args:
        user: Their user id: unique in a workspace only.
        home: The workspace they come from, if it is not the installing one.
    """
    return f"{user}{_HOME}{home}" if home else user


def home_of(person: str) -> str:
    """Return the workspace of a `person_id`; empty for the installing one."""
    return person.partition(_HOME)[2]


def user_id(person: str) -> str:
    """Return the plain user id of a `person_id`."""
    return person.partition(_HOME)[0]
