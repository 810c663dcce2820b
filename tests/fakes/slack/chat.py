"""The methods `chat.*` and `reactions.add`."""

from __future__ import annotations

import time

from tests.fakes.slack.asking import Ask, Method
from tests.fakes.slack.model import Channel, Json, Message, State
from tests.fakes.slack.payloads import message_json
from tests.fakes.slack.records import SlackError


async def post_message(ask: Ask) -> Json:
    """Show a message to everybody in a channel."""
    if str(ask.args.get("channel", "")).startswith(("U", "W")):
        user = ask.world.users.get(ask.args["channel"])
        if user is None or user.team is not ask.installation.team:
            raise SlackError("channel_not_found")
        channel = ask.world.open_im(ask.installation, user.id)
    else:
        public = "chat:write.public" in ask.installation.scopes
        channel = ask.channel()
        if not (public and channel.kind == "public"):
            ask.channel(member=True)
    if wait := ask.hub.meter.take_post(ask.installation.team.id, channel.id):
        raise SlackError("ratelimited", retry_after=wait)
    text, blocks = ask.said()
    message = ask.world.post(
        channel,
        user=ask.installation.bot.id,
        team=ask.installation.team,
        text=text,
        blocks=blocks,
        metadata=_metadata(ask),
        thread_ts=_thread(ask, channel),
        bot_id=ask.installation.bot_id,
    )
    return {"channel": channel.id, "ts": message.ts, "message": message_json(message, ask.hub.url)}


async def post_ephemeral(ask: Ask) -> Json:
    """Show a message to one person until they reload."""
    channel = ask.channel(member=True)
    if ask.args["user"] not in channel.members:
        raise SlackError("user_not_in_channel")
    text, blocks = ask.said()
    message = ask.world.post(
        channel,
        user=ask.installation.bot.id,
        team=ask.installation.team,
        text=text,
        blocks=blocks,
        thread_ts=_thread(ask, channel),
        bot_id=ask.installation.bot_id,
        only_for=ask.args["user"],
    )
    return {"message_ts": message.ts}


async def update(ask: Ask) -> Json:
    """Say something else in a message of one's own."""
    channel = ask.channel()
    message = _own(ask, channel, "cant_update_message")
    text, blocks = ask.said()
    if blocks is None and message.blocks:
        ask.violate("blocks were left out: what becomes of the old ones is not defined")
    metadata = _metadata(ask) if "metadata" in ask.args else message.metadata
    state = State(at=time.monotonic(), text=text, blocks=blocks or [], metadata=metadata)
    message.states.append(state)
    ask.world.touch()
    return {"channel": channel.id, "ts": message.ts, "text": text, "message": {"text": text}}


async def delete(ask: Ask) -> Json:
    """Take a message of one's own away."""
    channel = ask.channel()
    message = _own(ask, channel, "cant_delete_message")
    message.deleted = True
    ask.world.touch()
    return {"channel": channel.id, "ts": message.ts}


async def get_permalink(ask: Ask) -> Json:
    """Return where a message can be opened."""
    channel = ask.channel()
    if channel.find(ask.args["message_ts"]) is None:
        raise SlackError("message_not_found")
    place = f"{channel.id}/p{ask.args['message_ts'].replace('.', '')}"
    return {"channel": channel.id, "permalink": f"{ask.hub.url}archives/{place}"}


async def add_reaction(ask: Ask) -> Json:
    """Put an emoji under a message."""
    message = ask.channel(member=True).find(ask.args["timestamp"])
    if message is None:
        raise SlackError("message_not_found")
    if ask.args["name"] in message.reactions:
        raise SlackError("already_reacted")
    message.reactions.add(ask.args["name"])
    ask.world.touch()
    return {}


def check_thread(ask: Ask, channel: Channel, ts: str | None) -> str | None:
    """Return the parent that a reply goes under, and write down one that is none."""
    if ts is None:
        return None
    parent = next((m for m in channel.messages if m.ts == ts and m.only_for is None), None)
    if parent is None:
        ask.violate(f"thread_ts {ts} is no message of {channel.name or channel.id}")
    elif parent.thread_ts not in {None, ts}:
        ask.violate(f"thread_ts {ts} is a reply, not a parent")
    return ts


def _thread(ask: Ask, channel: Channel) -> str | None:
    return check_thread(ask, channel, ask.args.get("thread_ts"))


def _own(ask: Ask, channel: Channel, otherwise: str) -> Message:
    message = channel.find(ask.args["ts"])
    if message is None or message.only_for:
        raise SlackError("message_not_found")
    if message.user != ask.installation.bot.id:
        raise SlackError(otherwise)
    return message


def _metadata(ask: Ask) -> Json | None:
    metadata = ask.args.get("metadata")
    if not metadata:
        return None
    if not isinstance(metadata, dict) or set(metadata) != {"event_type", "event_payload"}:
        raise SlackError("invalid_metadata_format")
    return metadata


METHODS = (
    Method(name="chat.postMessage", handler=post_message, scope="chat:write"),
    Method(name="chat.postEphemeral", handler=post_ephemeral, scope="chat:write", per_minute=100),
    Method(name="chat.update", handler=update, scope="chat:write", per_minute=50),
    Method(name="chat.delete", handler=delete, scope="chat:write", per_minute=50),
    Method(name="chat.getPermalink", handler=get_permalink),
    Method(name="reactions.add", handler=add_reaction, scope="reactions:write", per_minute=50),
)
