"""Envelopes of Socket Mode: read as strictly as the bodies of HTTP requests."""

from __future__ import annotations

from dataclasses import dataclass

from bot.slack.http_body import (
    Command,
    MalformedBody,
    Object,
    check_event,
    check_interaction,
    check_text,
    parse,
    validate,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came over a socket."""

    id: str
    """What it is acknowledged by; empty where it has none."""
    type: str
    content: Object
    """All of it."""

    @classmethod
    def read(cls, text: str) -> Envelope:
        """Read an envelope; `check` looks into what it delivers.

        Raises:
            MalformedBody: It is none.
        """
        found = parse(text)
        kind, identity = found.get("type"), found.get("envelope_id")
        if not isinstance(kind, str):
            raise MalformedBody("envelope")
        return cls(id=identity if isinstance(identity, str) else "", type=kind, content=found)

    def check(self) -> None:
        """See that it delivers what Slack may have sent.

        Raises:
            MalformedBody: It does not.
        """
        payload = self.content.get("payload")
        if not self.id or not isinstance(payload, dict):
            raise MalformedBody("envelope")
        check_text(payload)
        match self.type:
            case "events_api":
                check_event(payload)
            case "interactive":
                check_interaction(payload)
            case "slash_commands":
                validate(Command, payload)
            case _:  # a kind that the app's manifest does not ask for
                raise MalformedBody("envelope")
