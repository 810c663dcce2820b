"""Shortcuts: "Generate" from anywhere, and "Animate this image" on a message."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.background import BackgroundTasks
from bot.slack.inbound.answers import Answers
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.modals import GENERATE, Draft, Modals
from bot.slack.inbound.pictures import Pictures
from bot.slack.installations import Installation
from bot.slack.origin import of_interaction
from commands.text import cards
from inference.domain.errors import UserError

ANIMATE = "rushes:animate"


class Shortcuts:
    """Opens the form that a shortcut stands for."""

    def __init__(
        self,
        gateway: CommandGateway,
        answers: Answers,
        modals: Modals,
        pictures: Pictures,
        background: BackgroundTasks,
    ) -> None:
        self._gateway = gateway
        self._answers = answers
        self._modals = modals
        self._pictures = pictures
        self._background = background

    def register(self, app: AsyncApp) -> None:
        """Listen to both, and to the button at home that does the same as the first."""
        app.shortcut(GENERATE)(self._generate)
        app.action(GENERATE)(self._generate)
        app.shortcut(ANIMATE)(self._animate)

    async def _generate(
        self,
        ack: AsyncAck,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
    ) -> None:
        await ack()
        origin = of_interaction(body, context, installation)
        draft = Draft(command="generate")
        opening = self._modals.open(origin, draft, trigger_id=body["trigger_id"])
        self._background.start(opening, name="open")

    async def _animate(
        self,
        ack: AsyncAck,
        body: dict[str, Any],
        context: AsyncBoltContext,
        installation: Installation,
    ) -> None:
        await ack()
        self._background.start(self._open_on(body, context, installation), name="open")

    async def _open_on(
        self, body: dict[str, Any], context: AsyncBoltContext, installation: Installation
    ) -> None:
        origin = of_interaction(body, context, installation)
        message = body.get("message") or {}
        reason: UserError | None = None
        try:
            files = message.get("files") or ()
            image = await self._pictures.in_message(origin, files, patient=False)
        except UserError as error:
            image, reason = None, error
        if image is None:
            locale = await self._gateway.locale(origin)
            card = cards.error(reason, locale) if reason else cards.note("slack.no_image", locale)
            await self._answers.give(origin, card, response_url=body.get("response_url"))
            return
        draft = Draft(
            command="animate",
            channel=origin.channel,
            thread_ts=origin.thread_ts,
            image=image,
        )
        await self._modals.open(
            origin, draft, trigger_id=body["trigger_id"], response_url=body.get("response_url")
        )
