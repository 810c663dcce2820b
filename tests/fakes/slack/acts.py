"""What people do, as Slack writes it for the app."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.fakes.slack.emoji import as_codes
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.mail import VERIFICATION_TOKEN
from tests.fakes.slack.model import (
    APP_ID,
    Channel,
    File,
    Installation,
    Json,
    Message,
    User,
    View,
    elements,
)
from tests.fakes.slack.payloads import (
    file_json,
    forwarded_json,
    message_json,
    stub_json,
    team_json,
    view_json,
)

_CHANNEL_TYPES = {"im": "im", "private": "group", "public": "channel"}

_UNNAMED = {"im": "directmessage", "private": "privategroup"}


def now() -> str:
    """Return the time as payloads carry it."""
    return f"{time.time():.6f}"


def command_typed(
    user: User, channel: Channel, command: str, text: str, *, trigger: str, url: str
) -> Json:
    """Write a slash command."""
    payload = {
        "token": VERIFICATION_TOKEN,
        "team_id": user.team.id,
        "team_domain": user.team.name,
        "channel_id": channel.id,
        "channel_name": _UNNAMED.get(channel.kind, channel.name),
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": as_codes(text),
        "api_app_id": APP_ID,
        "is_enterprise_install": "false",
        "response_url": url,
        "trigger_id": trigger,
    }
    if user.team.enterprise_id:
        payload["enterprise_id"] = user.team.enterprise_id
    return payload


def interaction(user: User, installation: Installation, *, trigger: str) -> Json:
    """Write what all interactive payloads have in common."""
    return {
        "token": VERIFICATION_TOKEN,
        "api_app_id": APP_ID,
        "team": team_json(installation.team),
        "enterprise": None,
        "is_enterprise_install": False,
        "user": {
            "id": user.id,
            "username": user.name,
            "name": user.name,
            "team_id": user.team.id,
        },
        "trigger_id": trigger,
    }


def shortcut_chosen(callback_id: str) -> Json:
    """Write a global shortcut."""
    return {"type": "shortcut", "callback_id": callback_id, "action_ts": now()}


def message_shortcut_chosen(hub: Hub, callback_id: str, message: Message) -> Json:
    """Write a shortcut from the menu of a message."""
    return {
        "type": "message_action",
        "callback_id": callback_id,
        "action_ts": now(),
        "message_ts": message.ts,
        "message": message_json(message, hub.url),
        "channel": _channel(message.channel),
    }


def pressed(element: Json, blocks: list[Json], chosen: Json) -> Json:
    """Write the press of a button, or a choice."""
    block = next(b for b in blocks if element in elements(b))
    kept = {"type", "action_id", "value", "text"}
    action = {key: part for key, part in element.items() if key in kept} | chosen
    action |= {"block_id": block.get("block_id", ""), "action_ts": now()}
    return {"type": "block_actions", "actions": [action]}


def in_view(view: View, installation: Installation) -> Json:
    """Write where something was pressed: in a modal or home tab."""
    return {
        "view": view_json(view, installation),
        "container": {"type": "view", "view_id": view.id},
    }


def in_message(hub: Hub, message: Message) -> Json:
    """Write where something was pressed: under a message."""
    private = message.only_for is not None
    container: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": message.channel.id,
        "is_ephemeral": private,
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    place: Json = {"container": container, "channel": _channel(message.channel)}
    return place if private else place | {"message": message_json(message, hub.url)}


def home_opened(
    user: User, installation: Installation, channel: Channel, home: View | None
) -> Json:
    """Write the event of an opened home tab."""
    event: Json = {
        "type": "app_home_opened",
        "user": user.id,
        "channel": channel.id,
        "tab": "home",
        "event_ts": now(),
    }
    if home is not None:
        event["view"] = view_json(home, installation)
    return event


def message_written(
    hub: Hub, user: User, installation: Installation, message: Message, kind: Json
) -> Json:
    """Write the event of a message, as one of the companies in the channel gets it."""
    channel, home = message.channel, user.team
    event: Json = {
        **kind,
        "user": user.id,
        "team": home.id,
        "text": as_codes(message.text),
        "ts": message.ts,
        "event_ts": message.ts,
        "channel": channel.id,
        "client_msg_id": message.ts,
    }
    if message.thread_ts:
        event["thread_ts"] = message.thread_ts
    if message.files:
        event["files"] = [
            stub_json(file) if channel.shared else file_json(file, hub.url)
            for file in message.files
        ]
        if kind["type"] == "message":
            event["subtype"] = "file_share"
    if message.shares:
        event["attachments"] = [forwarded_json(message.shares, hub.url)]
    if home is not installation.team:
        event |= {"user_team": home.id, "source_team": home.id}
    return event


def message_changed(
    hub: Hub, message: Message, before: str, edited: Json, files_before: list[File]
) -> Json:
    """Write the event of a message that says something else now, or shows where a link leads.

    Only somebody's edit is marked as one.
    """
    written = {
        **message_json(message, hub.url),
        "text": as_codes(message.text),
        "client_msg_id": message.ts,
    }
    written.pop("edited", None)
    previous = message_json(replace(message, files=files_before), hub.url)
    previous |= {"text": as_codes(before), "client_msg_id": message.ts}
    previous.pop("edited", None)
    if not edited:
        written["attachments"] = [{"from_url": "https://example.com/", "title": "Example"}]
    return {
        "type": "message",
        "subtype": "message_changed",
        "hidden": True,
        "channel": message.channel.id,
        "channel_type": _CHANNEL_TYPES[message.channel.kind],
        "message": written | edited,
        "previous_message": previous,
        "ts": now(),
        "event_ts": now(),
    }


def _channel(channel: Channel) -> Json:
    return {"id": channel.id, "name": _UNNAMED.get(channel.kind, channel.name)}
