"""Commands as data, with their handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from commands.context import Call
from commands.schema import Option, Permission, Value
from commands.text.card import Card


class Visibility(StrEnum):
    """Who sees the answer to a command that worked. Errors are always private."""

    EVERYONE = "everyone"
    CALLER = "caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that can be asked."""

    name: str
    handler: Callable[[Call], Awaitable[Card]]
    parent: str | None = None
    """The word in front, for `/rushes queue` and its like."""
    options: tuple[Option, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)
    """Values that make this command what it is; nobody may set them otherwise."""
    visibility: Visibility = Visibility.EVERYONE
    permission: Permission = Permission.MEMBER

    @property
    def typed(self) -> str:
        """The command as people type it, such as `/rushes queue`."""
        return f"/{self.parent} {self.name}" if self.parent else f"/{self.name}"

    @property
    def help_key(self) -> str:
        """Catalog key of the one-line explanation (100 characters at most)."""
        return f"command.{self.parent}.{self.name}" if self.parent else f"command.{self.name}"
