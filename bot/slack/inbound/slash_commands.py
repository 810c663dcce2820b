"""Handles slash commands: accepts the job first, then acknowledges, unless that takes too long."""

from __future__ import annotations

import asyncio
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck

from bot.slack.background import ACK_SECONDS
from bot.slack.inbound import command_text
from bot.slack.inbound.answers import payload
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.modals import Draft, command_with_form, open_form
from bot.slack.origin import Origin
from commands.text.card import Card


async def answer(ack: AsyncAck, body: dict[str, Any], origin: Origin, deps: Dependencies) -> None:
    """Answer in the acknowledgement where there is time; a command without text opens its form."""
    name, text = body["command"], (body.get("text") or "").strip()
    response_url = body["response_url"]
    command = command_with_form(name)
    if command is not None and not text:
        draft = Draft(command=command.name, channel=origin.channel)
        opening = open_form(
            origin, deps, draft, trigger_id=body["trigger_id"], response_url=response_url
        )
        deps.background.start(opening, name="open")
        deps.background.start(deps.gateway.look_ahead(origin), name="look-ahead")
        await ack()
        return
    answering = deps.background.start(
        deps.gateway.run_text(origin, command_text.line(f"{name} {text}")), name="command"
    )
    await asyncio.wait({answering}, timeout=ACK_SECONDS)
    card = answering.result() if answering.done() else None
    if card is not None and not card.shows_accepted_job and card.attachment is None:
        await ack(**payload(card))
        return
    await ack()
    deps.background.start(_later(answering, response_url, origin, deps), name="answer")


async def _later(
    answering: asyncio.Task[Card | None], response_url: str, origin: Origin, deps: Dependencies
) -> None:
    card = await answering
    if card is None or card.shows_accepted_job:  # the outbox posts it
        return
    if card.attachment is not None:
        await deps.answers.give(origin, card)
    else:
        await deps.answers.respond(response_url, card)
