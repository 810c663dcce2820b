"""Channels, messages and threads over HTTP."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.discord import payloads
from tests.fakes.discord.api import Api, Call
from tests.fakes.discord.entities import (
    DEFAULT_UPLOAD_BYTES,
    EPHEMERAL,
    Channel,
    ChannelKind,
    Message,
)
from tests.fakes.discord.message_rules import check_thread
from tests.fakes.discord.permissions import Permission, in_channel, require
from tests.fakes.discord.posting import Form, compose, repeated, revise
from tests.fakes.discord.refusals import Refusal
from tests.fakes.discord.world import World

CHANNEL = "/channels/{channel_id}"
MESSAGES = CHANNEL + "/messages"
MESSAGE = MESSAGES + "/{message_id}"

REPLY = 19
WITHOUT_TEXT = frozenset({ChannelKind.FORUM, ChannelKind.MEDIA, ChannelKind.CATEGORY})

OLD_SECONDS = 3600.0
OLD_EDITS = (30, 3600.0)
"""Edits of a message that is older than `OLD_SECONDS`, per seconds; an assumption."""

THREADED = frozenset({ChannelKind.TEXT, ChannelKind.ANNOUNCEMENT})


class MessageRoutes:
    """What a bot may do with messages."""

    def __init__(self, world: World) -> None:
        self._world = world

    def mount(self, api: Api) -> None:
        """Add the routes."""
        api.route("GET", CHANNEL, self._get_channel)
        api.route("PATCH", CHANNEL, self._edit_channel)
        api.route("POST", CHANNEL + "/typing", self._type)
        api.route("GET", MESSAGES, self._list)
        api.route("POST", MESSAGES, self._post)
        api.route("GET", MESSAGE, self._get)
        api.route("PATCH", MESSAGE, self._edit)
        api.route("DELETE", MESSAGE, self._delete)
        api.route("POST", MESSAGE + "/threads", self._open_thread_on)
        api.route("POST", CHANNEL + "/threads", self._open_thread)
        api.route("PUT", CHANNEL + "/thread-members/@me", self._join_thread)
        api.route("PUT", CHANNEL + "/thread-members/{user_id}", self._add_to_thread)
        api.route("POST", "/users/@me/channels", self._open_direct)

    def _channel(self, call: Call, *needed: Permission) -> Channel:
        channel = self._world.channel(call.id("channel_id"))
        require(channel, self._world.bot, *needed)
        return channel

    def _readable(self, call: Call) -> Channel:
        """Return a channel whose messages can be read: in voice, only by who may connect."""
        channel = self._channel(call)
        voice = channel.kind in {ChannelKind.VOICE, ChannelKind.STAGE}
        if voice and not in_channel(channel, self._world.bot) & Permission.CONNECT:
            raise Refusal(50001)
        return channel

    def _check_writing(self, channel: Channel) -> None:
        member = channel.guild and channel.guild.members.get(self._world.bot.id)
        if member and member.timed_out:
            raise Refusal(50013)

    def _check_name(self, body: dict[str, Any]) -> None:
        if problems := check_thread(body):
            raise Refusal(50035, problems=problems)
        if any(pattern.search(body["name"]) for pattern in self._world.names_refused):
            raise Refusal(50035, field="name")

    def _check_words(self, form: Form) -> None:
        said = json.dumps(form.body, ensure_ascii=False)
        for pattern, code in self._world.words_refused.items():
            if pattern.search(said):
                raise Refusal(code, field="content" if code == 50035 else None)

    def _message(self, call: Call, *needed: Permission) -> Message:
        channel = self._channel(call, *needed)
        message = channel.messages.get(call.id("message_id"))
        if message is None or message.deleted:
            raise Refusal(10008)
        return message

    def _get_channel(self, call: Call) -> tuple[int, Any]:
        return 200, payloads.channel(self._world, self._channel(call))

    def _edit_channel(self, call: Call) -> tuple[int, Any]:
        channel = self._channel(call)
        self._check_writing(channel)
        own = channel.is_thread and channel.owner_id == self._world.bot.id
        needed = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
        unarchives = call.body.get("archived") is False and not channel.locked
        if not (own or (channel.is_thread and unarchives)):
            require(channel, self._world.bot, needed)
        if channel.is_thread and (problems := check_thread({"name": channel.name, **call.body})):
            raise Refusal(50035, problems=problems)
        channel.name = call.body.get("name", channel.name)
        channel.archived = call.body.get("archived", channel.archived)
        channel.locked = call.body.get("locked", channel.locked)
        minutes = call.body.get("auto_archive_duration", channel.auto_archive_minutes)
        channel.auto_archive_minutes = minutes
        self._world.changed(channel)
        return 200, payloads.channel(self._world, channel)

    def _type(self, call: Call) -> tuple[int, Any]:
        self._check_speaking(self._channel(call))
        return 204, None

    def _list(self, call: Call) -> tuple[int, Any]:
        channel = self._readable(call)
        if not in_channel(channel, self._world.bot) & Permission.READ_MESSAGE_HISTORY:
            return 200, []
        limit = int(call.query.get("limit", 50))
        found = sorted(channel.visible(), key=lambda message: message.id, reverse=True)
        if "before" in call.query:
            found = [m for m in found if m.id < int(call.query["before"])]
        if "after" in call.query:  # the oldest of them, in the usual order
            found = [m for m in found if m.id > int(call.query["after"])][-limit:]
        if "around" in call.query:
            centre = int(call.query["around"])
            found = sorted(
                sorted(found, key=lambda m: abs(m.id - centre))[:limit],
                key=lambda m: m.id,
                reverse=True,
            )
        return 200, [payloads.message(self._world, message) for message in found[:limit]]

    def _get(self, call: Call) -> tuple[int, Any]:
        self._readable(call)
        message = self._message(call, Permission.READ_MESSAGE_HISTORY)
        return 200, payloads.message(self._world, message)

    def _check_speaking(self, channel: Channel) -> None:
        if channel.kind in WITHOUT_TEXT:
            raise Refusal(50008)
        if channel.kind is ChannelKind.DIRECT:
            if not all(user.accepts_direct_messages for user in channel.recipients):
                raise Refusal(50007)
            return
        speak = (
            Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        )
        require(channel, self._world.bot, speak)
        if channel.archived and channel.locked:
            require(channel, self._world.bot, Permission.MANAGE_THREADS)

    def _check_content(self, channel: Channel, form: Form) -> None:
        if form.uploads:
            require(channel, self._world.bot, Permission.ATTACH_FILES)
        if form.body.get("embeds"):
            require(channel, self._world.bot, Permission.EMBED_LINKS)

    def _upload_bytes(self, channel: Channel) -> int:
        return channel.guild.upload_bytes if channel.guild else DEFAULT_UPLOAD_BYTES

    def _post(self, call: Call) -> tuple[int, Any]:
        channel = self._channel(call)
        self._check_speaking(channel)
        return 200, payloads.message(self._world, self._say(channel, call.form))

    def _say(self, channel: Channel, form: Form) -> Message:
        world = self._world
        self._check_content(channel, form)
        self._check_words(form)
        if (earlier := repeated(world, channel, form)) is not None:
            return earlier
        if int(form.body.get("flags") or 0) & EPHEMERAL:
            raise Refusal(50035, problems=["flags: ephemeral is for interactions"])
        more: dict[str, Any] = {}
        if about := form.body.get("message_reference"):
            more = self._reference(channel, about)
        message = compose(
            world,
            channel,
            form,
            author=world.bot,
            upload_bytes=self._upload_bytes(channel),
            **more,
        )
        world.post(message)
        return message

    def _reference(self, channel: Channel, about: dict[str, Any]) -> dict[str, Any]:
        if not in_channel(channel, self._world.bot) & Permission.READ_MESSAGE_HISTORY:
            raise Refusal(160002)
        original = channel.messages.get(int(about["message_id"]))
        if original is not None and not original.deleted:
            return {"reference": original, "kind": REPLY}
        if about.get("fail_if_not_exists", True):
            raise Refusal(50035, problems=["message_reference: unknown message"])
        return {}

    def _edit(self, call: Call) -> tuple[int, Any]:
        message, world = self._message(call), self._world
        if message.author is not world.bot:
            raise Refusal(50005)
        self._check_writing(message.channel)
        if message.channel.archived:
            raise Refusal(50083)
        self._check_content(message.channel, call.form)
        self._check_words(call.form)
        self._check_old_edits(message)
        revise(world, message, call.form, upload_bytes=self._upload_bytes(message.channel))
        world.edited(message)
        return 200, payloads.message(world, message)

    def _check_old_edits(self, message: Message) -> None:
        """Allow few edits of an old message, whatever its channel's bucket has left."""
        now = self._world.clock.now()
        allowed, seconds = OLD_EDITS
        if now - message.posted_at < OLD_SECONDS:
            return
        lately = [state.at for state in message.states[1:] if now - state.at < seconds]
        if len(lately) >= allowed:
            raise Refusal(30046, retry_after=lately[-allowed] + seconds - now)

    def _delete(self, call: Call) -> tuple[int, Any]:
        message = self._message(call)
        self._check_writing(message.channel)
        if message.author is not self._world.bot:
            require(message.channel, self._world.bot, Permission.MANAGE_MESSAGES)
        if message.channel.archived:
            raise Refusal(50083)
        self._world.delete(message)
        return 204, None

    def _open_thread_on(self, call: Call) -> tuple[int, Any]:
        message = self._message(
            call, Permission.CREATE_PUBLIC_THREADS, Permission.READ_MESSAGE_HISTORY
        )
        parent = message.channel
        if parent.kind not in THREADED:
            raise Refusal(50024)
        self._check_name(call.body)
        kind = ChannelKind.PUBLIC_THREAD
        if parent.kind is ChannelKind.ANNOUNCEMENT:
            kind = ChannelKind.ANNOUNCEMENT_THREAD
        thread = self._world.open_thread(
            parent,
            call.body["name"],
            owner=self._world.bot,
            kind=kind,
            minutes=call.body.get("auto_archive_duration") or 1440,
            message=message,
        )
        return 201, payloads.channel(self._world, thread)

    def _open_thread(self, call: Call) -> tuple[int, Any]:
        parent, body, world = self._channel(call), call.body, self._world
        posts = parent.kind in {ChannelKind.FORUM, ChannelKind.MEDIA}
        if not posts and parent.kind not in THREADED:
            raise Refusal(50024)
        kind = ChannelKind(body.get("type") or ChannelKind.PRIVATE_THREAD)
        if posts:
            kind = ChannelKind.PUBLIC_THREAD
        private = kind is ChannelKind.PRIVATE_THREAD
        needed = (
            Permission.SEND_MESSAGES
            if posts
            else Permission.CREATE_PRIVATE_THREADS
            if private
            else Permission.CREATE_PUBLIC_THREADS
        )
        require(parent, world.bot, needed)
        if private and parent.kind is not ChannelKind.TEXT:
            raise Refusal(50024)
        self._check_name(body)
        if posts and not body.get("message"):
            raise Refusal(50035, problems=["message: a post begins with one"])
        thread = world.open_thread(
            parent,
            body["name"],
            owner=world.bot,
            kind=kind,
            minutes=body.get("auto_archive_duration") or 1440,
        )
        told = payloads.channel(world, thread)
        if posts:
            form = Form(body=body["message"], uploads=call.uploads)
            told["message"] = payloads.message(world, self._say(thread, form))
        return 201, told

    def _join_thread(self, call: Call) -> tuple[int, Any]:
        self._channel(call).thread_members.add(self._world.bot.id)
        return 204, None

    def _add_to_thread(self, call: Call) -> tuple[int, Any]:
        thread = self._channel(call, Permission.SEND_MESSAGES_IN_THREADS)
        user_id = call.id("user_id")
        if not thread.is_thread:
            raise Refusal(50024)
        if thread.guild is None or user_id not in thread.guild.members:
            raise Refusal(10007)
        thread.thread_members.add(user_id)
        return 204, None

    def _open_direct(self, call: Call) -> tuple[int, Any]:
        user = self._world.users.get(int(call.body["recipient_id"]))
        if user is None:
            raise Refusal(10013)
        return 200, payloads.channel(self._world, self._world.direct(user))
