"""Sends and edits the messages of jobs on Discord: cards, notices and files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import discord
from discord.abc import GuildChannel

from bot.discord import access
from bot.discord.address import Address, Posted
from bot.discord.errors import NO_REPLY, refuses_files, refuses_layout, refuses_words
from bot.discord.outbound import render, uploads
from bot.discord.outbound.destinations import Reply
from bot.discord.outbound.render import CardStyle, Link, Picture
from bot.platform import Outgoing
from commands.text.card import Card, CardKind
from commands.text.messages import text
from commands.text.summary import description
from inference.domain.outbox import ActKind
from inference.domain.verdict import Outcome

Sent = TypeVar("Sent")


def _explain(message: Outgoing, channel: int, locale: str) -> Card:
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
    return render.add_note(card, text(why, locale))


def _may_embed(client: discord.Client, message: Outgoing, channel: int) -> bool:
    """Whether embeds are shown in a channel: when it was asked, and now as far as is known."""
    found = client.get_channel(channel)
    allowed = not isinstance(found, GuildChannel) or access.embeds_in(found)
    return allowed and Address(**message.job.address).embeds


async def _send_worded(card: Card, locale: str, send: Callable[[Card], Awaitable[Sent]]) -> Sent:
    """Send a card; if a server refuses its words, retry without them."""
    try:
        return await send(card)
    except discord.HTTPException as error:
        if not refuses_words(error):
            raise
    note = text("discord.why.words", locale)
    return await send(render.add_note(render.neutral(card), note))


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
        # A file stands below the text, not below an embed.
        style = CardStyle.TEXT if card.attachment else render.choose_style(card, embeds=embeds)
        try:
            return await send_as(style, card)
        except discord.HTTPException as error:
            if style is not CardStyle.LAYOUT or not refuses_layout(error):
                raise
        return await send_as(CardStyle.EMBED, card)

    async def send_as(style: CardStyle, card: Card) -> discord.Message:
        try:
            return await post(style, card, **reply)
        except discord.HTTPException as error:
            if error.code != NO_REPLY:
                raise
        return await post(style, card)

    async def post(style: CardStyle, card: Card, **more: Any) -> discord.Message:
        still = None if card.attachment else await _still(message, style)
        drawn = render.message(
            card,
            style=style,
            links=_links(message, locale),
            picture=_picture(message, still, locale),
        )
        file = await uploads.clip(card.attachment) if card.attachment else still
        return await client.get_partial_messageable(channel).send(
            drawn.content,
            embeds=drawn.embeds,
            files=[file] if file else [],
            view=drawn.view or discord.utils.MISSING,
            allowed_mentions=drawn.allowed_mentions,
            nonce=message.key,
            **more,
        )

    return await _send_worded(_explain(message, channel, locale), locale, send_card)


async def edit(client: discord.Client, posted: Posted, message: Outgoing, locale: str) -> None:
    """Edit a posted message to its newest state."""
    style = CardStyle.EMBED if _may_embed(client, message, posted.channel) else CardStyle.TEXT
    if posted.layout:
        style = CardStyle.LAYOUT

    async def edit_card(card: Card) -> None:
        still = await _still(message, style)
        try:
            await edit_with(card, still)
        except discord.HTTPException as error:
            if still is None or not refuses_files(error):
                raise
            await edit_with(card, None)

    async def edit_with(card: Card, still: discord.File | None) -> None:
        drawn = render.message(
            card,
            style=style,
            links=_links(message, locale),
            picture=_picture(message, still, locale),
        )
        await partial(client, posted).edit(
            content=drawn.content,
            embeds=drawn.embeds,
            attachments=[still] if still else [],
            view=drawn.view,
            allowed_mentions=drawn.allowed_mentions,
        )

    await _send_worded(_explain(message, posted.channel, locale), locale, edit_card)


def _card(message: Outgoing, channel: int) -> Card:
    """Return the card for a channel; outside of its guild, a job's buttons have no meaning."""
    address = Address(**message.job.address)
    card = Posted.from_receipt(message.card_receipt)
    at_home = channel == address.channel or (card is not None and channel == card.message)
    return message.card if at_home or address.guild is None else replace(message.card, buttons=())


def partial(client: discord.Client, posted: Posted) -> discord.PartialMessage:
    """Return a handle of a posted message for edits and deletion, without fetching it."""
    return client.get_partial_messageable(posted.channel).get_partial_message(posted.message)


async def _still(message: Outgoing, style: CardStyle) -> discord.File | None:
    """Open the picture of a card, if there is one and the style can show it as it must be shown."""
    coverable = style is CardStyle.LAYOUT
    return await uploads.preview(message.preview if coverable or not _is_spoiler(message) else None)


def _picture(message: Outgoing, still: discord.File | None, locale: str) -> Picture | None:
    """Describe the picture of a card; a flagged one is a spoiler."""
    if still is None:
        return None
    return Picture(description=description(message.job, locale), spoiler=_is_spoiler(message))


def _is_spoiler(message: Outgoing) -> bool:
    return message.job.verdict.outcome is Outcome.SPOILER


def _links(message: Outgoing, locale: str) -> list[Link]:
    """Return the links from the card of a finished job to its file, or to each file of a batch."""
    card = Posted.from_receipt(message.card_receipt)
    if card is None or message.card.kind is not CardKind.DONE:
        return []
    guild = Address(**message.job.address).guild
    numbers = [f"{number} " for number in message.clips] or [""]
    links = []
    for number, (label, receipt) in zip(numbers, message.clip_links(locale), strict=False):
        clip = Posted(**receipt)
        in_thread = clip.channel == card.message
        elsewhere = not in_thread and clip.channel != card.channel
        place = "@me" if guild is None or elsewhere else guild
        url = f"https://discord.com/channels/{place}/{clip.channel}/{clip.message}"
        markup = f"→ <#{clip.channel}>" if in_thread else f"{number}→ {url}"
        links.append(Link(url=url, label=label, markup=markup))
    return links
