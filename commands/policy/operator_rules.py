"""The operator's rules for all tenants of this machine; guilds cannot change them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVERYWHERE = "*"
"""Stands for all tenants where blocks and settings are kept by tenant."""

DIRECT = "dm"
"""After `<platform>:` in the list of allowed tenants: all direct messages that have no guild."""


class DirectMessages(StrEnum):
    """Whether the bot renders in direct messages."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRules:
    """Rules of the operator's config."""

    direct_messages: DirectMessages = DirectMessages.OPEN
    direct_message_seconds: int = 600
    """GPU seconds a day of one person in direct messages that belong to no guild."""
    allowed_tenants: frozenset[str] = frozenset()
    """The only guilds and workspaces that are served, if any are named."""

    def allows(self, tenant: str, *, platform: str = "", personal: bool = False) -> bool:
        """Whether a tenant is served.

        Args:
            tenant: Its key.
            platform: The chat it is on.
            personal: Whether it is one person's direct messages.
        """
        if not self.allowed_tenants or tenant in self.allowed_tenants:
            return True
        return personal and f"{platform}:{DIRECT}" in self.allowed_tenants
