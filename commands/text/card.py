"""A platform-neutral answer. Platforms render cards natively; all text in them is plain text.

Whatever a platform would take for markup or a mention must be escaped there: titles and lines carry
what people typed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from commands.actions import Action, ButtonId
from inference.domain.untrusted_text import clean, isolate

BAR_WIDTH = 15
"""Characters of a progress bar in plain text."""


class CardKind(StrEnum):
    """Kind of a card; platforms choose its colour by it."""

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
    zone: str = ""
    """IANA time zone in which it is written where a chat cannot show each reader their own."""

    def format(self, zone: tzinfo = UTC) -> str:
        """Write it as hours and minutes, in `zone` if it has no zone, or one that is not known."""
        with contextlib.suppress(KeyError, ValueError, OSError):  # the zone database may change
            zone = ZoneInfo(self.zone) if self.zone else zone
        return datetime.fromtimestamp(self.at, tz=zone).strftime("%H:%M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person on the platform. Their name is shown; they are notified only if the card pings."""

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
        """The fraction done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Confirmation of an action that cannot be undone."""

    title: str
    text: str
    yes: str
    no: str


SHEET = "-sheet.jpg"
"""Ends the name of a file with all stills that were asked for together, after the id of a job."""

MENU = frozenset({Action.LARGER, Action.ANIMATE, Action.DELETE})
"""Actions that are in the menu of a card that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A button."""

    key: ButtonId
    label: str
    confirm: Confirm | None = None

    @property
    def id(self) -> str:
        """The id that the platform keeps and sends back; 100 characters at most."""
        return self.key.encode()

    @property
    def action(self) -> Action:
        """The action of the button; platforms colour buttons by it."""
        return self.key.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file to post with the card."""

    path: Path
    name: str
    description: str
    """Alternative text, for screen readers."""
    spoiler: bool = False
    """Show it only to those who ask to see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One answer or one state of a job."""

    kind: CardKind
    title: str = ""
    owner: Person | None = None
    """The requester of the job; shown beside the title."""
    lines: tuple[Line, ...] = ()
    facts: str = ""
    """Facts of the render, in small print below the title."""
    progress: Bar | None = None
    """Drawn before the last line."""
    ready: Line = ()
    """When it will be ready, by the clock: for chats whose readers all see their own time."""
    buttons: tuple[Button, ...] = ()
    menu: str = ""
    """Label of the menu for the buttons of `MENU`, in chats that have menus."""
    attachment: Attachment | None = None
    job: str | None = None
    """The job that the card shows."""
    line: str = ""
    """Its last line, if that is a command to edit and send: a chat may open its input with it."""
    private: bool = False
    """Only the caller may see it."""
    ping: bool = False
    """Notify the people named in it; only in the message that ends a job."""
    option: str = ""
    """Name of the option that an error is about, so that a form can show it there."""
    from_outbox: bool = False
    """It is the card of the job that the request made: the outbox posts it, once, and edits it."""

    @property
    def pressed_often(self) -> tuple[Button, ...]:
        """The buttons that stand on the card itself where it has a menu."""
        return tuple(each for each in self.buttons if not self.menu or each.action not in MENU)

    @property
    def pressed_rarely(self) -> tuple[Button, ...]:
        """The buttons in the menu."""
        return tuple(each for each in self.buttons if self.menu and each.action in MENU)

    def map_text(self, change: Callable[[str], str]) -> Card:
        """Return a copy whose lines say the same in other words; times and people stay."""
        lines = (
            tuple(change(part) if isinstance(part, str) else part for part in line)
            for line in self.lines
        )
        return replace(self, lines=tuple(lines))


def bar_text(bar: Bar) -> str:
    """Write a progress bar as characters."""
    filled = round(bar.fraction * BAR_WIDTH)
    if bar.fraction < 1:  # a full bar is a finished job
        filled = min(filled, BAR_WIDTH - 1)
    return "▓" * filled + "░" * (BAR_WIDTH - filled)


def percent(bar: Bar) -> str:
    """Write how much is done, in per cent."""
    return f"{round(bar.fraction * 100)} %"


def plain(card: Card, *, zone: tzinfo = UTC) -> str:
    """Write a card as text, for notifications and terminals; buttons are left to the platform."""
    head = [card.title] if card.title else []
    if card.owner is not None:
        head.append(card.owner.shown)
    facts = [card.facts] if card.facts else []
    lines = [plain_line(line, zone=zone) for line in card.lines]
    if card.progress is not None:
        lines[-1:] = ["  ".join([bar_text(card.progress), *lines[-1:]])]
    return "\n".join([*(["  ".join(head)] if head else []), *facts, *lines])


def plain_line(line: Line, *, zone: tzinfo = UTC) -> str:
    """Write one line as text, times as hours and minutes.

    Args:
        line: What is written.
        zone: Time zone of times that have none.
    """
    return "".join(_plain_part(part, zone) for part in line)


def _plain_part(part: str | Instant | Person, zone: tzinfo) -> str:
    match part:
        case Instant():
            return part.format(zone)
        case Person():
            return part.shown
        case _:
            return part
