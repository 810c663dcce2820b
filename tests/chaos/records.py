"""What the witness keeps: commands, messages, files, requests, and the troubles it makes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True, kw_only=True)
class Command:
    """What somebody typed, and what the bot said to it."""

    id: str
    place: str
    guild: str
    channel: str
    user: str
    text: str
    image: str | None = None
    operator: bool = False
    asked_at: float
    answer: dict[str, Any] | None = None
    answered_at: float | None = None

    @property
    def job(self) -> str | None:
        """The job that was accepted with the answer."""
        makes = self.text.startswith(("/generate", "/animate", "/image"))
        return self.answer["job"] if makes and self.answer else None

    @property
    def count(self) -> int:
        """How many jobs it asks for; the one above is the first of them."""
        found = re.search(r"--count ([1-4])", self.text)
        return int(found[1]) if found else 1

    @property
    def words(self) -> str:
        """The prompt, where it asks for several."""
        return self.text.partition(" ")[2].partition(" --")[0] if self.count > 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a message said at a time."""

    at: float
    kind: str
    content: str


@dataclass(slots=True, kw_only=True)
class Message:
    """One message as people see it."""

    id: str
    place: str
    channel: str
    """A channel, a thread, or a person's direct messages."""
    key: str | None
    """The nonce or the metadata it came with."""
    states: list[State]
    file: str | None = None
    """Name of what it brought."""
    path: Path | None = None
    """Where the witness keeps that."""

    @property
    def latest(self) -> State:
        """What it says now."""
        return self.states[-1]


@dataclass(slots=True, kw_only=True)
class File:
    """An upload in its three steps."""

    name: str
    path: Path | None = None
    shared: list[str] = field(default_factory=list)
    """The messages that show it: one, if all is well."""


@dataclass(slots=True, kw_only=True)
class Trouble:
    """Something that goes wrong with the requests that match."""

    pattern: re.Pattern[str]
    """Searched in `METHOD /path`."""
    status: int | None = None
    retry_after: float | None = None
    reset: bool = False
    slow_seconds: float = 0.0
    taken: bool = False
    """Whether the request takes effect first: only its answer goes wrong."""
    left: float = 1
    """How many more times."""

    def over(self) -> None:
        """Let the next request pass."""
        self.left = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request."""

    at: float
    what: str
    """`METHOD /path`."""
    status: int
