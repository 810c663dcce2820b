"""Permissions that the bot needs in a channel, checked before a job is accepted there."""

from __future__ import annotations

import discord
from discord.abc import GuildChannel

from commands.text.messages import text
from inference.domain.errors import UserError

CHANNEL = (
    "view_channel",
    "send_messages",
    "create_public_threads",
    "send_messages_in_threads",
    "attach_files",
    "read_message_history",
)
"""In a channel where threads can be opened. Reading history is for finding an own message again
after a crash; messages of others are not read."""

VOICE = ("view_channel", "connect", "send_messages", "attach_files", "read_message_history")
"""In the text chat of a voice or stage channel, which has no threads. Only who may connect can read
there, so only then can an own message be found again."""

THREAD = ("view_channel", "send_messages_in_threads", "attach_files", "read_message_history")
"""Inside a thread."""

USED = discord.Permissions(**dict.fromkeys((*CHANNEL, "connect", "embed_links"), True))
"""All that is ever used, for invitations. Without `embed_links` cards are plain text."""

_WITH_THREADS = frozenset({discord.ChannelType.text, discord.ChannelType.news})


def refusal(interaction: discord.Interaction, locale: str) -> UserError | None:
    """Return the refusal for a channel to which the result could not be delivered, or None.

    Args:
        interaction: Carries the bot's permissions in its channel.
        locale: Of the person: permissions are named as their Discord names them.
    """
    if interaction.guild_id is None:
        return None
    missing = [
        text(f"discord.permission.{name}", locale)
        for name in list_needed(interaction)
        if not getattr(interaction.app_permissions, name)
    ]
    if not missing:
        return None
    return UserError(
        "discord.permissions_missing",
        channel=getattr(interaction.channel, "name", "?"),
        missing=", ".join(missing),
        count=len(missing),
    )


def list_needed(interaction: discord.Interaction) -> tuple[str, ...]:
    """Return the names of the permissions needed in the channel of an interaction."""
    if isinstance(interaction.channel, discord.Thread):
        return THREAD
    return CHANNEL if opens_threads(interaction) else VOICE


def opens_threads(interaction: discord.Interaction) -> bool:
    """Whether threads can be opened from messages where an interaction was made."""
    return interaction.channel is not None and interaction.channel.type in _WITH_THREADS


def only_threads_are_closed(channel: discord.TextChannel) -> bool:
    """Whether the bot may post a file in a channel but in no thread of it, as far as is known."""
    granted = channel.permissions_for(channel.guild.me)
    threads = granted.create_public_threads and granted.send_messages_in_threads
    return granted.send_messages and granted.attach_files and not threads


def embeds_in(channel: GuildChannel) -> bool:
    """Whether the bot may send embeds in a channel, as far as is known."""
    return channel.permissions_for(channel.guild.me).embed_links


def may_embed(interaction: discord.Interaction) -> bool:
    """Whether the bot may send embeds where an interaction was made."""
    return interaction.guild_id is None or interaction.app_permissions.embed_links
