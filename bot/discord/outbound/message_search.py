"""Finds a message that an interrupted try may have posted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import discord
from discord.http import Route

from bot.discord.address import Address, Posted
from bot.discord.outbound import render
from bot.discord.rate_limits import PATIENCE_SECONDS, patience
from bot.platform import Outgoing
from commands.actions import ButtonId
from commands.text.card import SHEET
from inference.domain.errors import NotFound
from inference.domain.job import Job
from inference.domain.outbox import ActKind

SEARCHED = 2000
"""The newest messages, among which ours would be; more are not looked through."""

SLACK_SECONDS = 300.0
"""How much Discord's clock may differ from ours."""


class SearchInconclusive(Exception):
    """It is unknown whether a message exists: reading is forbidden, or there are too many."""


class ForeignAnswer(Exception):
    """The answer to a request shows a job that another process made for it."""


async def original(client: discord.Client, address: Address, job: Job) -> Posted | None:
    """Return the answer to the request that a job came from, if it shows the job's card.

    Raises:
        ForeignAnswer: It shows another job.
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
    if hidden:
        return None
    components = answer.get("components", [])
    if job.id not in str([answer.get("embeds"), answer.get("content"), *_texts(components)]):
        if any(_buttons(components)):
            raise ForeignAnswer
        return None
    layout = bool(answer.get("flags", 0) & discord.MessageFlags.components_v2.flag)
    return Posted(channel=int(answer["channel_id"]), message=int(answer["id"]), layout=layout)


def _texts(components: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the texts of a layout."""
    for component in components:
        yield str(component.get("content", ""))
        yield from _texts(component.get("components", []))


def _buttons(components: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the jobs that the buttons of a message are about."""
    for component in components:
        with contextlib.suppress(NotFound):
            yield ButtonId.decode(str(component.get("custom_id", ""))).job
        yield from _buttons(component.get("components", []))


async def search(
    client: discord.Client, channel: int, message: Outgoing, *, after: int, since: float
) -> Posted | None:
    """Return the message that an earlier try posted in a channel, or None.

    Args:
        client: Makes the requests.
        channel: Where it would be.
        message: What is looked for.
        after: Id of something that was there before the first try. Ids carry Discord's own time,
            so that a clock of ours that is wrong hides nothing.
        since: When the first try began, Unix seconds. Counts only in a channel where more was
            written since `after` than can be looked through.

    Raises:
        SearchInconclusive: It may be there or not: we are not allowed to look.
        discord.HTTPException: Discord cannot be asked now.
    """
    card = Posted.from_receipt(message.card_receipt)
    if card is not None and channel in {card.channel, card.message}:
        after = max(after, card.message)
    try:
        # Given up for a rate limit, it would begin again with the first page.
        with patience(PATIENCE_SECONDS):
            return await _look(client, channel, message, after=after, since=since)
    except discord.Forbidden as error:
        raise SearchInconclusive from error
    except discord.NotFound:  # the channel is gone, or the thread was never opened
        return None


async def _look(
    client: discord.Client, channel: int, message: Outgoing, *, after: int, since: float
) -> Posted | None:
    seen, oldest = 0, datetime.now(UTC)
    async for candidate in client.get_partial_messageable(channel).history(limit=SEARCHED):
        if candidate.id <= after:
            return None
        if candidate.author == client.user and _is(candidate, message):
            layout = candidate.flags.components_v2
            return Posted(channel=channel, message=candidate.id, layout=layout)
        seen, oldest = seen + 1, candidate.created_at
    if not seen:
        # Discord shows no messages of a closed channel; asked for one, it refuses.
        await client.http.get_message(channel, after)
    elif seen >= SEARCHED and oldest.timestamp() > since - SLACK_SECONDS:
        raise SearchInconclusive
    return None


def _is(candidate: discord.Message, message: Outgoing) -> bool:
    """Return whether a message is the job's one of this kind: card, file, sheet or notice."""
    job = message.job.id
    named = [file.filename for file in candidate.attachments if job in file.filename]
    if named:
        is_sheet = any(SHEET in name for name in named)
        return message.kind is (ActKind.SHEET if is_sheet else ActKind.CLIP)
    if any(footer.endswith(job) for footer in _footers(candidate)):
        return message.kind is ActKind.CARD
    return message.kind is ActKind.NOTICE and job in candidate.content


def _footers(candidate: discord.Message) -> list[str]:
    """Return where a card would name its job."""
    if candidate.flags.components_v2:
        components: list[Any] = [each.to_dict() for each in candidate.components]
        said = _texts(components)
        lines = [text for content in said for text in content.splitlines()]
        return [text for text in lines if text.startswith(render.SMALL)]
    if candidate.embeds:
        return [embed.footer.text or "" for embed in candidate.embeds]
    last = candidate.content.rpartition("\n")[2]
    return [last] if last.startswith(render.SMALL) else []
