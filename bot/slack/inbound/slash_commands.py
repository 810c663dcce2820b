"""Handles slash commands: accepts the job first, then acknowledges, unless that takes too long.

What takes too long is kept first (`inbox`): Slack sends a command only once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck

from bot.slack.background import ACK_SECONDS
from bot.slack.inbound import command_text
from bot.slack.inbound.answers import payload
from bot.slack.inbound.dependencies import Dependencies
from bot.slack.inbound.inbox import InboundRequest
from bot.slack.inbound.modals import FormState, open_form, with_form
from bot.slack.origin import Origin
from commands.text.card import Card


async def answer(
    ack: AsyncAck, body: dict[str, Any], origin: Origin, deps: Dependencies, inbound: InboundRequest
) -> None:
    """Answer in the acknowledgement where there is time; a command without text opens its form."""
    name, text = deps.prefix.ours(body["command"]), (body.get("text") or "").strip()
    response_url = body["response_url"]
    command = with_form(deps.services.commands, name)
    if command is not None and not text:
        form_state = FormState(command=command.name, channel=origin.channel)
        opening = open_form(
            origin, deps, form_state, trigger_id=body["trigger_id"], response_url=response_url
        )
        deps.background.start(opening, name="open")
        # The channel is looked up ahead, while the form is filled in.
        deps.background.start(deps.channels.refusal(origin), name="look-ahead")
        await ack()
        return
    answering = deps.background.start(
        deps.gateway.run_text(
            origin, command_text.command(f"{name} {text}", deps.services.commands.parents)
        ),
        name="command",
    )
    await asyncio.wait({answering}, timeout=ACK_SECONDS)
    card = answering.result() if answering.done() else None
    at_once = card is not None and not card.from_outbox and card.attachment is None
    if card is not None and at_once and not inbound.replayed:
        await ack(**payload(deps.prefix.card(card)))
        return
    later = _later(answering, response_url, origin, deps, replayed=inbound.replayed)
    await inbound.acknowledge(ack, later, name="answer", seconds=0.0)


async def _later(
    answering: asyncio.Task[Card | None],
    response_url: str,
    origin: Origin,
    deps: Dependencies,
    *,
    replayed: bool,
) -> None:
    card = await answering
    if card is None or card.from_outbox:  # the outbox posts it
        return
    if replayed or card.attachment is not None:  # the URL may have expired meanwhile
        await deps.answers.give(origin, card, response_url=response_url)
    else:
        await deps.answers.respond(response_url, card)
