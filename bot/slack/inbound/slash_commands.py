"""Slash commands."""

from __future__ import annotations

import asyncio
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.slack.background import ACK_SECONDS, BackgroundTasks
from bot.slack.inbound import command_text, idempotency
from bot.slack.inbound.answers import Answers, is_outbox_card, payload
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.manifest import command_names
from bot.slack.inbound.modals import Draft, Modals, command_with_form
from bot.slack.installations import Installation
from bot.slack.origin import Origin, of_command
from commands.catalog import COMMANDS
from commands.text.card import Card


class SlashCommands:
    """Answers slash commands: accepted first, acknowledged then, unless that takes too long."""

    def __init__(
        self, gateway: CommandGateway, answers: Answers, modals: Modals, background: BackgroundTasks
    ) -> None:
        self._gateway = gateway
        self._answers = answers
        self._modals = modals
        self._background = background

    def register(self, app: AsyncApp) -> None:
        """Listen to all commands of the schema."""
        for name in command_names(COMMANDS):
            app.command(name)(self._heard)

    async def _heard(self, ack: AsyncAck, body: dict[str, Any], installation: Installation) -> None:
        origin = of_command(body, installation)
        name, text = body["command"], (body.get("text") or "").strip()
        command = command_with_form(name)
        if command is not None and not text:
            draft = Draft(command=command.name, channel=origin.channel)
            opening = self._modals.open(
                origin, draft, trigger_id=body["trigger_id"], response_url=body["response_url"]
            )
            self._background.start(opening, name="open")
            self._background.start(self._gateway.look_ahead(origin), name="look-ahead")
            await ack()
            return
        answering = self._background.start(
            self._gateway.line(
                origin,
                command_text.line(f"{name} {text}"),
                key=idempotency.of_trigger(body, installation.workspace),
            ),
            name="command",
        )
        await asyncio.wait({answering}, timeout=ACK_SECONDS)
        if not answering.done():
            await ack()
            self._background.start(
                self._later(answering, body["response_url"], origin), name="answer"
            )
            return
        card = answering.result()
        if card is None or is_outbox_card(card):
            await ack()
        elif card.attachment is not None:
            await ack()
            self._background.start(self._answers.give(origin, card), name="answer")
        else:
            await ack(**payload(card))

    async def _later(
        self, answering: asyncio.Task[Card | None], response_url: str, origin: Origin
    ) -> None:
        card = await answering
        if card is None or is_outbox_card(card):
            return
        if card.attachment is not None:
            await self._answers.give(origin, card)
        else:
            await self._answers.respond(response_url, card)
