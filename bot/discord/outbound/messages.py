"""Sends and edits the messages of jobs on Discord: the card, what explains it, and its file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import discord
from discord.abc import GuildChannel

from bot.discord import access
from bot.discord.address import Address, Posted
from bot.discord.errors import NO_REPLY, refuses_words
from bot.discord.outbound import render, uploads
from bot.discord.outbound.destinations import Reply
from bot.platform import Outgoing
from commands.text.card import Card, CardKind
from commands.text.messages import text
from inference.domain.outbox import ActKind

Sent = TypeVar("Sent")


def _explained(message: Outgoing, channel: int, locale: str) -> Card:
    """Return the card for a channel; where it was not expected, it says why it is there."""
    card = _card(message, channel)
    address = Address(**message.job.address)
    posted = Posted.from_receipt(message.card_receipt)
    expected = posted.message if address.threads and posted else address.channel
    if message.kind is ActKind.CARD:
        expected = address.channel
    why = message.trace.get("why")
    if why is None or channel == expected:
        return card
    return render.noted(card, text(why, locale))


def _may_embed(client: discord.Client, message: Outgoing, channel: int) -> bool:
    """Whether embeds are shown in a channel: when it was asked, and now as far as is known."""
    place = client.get_channel(channel)
    allowed = not isinstance(place, GuildChannel) or access.embeds_in(place)
    return allowed and Address(**message.job.address).embeds


async def _worded(card: Card, locale: str, send: Callable[[Card], Awaitable[Sent]]) -> Sent:
    """Send a card; where a server takes no such words, once more without them."""
    try:
        return await send(card)
    except discord.HTTPException as error:
        if not refuses_words(error):
            raise
    note = text("discord.why.words", locale)
    return await send(render.noted(render.neutral(card), note))


async def send(
    client: discord.Client, channel: int, message: Outgoing, locale: str
) -> discord.Message:
    """Post a message into a channel, thread or direct message."""
    embeds = _may_embed(client, message, channel)
    posted = Posted.from_receipt(message.card_receipt)
    reply: dict[str, Any] = (
        {"reference": Reply(posted)} if posted and posted.channel == channel else {}
    )

    async def send_card(card: Card) -> discord.Message:
        try:
            return await post(card, **reply)
        except discord.HTTPException as error:
            if error.code != NO_REPLY:
                raise
        return await post(card)

    async def post(card: Card, **more: Any) -> discord.Message:
        drawn = render.message(card, embeds=embeds)
        attachment = card.attachment
        return await client.get_partial_messageable(channel).send(
            drawn.content,
            embeds=drawn.embeds,
            files=[await uploads.clip(attachment)] if attachment else [],
            view=drawn.view or discord.utils.MISSING,
            allowed_mentions=drawn.allowed_mentions,
            nonce=message.key,
            **more,
        )

    return await _worded(_explained(message, channel, locale), locale, send_card)


async def edit(client: discord.Client, posted: Posted, message: Outgoing, locale: str) -> None:
    """Bring a posted message to its newest state."""
    address = Address(**message.job.address)
    running = message.card.kind is CardKind.RUNNING
    embeds = _may_embed(client, message, posted.channel)

    async def edit_card(card: Card) -> None:
        still = await uploads.preview(message.preview if running else None)
        drawn = render.message(
            card,
            embeds=embeds,
            link=_link(address, message),
            preview=still is not None,
        )
        await partial(client, posted).edit(
            content=drawn.content,
            embeds=drawn.embeds,
            attachments=[still] if still else [],
            view=drawn.view,
            allowed_mentions=drawn.allowed_mentions,
        )

    await _worded(_explained(message, posted.channel, locale), locale, edit_card)


def _card(message: Outgoing, channel: int) -> Card:
    """Return the card for a channel; outside of its guild, a job's buttons have no meaning."""
    address = Address(**message.job.address)
    card = Posted.from_receipt(message.card_receipt)
    at_home = channel == address.channel or (card is not None and channel == card.message)
    return message.card if at_home or address.guild is None else replace(message.card, buttons=())


def partial(client: discord.Client, posted: Posted) -> discord.PartialMessage:
    """Return a posted message as what can be edited and deleted, without fetching it."""
    return client.get_partial_messageable(posted.channel).get_partial_message(posted.message)


def _link(address: Address, message: Outgoing) -> str | None:
    """Return what leads from the card of a finished job to its file."""
    clip = Posted.from_receipt(message.clip_receipt)
    card = Posted.from_receipt(message.card_receipt)
    if clip is None or card is None or message.card.kind is not CardKind.DONE:
        return None
    if clip.channel == card.message:
        return f"→ <#{clip.channel}>"
    guild = "@me" if address.guild is None or clip.channel != card.channel else address.guild
    return f"→ https://discord.com/channels/{guild}/{clip.channel}/{clip.message}"
