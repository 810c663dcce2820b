"""Who may do what where, computed the way Discord documents it."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

from tests.fakes.discord.refusals import Refusal

if TYPE_CHECKING:
    from tests.fakes.discord.entities import Channel, Guild, User


class Permission(IntFlag):
    """The bits that matter to a bot that posts."""

    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    CONNECT = 1 << 20
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38
    SEND_VOICE_MESSAGES = 1 << 46


ALL = (1 << 53) - 1

USUAL = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.ADD_REACTIONS
    | Permission.CONNECT
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
)
"""What @everyone has in a new guild."""

IN_DIRECT_MESSAGES = USUAL & ~(
    Permission.CREATE_PUBLIC_THREADS | Permission.SEND_MESSAGES_IN_THREADS
)


IN_TIME_OUT = Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY
"""What is left to a member whom a moderator has timed out."""


def in_guild(guild: Guild, user: User) -> int:
    """Return the permissions that a member's roles give."""
    if user.id == guild.owner_id:
        return ALL
    roles = guild.members[user.id].roles
    granted = int(guild.everyone.permissions)
    for role in roles:
        granted |= role.permissions
    return ALL if granted & Permission.ADMINISTRATOR else granted


def in_channel(channel: Channel, user: User) -> int:
    """Return what a user may do in a channel; 0 for a place that is hidden from them."""
    guild = channel.guild
    if guild is None:
        return IN_DIRECT_MESSAGES if user in channel.recipients else 0
    if user.id not in guild.members:
        return 0
    granted = in_guild(guild, user)
    if granted == ALL:
        return ALL
    ruling = channel.parent if channel.is_thread and channel.parent else channel
    roles = [role.id for role in guild.members[user.id].roles]
    for group in ([guild.id], roles, [user.id]):
        allowed = denied = 0
        for target in group:
            allow, deny = ruling.overwrites.get(target, (0, 0))
            allowed, denied = allowed | allow, denied | deny
        granted = granted & ~denied | allowed
    if not granted & Permission.VIEW_CHANNEL:
        return 0
    if guild.members[user.id].timed_out:
        granted &= IN_TIME_OUT
    if channel.is_private_thread and user.id not in channel.thread_members:
        return granted if granted & Permission.MANAGE_THREADS else 0
    return granted


def require(channel: Channel, user: User, *needed: Permission) -> None:
    """Refuse like Discord where a permission is missing.

    Raises:
        Refusal: 50001 where the channel is hidden, 50013 where something else is missing.
    """
    granted = in_channel(channel, user)
    if not granted & Permission.VIEW_CHANNEL:
        raise Refusal(50001)
    if any(not granted & permission for permission in needed):
        raise Refusal(50013)
