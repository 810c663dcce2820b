"""Outbox rows: what to post, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any


class ActKind(StrEnum):
    """Kind of an outbox act."""

    CARD = "card"
    """Post the job's card, or bring it to the newest state."""
    CLIP = "clip"
    """Post the finished file, with the one ping."""
    NOTICE = "notice"
    """Tell the requester how it ended when there is no clip, with the one ping."""
    SHEET = "sheet"
    """Post one picture of all stills that were asked for together, each with its number."""
    REMOVAL = "removal"
    """Take the message with the file back."""


class Route(IntEnum):
    """Delivery route; after a permanent refusal the next one is tried."""

    THREAD = 0
    CHANNEL = 1
    DIRECT = 2
    KEPT = 3
    """No route took it: it stays for `/rushes show`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A row of the outbox."""

    key: str
    """Idempotency key, at most 25 characters: `<job>:<kind>`."""
    job_id: str
    kind: ActKind
    platform: str
    wanted: int
    shown: int
    route: Route
    sending: bool
    """An earlier try may have reached the platform: ask before posting again."""
    attempts: int
    created_at: float
    trace: dict[str, Any]
    """What a half-done delivery must remember, such as the id of an uploaded file."""
    receipt: dict[str, Any] | None
    """What the platform called the message, once posted."""
