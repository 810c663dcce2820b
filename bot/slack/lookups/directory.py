"""Looks up people, user groups and channels for the caller of one request."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.slack.address import NAME, home_of, user_id
from bot.slack.lookups.channels import Channels
from bot.slack.origin import Origin
from commands.directory import without_sign

_USER = re.compile(r"[UW][A-Z0-9]{1,20}(@[ET][A-Z0-9]{1,20})?")
_GROUP = re.compile(r"S[A-Z0-9]{1,20}")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{1,20}")
_MENTION = re.compile(r"<(@|#|!subteam\^)(?P<id>[A-Z0-9]+)(\|[^>]*)?>")


class SlackDirectory:
    """Looks up channels, user groups and people of a Slack workspace for `commands.directory`."""

    def __init__(self, channels: Channels, origin: Origin) -> None:
        self._channels = channels
        self._origin = origin

    def administers(self, channel: str) -> bool:  # noqa: ARG002 - the port's signature
        """Return False: those who run a workspace cannot look into its private channels either.

        Who is in a private channel asks from there.
        """
        return False

    async def find_private_channels(self, channels: Iterable[str]) -> frozenset[str]:
        """Return the channels that Slack says are private by now; others are as their jobs say."""
        own = [channel for channel in channels if _CHANNEL.fullmatch(channel)]
        return await self._channels.find_private_channels(self._origin, own)

    def person(self, person: str) -> str:
        """Return workspace and user: ids of users are unique in a workspace only."""
        home = home_of(person)
        tenant = self._origin.installation.tenant
        return f"{NAME}:{home}:{user_id(person)}" if home else f"{tenant}:{person}"

    def plain_id(self, typed: str) -> str:
        """Return the id in `<@U1>`, `<#C1|film>` or `<!subteam^S1|@film>`, or what was typed."""
        mention = _MENTION.fullmatch(typed.strip())
        return mention["id"] if mention else without_sign(typed)

    async def find_person(self, typed: str) -> str | None:
        """Return the id if it has the form of a user's, as in mentions."""
        return typed if _USER.fullmatch(typed) else None

    async def find_role(self, typed: str) -> str | None:
        """Return the id if it has the form of a user group's, as in mentions."""
        return typed if _GROUP.fullmatch(typed) else None

    async def find_channel(self, typed: str) -> str | None:
        """Return the id of a channel that the bot can see."""
        if not _CHANNEL.fullmatch(typed):
            return None
        return typed if await self._channels.exists(self._origin, typed) else None
