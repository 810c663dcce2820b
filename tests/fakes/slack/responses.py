"""Response URLs: short-lived places to answer what a person just did."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from aiohttp import web

from tests.fakes.slack.blocks import message_problems
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.model import Channel, Installation, Json, Message, State
from tests.fakes.slack.world import Age, ResponseUrl


def new_response_url(
    hub: Hub,
    installation: Installation,
    channel: Channel,
    user: str,
    *,
    thread_ts: str | None = None,
    message: Message | None = None,
) -> str:
    """Return a place to answer an act."""
    key = secrets.token_hex(12)
    hub.world.response_urls[key] = ResponseUrl(
        installation=installation,
        channel=channel,
        user=user,
        thread_ts=thread_ts,
        message=message,
        age=Age(hub.world),
    )
    return f"{hub.url}actions/{installation.team.id}/{key}"


async def respond(hub: Hub, request: web.Request) -> web.Response:
    """Take an answer, while answers are taken."""
    place = hub.world.response_urls.get(request.match_info["key"])
    if place is None:
        raise web.HTTPNotFound
    if not place.use():
        hub.world.violate("a response URL was used too often or too late")
        return web.json_response({"ok": False, "error": "used_url"}, status=404)
    answer_act(hub, place, json.loads(await request.text()))
    return web.Response(text="ok")


def answer_act(hub: Hub, place: ResponseUrl, said: Json) -> None:
    """Show what the app says to an act, in its acknowledgement or at its response URL."""
    text, blocks = str(said.get("text") or ""), _list(said.get("blocks"))
    if said.get("delete_original") and place.message is not None:
        place.message.deleted = True
        hub.world.touch()
        return
    for problem in message_problems(text, blocks):
        hub.world.violate(f"answer to an act ({place.installation.team.name}): {problem}")
    if said.get("replace_original") and place.message is not None:
        place.message.states.append(State(at=time.monotonic(), text=text, blocks=blocks))
        hub.world.touch()
        return
    public = said.get("response_type") == "in_channel"
    hub.world.post(
        place.channel,
        user=place.installation.bot.id,
        team=place.installation.team,
        text=text,
        blocks=blocks,
        thread_ts=said.get("thread_ts"),
        bot_id=place.installation.bot_id,
        only_for=None if public else place.user,
    )


def _list(blocks: Any) -> list[Json]:
    return json.loads(blocks) if isinstance(blocks, str) else blocks or []
