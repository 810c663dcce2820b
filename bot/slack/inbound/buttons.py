"""Handles button presses; a button's id carries everything, so buttons of old messages work."""

from __future__ import annotations

import json
import re
from typing import Any

from bot.slack.inbound import app_home, modals
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.origin import Origin
from bot.slack.outbound import blocks
from commands.forms import Form

BUTTON = re.compile(r"v1:")


async def press(body: dict[str, Any], origin: Origin, deps: Dependencies) -> None:
    """Answer with a form, in the App Home or in the channel, wherever the button was."""
    answer = await deps.gateway.press(origin, body["actions"][0]["action_id"])
    if isinstance(answer, Form):
        place = {"channel": origin.channel, "thread_ts": origin.thread_ts}
        view = {**blocks.modal(answer), "private_metadata": json.dumps(place)}
        await modals.open_view(deps.calls, origin, view, trigger_id=body["trigger_id"])
    elif not origin.channel:
        await app_home.publish(origin, deps, note=None if answer.shows_accepted_job else answer)
    else:
        await deps.answers.give(origin, answer, response_url=body.get("response_url"))
