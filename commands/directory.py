"""The directory port: what a chat knows about its people, roles and channels.

Rules that depend on the chat ask here, for the caller of one request. Chats without such knowledge
use `OpenDirectory`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Directory(Protocol):
    """Directory of one chat for the caller of one request."""

    def administers(self, channel: str) -> bool:
        """Whether the caller is an admin of a private channel that they may look into."""
        ...

    async def find_private_channels(self, channels: Iterable[str]) -> frozenset[str]:
        """Return the channels that are known to be private now."""
        ...

    def person(self, person: str) -> str:
        """Return the name of a person that is the same in all tenants; empty if there is none.

        Args:
            person: Their id, as settings and blocks of the tenant have it.
        """
        ...

    def plain_id(self, typed: str) -> str:
        """Return the id in a typed mention; other text without its sign."""
        ...

    async def find_person(self, typed: str) -> str | None:
        """Return the id of a typed person, or None if it cannot be one."""
        ...

    async def find_role(self, typed: str) -> str | None:
        """Return the id of a typed role, or None if there is none."""
        ...

    async def find_channel(self, typed: str) -> str | None:
        """Return the id of a typed channel, or None if there is none."""
        ...


def without_sign(typed: str) -> str:
    """Return a typed id or name without the `@` or `#` that people write in front."""
    return typed.strip().lstrip("@#")


class OpenDirectory:
    """Directory for chats without one: every name is taken as the id."""

    def administers(self, channel: str) -> bool:  # noqa: ARG002 - the port's signature
        """Return False: the chat has no private channels."""
        return False

    async def find_private_channels(self, channels: Iterable[str]) -> frozenset[str]:  # noqa: ARG002
        """Return no channel: none turned private."""
        return frozenset()

    def person(self, person: str) -> str:  # noqa: ARG002
        """Return an empty name: the chat has no name across tenants."""
        return ""

    def plain_id(self, typed: str) -> str:
        """Return the name without a sign in front."""
        return without_sign(typed)

    async def find_person(self, typed: str) -> str | None:
        """Return the name unchanged, as the id."""
        return typed

    async def find_role(self, typed: str) -> str | None:
        """Return the name unchanged, as the id."""
        return typed

    async def find_channel(self, typed: str) -> str | None:
        """Return the name unchanged, as the id."""
        return typed
