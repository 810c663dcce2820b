"""What things look like in Discord's JSON."""

from __future__ import annotations

import mimetypes
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.discord import permissions
from tests.fakes.discord.entities import (
    Attachment,
    Channel,
    ChannelKind,
    Guild,
    Member,
    Message,
    Role,
    User,
)

if TYPE_CHECKING:
    from tests.fakes.discord.world import World


def timestamp(seconds: float) -> str:
    """Return an ISO 8601 time."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def user(user: User) -> dict[str, Any]:
    """Describe an account."""
    return {
        "id": str(user.id),
        "username": user.name,
        "global_name": user.name.title(),
        "discriminator": "0",
        "avatar": None,
        "bot": user.bot,
        "public_flags": 0,
        "flags": 0,
        "primary_guild": None,
    }


def member(member: Member) -> dict[str, Any]:
    """Describe a member, without the account."""
    return {
        "roles": [str(role.id) for role in member.roles],
        "joined_at": timestamp(member.joined_at),
        "premium_since": None,
        "nick": None,
        "avatar": None,
        "banner": None,
        "communication_disabled_until": "2100-01-01T00:00:00+00:00" if member.timed_out else None,
        "pending": False,
        "deaf": False,
        "mute": False,
        "flags": 0,
    }


def role(guild: Guild, role: Role) -> dict[str, Any]:
    """Describe a role."""
    return {
        "id": str(role.id),
        "name": role.name,
        "permissions": str(int(role.permissions)),
        "position": guild.roles.index(role),
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": False,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def channel(world: World, channel: Channel) -> dict[str, Any]:
    """Describe a channel, thread or direct message."""
    told: dict[str, Any] = {
        "id": str(channel.id),
        "type": int(channel.kind),
        "last_message_id": str(max(channel.messages)) if channel.messages else None,
        "flags": 0,
    }
    if channel.guild is None:
        people = [each for each in channel.recipients if each is not world.bot]
        return {**told, "recipients": [user(each) for each in people]}
    told |= {"guild_id": str(channel.guild.id), "name": channel.name}
    if channel.is_thread:
        return told | _thread(world, channel)
    return told | {
        "parent_id": None,
        "position": 0,
        "nsfw": channel.nsfw,
        "topic": None,
        "rate_limit_per_user": 0,
        "permission_overwrites": [
            {
                "id": str(target),
                "type": int(target in channel.guild.members),
                "allow": str(int(allow)),
                "deny": str(int(deny)),
            }
            for target, (allow, deny) in channel.overwrites.items()
        ],
        **({"bitrate": 64000, "user_limit": 0} if channel.kind is ChannelKind.VOICE else {}),
        **({"available_tags": []} if channel.kind is ChannelKind.FORUM else {}),
    }


def _thread(world: World, thread: Channel) -> dict[str, Any]:
    assert thread.parent is not None
    told: dict[str, Any] = {
        "parent_id": str(thread.parent.id),
        "owner_id": str(thread.owner_id),
        "message_count": len(thread.messages),
        "total_message_sent": len(thread.messages),
        "member_count": len(thread.thread_members),
        "rate_limit_per_user": 0,
        "thread_metadata": {
            "archived": thread.archived,
            "auto_archive_duration": thread.auto_archive_minutes,
            "archive_timestamp": timestamp(thread.created_at),
            "create_timestamp": timestamp(thread.created_at),
            "locked": thread.locked,
            **({"invitable": True} if thread.is_private_thread else {}),
        },
    }
    if world.bot.id in thread.thread_members:
        told["member"] = {
            "id": str(thread.id),
            "user_id": str(world.bot.id),
            "join_timestamp": timestamp(thread.created_at),
            "flags": 0,
        }
    return told


def guild(world: World, guild: Guild) -> dict[str, Any]:
    """Describe a guild as GUILD_CREATE does to a bot without the members intent."""
    bot = guild.members[world.bot.id]
    channels = [each for each in guild.channels.values() if not each.is_thread]
    threads = [
        each
        for each in guild.channels.values()
        if each.is_thread and not each.archived and permissions.in_channel(each, world.bot)
    ]
    return {
        "id": str(guild.id),
        "name": guild.name,
        "owner_id": str(guild.owner_id),
        "roles": [role(guild, each) for each in guild.roles],
        "members": [{**member(bot), "user": user(world.bot)}],
        "member_count": len(guild.members),
        "channels": [channel(world, each) for each in channels],
        "threads": [channel(world, each) for each in threads],
        "joined_at": timestamp(bot.joined_at),
        "preferred_locale": guild.locale,
        "premium_tier": guild.boost_tier,
        "premium_subscription_count": 0,
        "features": [],
        "emojis": [],
        "stickers": [],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        "large": False,
        "unavailable": False,
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "nsfw": False,
        "system_channel_flags": 0,
        "premium_progress_bar_enabled": False,
    }


def attachment(world: World, attachment: Attachment) -> dict[str, Any]:
    """Describe a file, with a signed URL that is good from now on."""
    url = world.cdn.url(attachment)
    kind = attachment.file.content_type
    if kind == "application/octet-stream":
        kind = mimetypes.guess_type(attachment.file.name)[0] or kind
    told: dict[str, Any] = {
        "id": str(attachment.id),
        "filename": attachment.file.name,
        "size": len(attachment.file.data),
        "url": url,
        "proxy_url": url,
        "flags": 0,
    }
    if kind:
        told["content_type"] = kind
    if kind.startswith(("image/", "video/")):
        told |= {"width": 640, "height": 360}
    if attachment.description is not None:
        told["description"] = attachment.description
    return told


_FORWARDED = frozenset(
    {
        *("type", "content", "mentions", "mention_roles", "attachments", "embeds", "timestamp"),
        *("edited_timestamp", "flags", "components", "sticker_items"),
    }
)
"""What a forwarded message keeps: not its author, its place and its id."""


def _snapshot(world: World, forwarded: Message) -> dict[str, Any]:
    told = message(world, forwarded)
    return {name: told[name] for name in told.keys() & _FORWARDED}


def message(world: World, message: Message) -> dict[str, Any]:
    """Describe a message."""
    told: dict[str, Any] = {
        "id": str(message.id),
        "channel_id": str(message.channel.id),
        "author": user(message.author),
        "type": message.kind,
        "content": message.content,
        "timestamp": timestamp(message.posted_at),
        "edited_timestamp": timestamp(message.edited_at) if message.edited_at else None,
        "tts": False,
        "mention_everyone": message.mentions_everyone,
        "mentions": [user(each) for each in message.mentions],
        "mention_roles": [],
        "attachments": [attachment(world, each) for each in message.attachments],
        "embeds": message.embeds,
        "components": message.components,
        "pinned": False,
        "flags": message.flags,
    }
    if message.channel.guild is not None:
        told["guild_id"] = str(message.channel.guild.id)
    if message.author is world.bot:
        told["application_id"] = str(world.application_id)
    if message.nonce is not None:
        told["nonce"] = message.nonce
    if message.reference is not None:
        told["message_reference"] = {
            "type": 1 if message.snapshots else 0,
            "message_id": str(message.reference.id),
            "channel_id": str(message.reference.channel.id),
        }
    if message.snapshots:
        told["message_snapshots"] = [
            {"message": _snapshot(world, each)} for each in message.snapshots
        ]
    if message.stickers:
        told["sticker_items"] = message.stickers
    if message.asked_by is not None:
        told["interaction_metadata"] = message.asked_by
    if message.interaction_token is not None:
        told["webhook_id"] = str(world.application_id)
    if message.thread is not None:
        told["thread"] = channel(world, message.thread)
    return told
