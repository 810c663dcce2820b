"""Where a Slack job came from, and how people of several companies are told apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

NAME = "slack"

_HOME = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to answer, kept with a job as its opaque address: ids only, no tokens."""

    team: str
    """The workspace whose installation answers; empty where only the organisation is known."""
    enterprise: str | None = None
    """The organisation, if the app is installed for all of it."""
    channel: str
    thread_ts: str | None = None
    """The thread in which it was asked."""
    user: str
    """Plain user id of who asked, for direct and ephemeral messages."""
    dm: bool = False
    """Whether the channel is the conversation of this person with the bot."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data, which `Address(**data)` takes back."""
        return asdict(self)


def person_id(user: str, home: str | None) -> str:
    """Return the id that jobs and settings know somebody by.

    Args:
        user: Their user id: unique in a workspace only.
        home: The workspace they come from, if it is not the installing one.
    """
    return f"{user}{_HOME}{home}" if home else user


def home_of(person: str) -> str:
    """Return the workspace in what `person_id` made; empty for the installing one."""
    return person.partition(_HOME)[2]


def user_id(person: str) -> str:
    """Return the plain user id in what `person_id` made."""
    return person.partition(_HOME)[0]
