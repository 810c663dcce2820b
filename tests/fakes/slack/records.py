"""What the witness writes down about the app's calls and its own deliveries."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.fakes.slack.model import Json


class SlackError(Exception):
    """A call is answered `ok: false` with this code."""

    def __init__(self, code: str, **more: object) -> None:
        super().__init__(code)
        self.code = code
        self.more = more


class Refused(Exception):
    """Slack's own client does not let a person do this."""


@dataclass(kw_only=True, frozen=True)
class Call:
    """One call of the Web API, with how it was answered."""

    at: float
    """Monotonic seconds."""
    method: str
    team: str | None
    """The team of the token."""
    args: Json
    error: str | None
    status: int = 200


@dataclass(kw_only=True)
class Delivery:
    """One envelope or signed request to the app."""

    at: float
    """Monotonic seconds."""
    kind: str
    """`events_api`, `slash_commands` or `interactive`."""
    name: str
    """Command, event type, action or callback id."""
    team: str
    attempt: int = 0
    seconds: float | None = None
    """Until it was acknowledged; None while it is not."""
    payload: Json = field(default_factory=dict)
    """What the acknowledgement carried."""


@dataclass(kw_only=True)
class Trouble:
    """Makes matching calls go wrong."""

    pattern: re.Pattern[str]
    """Searched in the method; `upload` and `download` are the file transfers."""
    left: float
    error: str | None = None
    status: int = 200
    retry_after: float | None = None
    taken: bool = False
    """The call is carried out before it goes wrong."""
    reset: bool = False
    """The connection is reset instead of answered."""
    slow_seconds: float = 0.0
    answer: Json = field(default_factory=dict)
    """What it says beside `ok`, instead of what it should."""

    def over(self) -> None:
        """Let everything through again."""
        self.left = 0
