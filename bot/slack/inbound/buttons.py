"""Handles presses of buttons and choices from menus; ids carry everything, so old ones work."""

from __future__ import annotations

import json
import re
from typing import Any

from bot.slack.inbound import app_home, modals
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.origin import Origin
from bot.slack.outbound import blocks
from commands.actions import Action, ButtonId
from commands.forms import Form
from commands.text import replies
from inference.domain.errors import DeliveryError

BUTTON = re.compile(r"v1:")


def _button_id(action: dict[str, Any]) -> str:
    """Return the id of the button that was pressed, or chosen from a menu."""
    chosen = action.get("selected_option") or {}
    return str(chosen.get("value") or action["action_id"])


async def press(body: dict[str, Any], origin: Origin, deps: Dependencies) -> None:
    """Answer with a form, in the App Home or in the channel, wherever the button was."""
    answer = await deps.gateway.press(origin, _button_id(body["actions"][0]))
    if isinstance(answer, Form):
        place = {"channel": origin.channel, "thread_ts": origin.thread_ts}
        view = {**blocks.modal(answer), "private_metadata": json.dumps(place)}
        view = deps.prefix.view(view)
        try:
            await modals.open_view(deps.calls, origin, view, trigger_id=body["trigger_id"])
        except DeliveryError:
            answer = replies.note("slack.no_form", await deps.gateway.locale(origin))
        else:
            return
    used_up = _is_used_up(body["actions"][0])
    response_url = body.get("response_url")
    if not origin.channel:
        await app_home.publish(origin, deps, note=None if answer.from_outbox else answer)
    elif not (
        used_up and response_url and await deps.answers.respond(response_url, answer, in_place=True)
    ):
        await deps.answers.give(origin, answer, response_url=response_url)


def _is_used_up(action: dict[str, Any]) -> bool:
    """Whether a button does nothing more once pressed: Delete below an answer.

    Where Delete is in the menu of a clip, the clip's message is deleted with it.
    """
    pressed = ButtonId.read(str(action["action_id"]))
    return pressed is not None and pressed.action is Action.DELETE
