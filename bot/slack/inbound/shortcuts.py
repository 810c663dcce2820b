"""Handles shortcuts: "Generate" from anywhere, and "Animate this image" on a message."""

from __future__ import annotations

from typing import Any

from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.modals import FormState, open_form
from bot.slack.origin import Origin
from commands.text import replies
from inference.domain.errors import UserError

ANIMATE = "rushes:animate"


async def generate(body: dict[str, Any], origin: Origin, deps: Dependencies) -> None:
    """Open the form of /generate; the button in the App Home does the same."""
    await open_form(origin, deps, FormState(command="generate"), trigger_id=body["trigger_id"])


async def animate(body: dict[str, Any], origin: Origin, deps: Dependencies) -> None:
    """Open the form of /animate with the picture of a message."""
    message = body.get("message") or {}
    response_url = body.get("response_url")
    reason: UserError | None = None
    try:
        image = await deps.images.in_message(origin, message, patient=False)
    except UserError as error:
        image, reason = None, error
    if image is None:
        locale = await deps.gateway.locale(origin)
        card = replies.error(reason, locale) if reason else replies.note("slack.no_image", locale)
        await deps.answers.give(origin, card, response_url=response_url)
        return
    form_state = FormState(
        command="animate", channel=origin.channel, thread_ts=origin.thread_ts, image=image
    )
    await open_form(
        origin, deps, form_state, trigger_id=body["trigger_id"], response_url=response_url
    )
