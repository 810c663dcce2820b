"""Addresses of jobs and messages on Discord."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from bot.platform import Receipt

NAME = "discord"
"""Key of jobs, tenants and outbox rows."""

TOKEN_LIFE = timedelta(minutes=15)
"""How long Discord takes calls with an interaction's token."""

_EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
_TIMESTAMP_SHIFT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a job was asked for; kept with it as its opaque address."""

    channel: int
    """Channel, thread or direct message in which it was asked for."""
    user: int
    """Who asked."""
    guild: int | None = None
    """None in direct messages."""
    threads: bool = False
    """Whether threads can be opened from messages in `channel`; not so inside of one."""
    embeds: bool = True
    """Whether the bot may send embeds there."""
    application: int
    interaction: int
    """What asked; its answer may be the job's card."""
    token: str
    """Reaches that answer, for `TOKEN_LIFE`."""

    def answerable(self, now: float) -> bool:
        """Whether the interaction's token still works at a time, Unix seconds."""
        return now < (read_creation_time(self.interaction) + TOKEN_LIFE).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A posted message."""

    channel: int
    message: int
    layout: bool = False
    """Whether it is a layout, as which it stays for good; receipts of older versions are not."""

    def as_receipt(self) -> Receipt:
        """Return the receipt that the outbox keeps."""
        return asdict(self)

    @classmethod
    def from_receipt(cls, receipt: Receipt | None) -> Self | None:
        """Return the message of a receipt; None if it was never posted, only kept."""
        return cls(**receipt) if receipt else None


def read_creation_time(snowflake: int) -> datetime:
    """Return the creation time inside an id of Discord's."""
    return _EPOCH + timedelta(milliseconds=snowflake >> _TIMESTAMP_SHIFT)


def tenant_of(guild: int | None, user: int) -> str:
    """Return the tenant: the guild, or the person in direct messages."""
    return f"{NAME}:{guild}" if guild is not None else f"{NAME}:dm-{user}"
