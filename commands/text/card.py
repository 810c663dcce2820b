"""A platform-neutral answer. Platforms render cards natively; all text in them is plain text.

Whatever a platform would take for markup or a mention must be escaped there: titles and lines carry
what people typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from pathlib import Path

from commands.actions import Action, ButtonId
from inference.text import clean, isolate

BAR_WIDTH = 15
"""Characters of a progress bar in plain text."""


class CardKind(StrEnum):
    """What a card is about; platforms choose colours and pictures by it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CLIP = "clip"
    """The message that brings the finished file."""
    FAILED = "failed"
    """The render did not work out, or was refused."""
    STOPPED = "stopped"
    """Cancelled or expired."""
    ERROR = "error"
    """The request itself was not accepted."""
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A point in time that the reader should see in their own time zone."""

    at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody on the platform. Their name is shown; they are notified only if the card pings."""

    id: str
    name: str

    @property
    def shown(self) -> str:
        """The name as it stands beside other text."""
        return f"@{isolate(clean(self.name))}"


Line = tuple[str | Instant | Person, ...]
"""One line of a card: pieces of text, with times and people in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Steps done of steps in all."""

    done: int
    total: int

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One thing to press."""

    key: ButtonId
    label: str

    @property
    def id(self) -> str:
        """What the platform keeps and sends back; 100 characters at most."""
        return self.key.encode()

    @property
    def action(self) -> Action:
        """What it does; platforms colour buttons by it."""
        return self.key.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file to post with the card."""

    path: Path
    name: str
    description: str
    """What is to be seen, for people who do not see it."""
    spoiler: bool = False
    """Show it only to those who ask to see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One answer or one state of a job."""

    kind: CardKind
    title: str = ""
    owner: Person | None = None
    """Whose job it is; shown beside the title."""
    lines: tuple[Line, ...] = ()
    progress: Bar | None = None
    """Drawn before the last line."""
    buttons: tuple[Button, ...] = ()
    attachment: Attachment | None = None
    job: str | None = None
    """The job that the card shows."""
    private: bool = False
    """Only the caller may see it."""
    ping: bool = False
    """Notify the people named in it; only in the message that ends a job."""
    option: str = ""
    """Name of the option that an error is about, so that a form can show it there."""

    @property
    def shows_accepted_job(self) -> bool:
        """Whether it is the card of a job that the request made: the outbox posts that, once."""
        answers = {CardKind.INFO, CardKind.ERROR, CardKind.CLIP}
        return self.job is not None and not self.private and self.kind not in answers


def bar_text(bar: Bar) -> str:
    """Write a progress bar as characters."""
    filled = round(bar.fraction * BAR_WIDTH)
    return "▓" * filled + "░" * (BAR_WIDTH - filled)


def plain(card: Card, *, zone: tzinfo = UTC) -> str:
    """Write a card as text, for notifications and terminals; buttons are left to the platform."""
    head = [card.title] if card.title else []
    if card.owner is not None:
        head.append(card.owner.shown)
    lines = [plain_line(line, zone=zone) for line in card.lines]
    if card.progress is not None:
        lines[-1:] = ["  ".join([bar_text(card.progress), *lines[-1:]])]
    return "\n".join([*(["  ".join(head)] if head else []), *lines])


def plain_line(line: Line, *, zone: tzinfo = UTC) -> str:
    """Write one line as text, times as hours and minutes in `zone`."""
    return "".join(_plain_part(part, zone) for part in line)


def _plain_part(part: str | Instant | Person, zone: tzinfo) -> str:
    match part:
        case Instant(at=at):
            return datetime.fromtimestamp(at, tz=zone).strftime("%H:%M")
        case Person():
            return part.shown
        case _:
            return part
