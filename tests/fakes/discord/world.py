"""The state of the whole Discord, and the one place that changes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.fakes.discord import payloads
from tests.fakes.discord.cdn import Cdn
from tests.fakes.discord.clock import Bell, Clock
from tests.fakes.discord.entities import (
    HAS_THREAD,
    Attachment,
    Channel,
    ChannelKind,
    File,
    Guild,
    Member,
    Message,
    Role,
    User,
)
from tests.fakes.discord.permissions import USUAL
from tests.fakes.discord.refusals import Refusal

Publish = Callable[[str, dict[str, Any], Guild | None], None]
"""Takes an event's name, its data, and the guild whose shard it goes to."""


class World:
    """Everything that exists; the bot is `bot`, its application `application_id`.

    Args:
        clock: Of everything in it.
        cdn: Takes the files.
    """

    def __init__(self, clock: Clock, cdn: Cdn) -> None:
        self.clock = clock
        self.strict = False
        """Whether an interaction dies after three real seconds; else only when a test moves the
        clock, because the bot shares this machine with others."""
        self.bell = Bell()
        self.cdn = cdn
        self.publish: Publish = lambda *_: None
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.ephemeral: list[Message] = []
        self.messages: list[Message] = []
        """All that were ever posted, whoever sees them, in order."""
        self.layouts_refused = False
        """Whether messages with components v2 are refused, as by a server that lacks them."""
        self.names_refused = [re.compile(r"1488"), re.compile(r"^#+$")]
        """What may not be the name of a thread."""
        self.words_refused: dict[re.Pattern[str], int] = {}
        """What may not be in a message of the bot -> Discord's code for it."""
        self.bot = self.add_user("studio", bot=True)
        self.application_id = self.bot.id

    def add_user(self, name: str, *, bot: bool = False, locale: str = "en-US") -> User:
        """Open an account."""
        user = User(id=self.clock.snowflake(), name=name, bot=bot, locale=locale)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str, *, locale: str, boost_tier: int, permissions: int) -> Guild:
        """Found a guild with the bot in it."""
        guild_id = self.clock.snowflake()
        everyone = Role(id=guild_id, name="@everyone", permissions=int(USUAL))
        integration = Role(id=self.clock.snowflake(), name="studio", permissions=permissions)
        guild = Guild(
            id=guild_id,
            name=name,
            owner_id=self.add_user(f"owner of {name}").id,
            everyone=everyone,
            locale=locale,
            boost_tier=boost_tier,
            roles=[everyone, integration],
        )
        self.guilds[guild.id] = guild
        self.invite_bot(guild)
        return guild

    def invite_bot(self, guild: Guild) -> None:
        """Make the bot a member of a guild, with its own role."""
        self.join(guild, self.bot, guild.roles[1:2])
        # Only a guild that comes back after an outage says whether it is there.
        told = payloads.guild(self, guild)
        del told["unavailable"]
        self.publish("GUILD_CREATE", told, guild)

    def join(self, guild: Guild, user: User, roles: list[Role]) -> Member:
        """Make a user a member."""
        member = Member(user=user, roles=roles, joined_at=self.clock.now())
        guild.members[user.id] = member
        return member

    def add_role(self, guild: Guild, name: str, permissions: int) -> Role:
        """Add a role to a guild."""
        role = Role(id=self.clock.snowflake(), name=name, permissions=permissions)
        guild.roles.append(role)
        data = {"guild_id": str(guild.id), "role": payloads.role(guild, role)}
        self.publish("GUILD_ROLE_CREATE", data, guild)
        return role

    def add_channel(self, guild: Guild, name: str, kind: ChannelKind, *, nsfw: bool) -> Channel:
        """Add a channel to a guild."""
        channel = Channel(id=self.clock.snowflake(), kind=kind, name=name, guild=guild, nsfw=nsfw)
        guild.channels[channel.id] = self.channels[channel.id] = channel
        self.publish("CHANNEL_CREATE", payloads.channel(self, channel), guild)
        return channel

    def changed(self, channel: Channel) -> None:
        """Tell the bot what a channel is like now."""
        name = "THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE"
        self.publish(name, payloads.channel(self, channel), channel.guild)
        self.bell.ring()

    def time_out(self, guild: Guild, *, over: bool = False) -> None:
        """Let a moderator time the bot out in a guild, or end that."""
        member = guild.members[self.bot.id]
        member.timed_out = not over
        about = {**payloads.member(member), "user": payloads.user(self.bot)}
        data = {"guild_id": str(guild.id), **about}
        self.publish("GUILD_MEMBER_UPDATE", data, guild)

    def lose(self, guild: Guild, *, over: bool = False) -> None:
        """Let Discord lose a guild in an outage, or find it again."""
        guild.lost = not over
        if over:
            self.publish("GUILD_CREATE", payloads.guild(self, guild), guild)
        else:
            self.publish("GUILD_DELETE", {"id": str(guild.id), "unavailable": True}, guild)

    def delete_channel(self, channel: Channel) -> None:
        """Remove a channel and the threads in it."""
        assert channel.guild is not None
        for each in [*channel.guild.channels.values()]:
            if each is channel or each.parent is channel:
                each.deleted = True
                del channel.guild.channels[each.id], self.channels[each.id]
        name = "THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE"
        self.publish(name, payloads.channel(self, channel), channel.guild)

    def remove_bot(self, guild: Guild) -> None:
        """Ban the bot from a guild."""
        del guild.members[self.bot.id]
        self.publish("GUILD_DELETE", {"id": str(guild.id)}, guild)

    def direct(self, user: User) -> Channel:
        """Return the direct messages between a user and the bot."""
        for channel in self.channels.values():
            if channel.kind is ChannelKind.DIRECT and user in channel.recipients:
                return channel
        channel = Channel(
            id=self.clock.snowflake(),
            kind=ChannelKind.DIRECT,
            name="",
            recipients=[user, self.bot],
        )
        self.channels[channel.id] = channel
        return channel

    def open_thread(
        self,
        parent: Channel,
        name: str,
        *,
        owner: User,
        kind: ChannelKind,
        minutes: int,
        message: Message | None = None,
    ) -> Channel:
        """Open a thread in a channel, on a message if one is given.

        Raises:
            Refusal: The message has one.
        """
        if message is not None and message.thread is not None:
            raise Refusal(160004)
        assert parent.guild is not None
        if len(parent.guild.active_threads) >= parent.guild.max_active_threads:
            raise Refusal(160006)
        thread = Channel(
            id=message.id if message else self.clock.snowflake(),
            kind=kind,
            name=name,
            guild=parent.guild,
            parent=parent,
            nsfw=parent.nsfw,
            owner_id=owner.id,
            auto_archive_minutes=minutes,
            thread_members={owner.id},
            created_at=self.clock.now(),
        )
        parent.guild.channels[thread.id] = self.channels[thread.id] = thread
        data = {**payloads.channel(self, thread), "newly_created": True}
        self.publish("THREAD_CREATE", data, parent.guild)
        if message is not None:
            message.thread, message.flags = thread, message.flags | HAS_THREAD
            self.publish("MESSAGE_UPDATE", payloads.message(self, message), parent.guild)
        self.bell.ring()
        return thread

    def attach(self, channel: Channel, file: File, description: str | None = None) -> Attachment:
        """Put a file on the CDN."""
        attachment = Attachment(
            id=self.clock.snowflake(), channel_id=channel.id, file=file, description=description
        )
        self.cdn.attachments[attachment.id] = attachment
        return attachment

    def post(self, message: Message) -> None:
        """Show a new message."""
        channel = message.channel
        message.remember(message.posted_at)
        self.messages.append(message)
        if message.visible_to is None:
            channel.messages[message.id] = message
            if channel.archived:
                channel.archived = False
                self.changed(channel)
            self.publish("MESSAGE_CREATE", payloads.message(self, message), channel.guild)
        else:
            self.ephemeral.append(message)
        self.bell.ring()

    def edited(self, message: Message) -> None:
        """Show a message as it is now."""
        now = self.clock.now()
        message.edited_at = now
        message.remember(now)
        if message.visible_to is None:
            data = payloads.message(self, message)
            self.publish("MESSAGE_UPDATE", data, message.channel.guild)
        self.bell.ring()

    def delete(self, message: Message) -> None:
        """Take a message away."""
        message.deleted = True
        channel = message.channel
        data = {"id": str(message.id), "channel_id": str(channel.id)}
        if channel.guild is not None:
            data["guild_id"] = str(channel.guild.id)
        self.publish("MESSAGE_DELETE", data, channel.guild)
        self.bell.ring()

    def channel(self, channel_id: int) -> Channel:
        """Return a channel.

        Raises:
            Refusal: There is none.
        """
        channel = self.channels.get(channel_id)
        if channel is None or (channel.guild is not None and channel.guild.lost):
            raise Refusal(10003)
        return channel
