"""Looks up roles and channels of a guild, and who can read them, in the cache of guilds."""

from __future__ import annotations

import re
from collections.abc import Iterable

import discord
from discord.abc import GuildChannel

from commands.directory import without_sign

_SNOWFLAKE = re.compile(r"[0-9]{1,20}")
_MENTION = re.compile(r"<(@!?|@&|#)(?P<id>[0-9]+)>")

_WITH_VOICE = frozenset({discord.ChannelType.voice, discord.ChannelType.stage_voice})

AnyChannel = GuildChannel | discord.Thread


class DiscordDirectory:
    """Looks up channels, roles and people of a Discord server for `commands.directory`."""

    def __init__(self, interaction: discord.Interaction) -> None:
        self._guild = interaction.guild
        self._user = interaction.user
        self._admin = interaction.permissions.manage_guild

    def administers(self, channel: str) -> bool:
        """Return whether the caller runs the server and may look into a channel."""
        found = _channel(self._guild, channel)
        if found is None or not self._admin or not isinstance(self._user, discord.Member):
            return False
        ruling = found.parent if isinstance(found, discord.Thread) else found
        if ruling is None:
            return False
        granted = ruling.permissions_for(self._user)
        hidden = isinstance(found, discord.Thread) and found.is_private()
        return _may_read(ruling, granted) and (granted.manage_threads or not hidden)

    async def find_private_channels(self, channels: Iterable[str]) -> frozenset[str]:
        """Return the channels that @everyone cannot see, deleted ones included.

        Places outside of Discord, such as the HTTP API, are as their jobs say.
        """
        if self._guild is None or self._guild.unavailable:
            return frozenset()
        return frozenset(
            channel
            for channel in channels
            if _SNOWFLAKE.fullmatch(channel) and is_private(_channel(self._guild, channel))
        )

    def person(self, person: str) -> str:  # noqa: ARG002 - the port's signature
        """Return nothing: ids of Discord are the same everywhere."""
        return ""

    def plain_id(self, typed: str) -> str:
        """Return the id in `<@1>`, `<@!1>`, `<@&1>` or `<#1>`, or what was typed."""
        mention = _MENTION.fullmatch(typed.strip())
        return mention["id"] if mention else without_sign(typed)

    async def find_person(self, typed: str) -> str | None:
        """Return the id if it has the form of one: the bot has no list of members."""
        return typed if _SNOWFLAKE.fullmatch(typed) else None

    async def find_role(self, typed: str) -> str | None:
        """Return the id of a role, given by id or name."""
        if self._guild is None:
            return None
        return _found(typed, self._guild.roles)

    async def find_channel(self, typed: str) -> str | None:
        """Return the id of a channel, given by id or name; for a thread, that of its channel."""
        if self._guild is None:
            return None
        found = _found(typed, [*self._guild.channels, *self._guild.threads])
        thread = None if found is None else self._guild.get_thread(int(found))
        return found if thread is None else str(thread.parent_id)


def is_private(channel: object) -> bool:
    """Return whether @everyone may be unable to read a channel; so if it is unknown."""
    if isinstance(channel, discord.Thread):
        return channel.is_private() or is_private(channel.parent)
    if not isinstance(channel, GuildChannel):
        return True
    everyone = channel.guild.get_role(channel.guild.id)
    return everyone is None or not _may_read(channel, channel.permissions_for(everyone))


def _may_read(channel: GuildChannel, granted: discord.Permissions) -> bool:
    """Whether permissions suffice to read a channel; a voice channel needs more of them."""
    voice = channel.type in _WITH_VOICE
    return granted.view_channel and (granted.connect or not voice)


def _channel(guild: discord.Guild | None, channel: str) -> AnyChannel | None:
    if guild is None or not _SNOWFLAKE.fullmatch(channel):
        return None
    return guild.get_channel_or_thread(int(channel))


def _found(typed: str, things: Iterable[discord.Role | AnyChannel]) -> str | None:
    """Return the id of the thing with an id, or else of the only one with a name."""
    known = list(things)
    if any(str(thing.id) == typed for thing in known):
        return typed
    wanted = typed.strip().lstrip("@#").casefold()
    named = [thing for thing in known if thing.name.lstrip("@").casefold() == wanted]
    return str(named[0].id) if len(named) == 1 else None
