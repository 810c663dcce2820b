"""Finds a message that an interrupted try may have posted."""

from __future__ import annotations

from typing import Any

import discord
from discord.http import Route

from bot.discord import render
from bot.discord.address import Address, Posted
from bot.platform import Outgoing
from inference.jobs.model import Job
from inference.store.outbox import ActKind

SEARCHED = 50
"""Messages after the card, or newest ones, among which ours would be."""


async def original(client: discord.Client, address: Address, job: Job) -> Posted | None:
    """Return the answer to the request that a job came from, if it shows the job's card.

    Raises:
        discord.HTTPException: Discord cannot be asked now.
    """
    route = Route(
        "GET",
        "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
        webhook_id=address.application,
        webhook_token=address.token,
    )
    try:
        answer: dict[str, Any] = await client.http.request(route)
    except discord.HTTPException as error:
        if error.status in {401, 403, 404}:  # never answered, deleted, or the token has died
            return None
        raise
    hidden = answer.get("flags", 0) & discord.MessageFlags.ephemeral.flag
    if hidden or job.id not in str([answer.get("embeds"), answer.get("content")]):
        return None
    return Posted(channel=int(answer["channel_id"]), message=int(answer["id"]))


async def search(client: discord.Client, channel: int, message: Outgoing) -> Posted | None:
    """Return the message among the newest in a channel, if it is there and can be seen.

    Raises:
        discord.HTTPException: Discord cannot be asked now.
    """
    card = Posted.from_receipt(message.card_receipt)
    after = discord.Object(card.message) if card is not None and card.channel == channel else None
    history = client.get_partial_messageable(channel).history(limit=SEARCHED, after=after)
    try:
        async for candidate in history:
            if candidate.author == client.user and _is(candidate, message):
                return Posted(channel=channel, message=candidate.id)
    except (discord.Forbidden, discord.NotFound):
        pass  # nothing can be posted there either, as posting will find
    return None


def _is(candidate: discord.Message, message: Outgoing) -> bool:
    """Tell a job's card, file and notice apart, from each other and from those of others."""
    job = message.job.id
    if any(job in file.filename for file in candidate.attachments):
        return message.kind is ActKind.CLIP
    footers = [embed.footer.text or "" for embed in candidate.embeds]
    if not candidate.embeds:
        last = candidate.content.rpartition("\n")[2]
        footers = [last] if last.startswith(render.FOOTER_MARK) else []
    if any(footer.endswith(job) for footer in footers):
        return message.kind is ActKind.CARD
    return message.kind is ActKind.NOTICE and job in candidate.content
