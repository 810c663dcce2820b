"""Buttons on cards, clips and at home; what they carry is all they need, so they never die."""

from __future__ import annotations

import json
import re
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.background import BackgroundTasks
from bot.slack.inbound import idempotency
from bot.slack.inbound.answers import Answers, is_outbox_card
from bot.slack.inbound.app_home import AppHome
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.modals import Modals
from bot.slack.installations import Installation
from bot.slack.origin import of_interaction
from bot.slack.outbound import blocks
from commands.forms import Form

BUTTON = re.compile(r"v1:")


class Buttons:
    """Answers presses."""

    def __init__(
        self,
        gateway: CommandGateway,
        answers: Answers,
        modals: Modals,
        home: AppHome,
        background: BackgroundTasks,
    ) -> None:
        self._gateway = gateway
        self._answers = answers
        self._modals = modals
        self._home = home
        self._background = background

    def register(self, app: AsyncApp) -> None:
        """Listen to all buttons of jobs."""
        app.action(BUTTON)(self._pressed)

    async def _pressed(
        self,
        ack: AsyncAck,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
    ) -> None:
        await ack()
        self._background.start(self._answer(body, context, installation), name="press")

    async def _answer(
        self, body: dict[str, Any], context: AsyncBoltContext, installation: Installation
    ) -> None:
        origin = of_interaction(body, context, installation)
        answer = await self._gateway.press(
            origin,
            body["actions"][0]["action_id"],
            key=idempotency.of_trigger(body, installation.workspace),
        )
        if isinstance(answer, Form):
            place = {"channel": origin.channel, "thread_ts": origin.thread_ts}
            view = {**blocks.modal(answer), "private_metadata": json.dumps(place)}
            await self._modals.show(origin, view, trigger_id=body["trigger_id"])
        elif not origin.channel:
            await self._home.show(origin, note=None if is_outbox_card(answer) else answer)
        else:
            await self._answers.give(origin, answer, response_url=body.get("response_url"))
