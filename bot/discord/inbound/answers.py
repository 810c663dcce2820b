"""Answers interactions: once, and within the three seconds that Discord gives.

A request that was accepted as a job is answered with the job's card: the one that the outbox wants
posted, which learns from `Answers.card` that it is there. Everything else is for the person alone.
What takes longer than `PROMPT_SECONDS` is answered with "thinking…" first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import discord
import structlog

from bot.discord import access
from bot.discord.address import Posted
from bot.discord.callback_retry import AnsweredElsewhereError
from bot.discord.errors import ACKNOWLEDGED, UNREACHABLE, refuses_layout
from bot.discord.inbound import modals
from bot.discord.outbound import render, uploads
from commands.forms import Form
from commands.text.card import Card
from inference.domain.errors import DeliveryError

PROMPT_SECONDS = 0.25
"""How long a request may take before the person sees "thinking…": only on a busy machine."""

KEPT = 1000
"""Answers that are remembered for the outbox, which asks within moments."""

Answered = TypeVar("Answered")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCard:
    """Card of a job that an answer may have shown already."""

    posted: Posted | None = None
    """Where it is; None if the answer to the request was something else."""
    card: Card | None = None
    """What it says, if that is known."""
    elsewhere: bool = False
    """Whether another process gave the answer."""


class Answers:
    """Answers interactions, and remembers which of them showed a job's card."""

    def __init__(self) -> None:
        self._shown: OrderedDict[int, asyncio.Future[ShownCard | None]] = OrderedDict()

    async def card(self, interaction_id: int) -> ShownCard | None:
        """Wait for the card that answered a request, and return it; None if it is not known.

        Raises:
            DeliveryError: Another process answered it: no card of ours belongs there.
        """
        expected = self._shown.get(interaction_id)
        shown = None if expected is None else await asyncio.shield(expected)
        if shown is not None and shown.elsewhere:
            raise DeliveryError("delivery.closed", transient=False, reason=ACKNOWLEDGED)
        return shown

    async def give(
        self,
        interaction: discord.Interaction,
        work: Coroutine[Any, Any, Card | Form],
        *,
        form: bool = False,
        private: bool = False,
        in_place: bool = False,
        withdraw: Callable[[], Awaitable[None]],
    ) -> None:
        """Run a request, and answer the interaction with its card.

        Args:
            interaction: What asked; not answered yet.
            work: Makes the answer; what went wrong is in the answer.
            form: Whether a form is expected, before which nothing may be said.
            private: Whether an answer for the person alone is expected.
            in_place: Whether the answer replaces the private message that was pressed, with its
                buttons.
            withdraw: Takes back what was accepted, where another process has answered.
        """
        with self._expect_card(interaction.id) as expected:
            making = asyncio.create_task(work, name=f"discord-{interaction.id}")
            try:
                await asyncio.wait({making}, timeout=None if form else PROMPT_SECONDS)
                thinking = not making.done() and await _think(
                    interaction, private=private, in_place=in_place
                )
                answer = await making
                thought = private if thinking else None
                shown = await _answer(interaction, answer, thought=thought, in_place=in_place)
                expected.set_result(shown)
            except AnsweredElsewhereError:
                await asyncio.wait({making})  # only then it is known what was accepted
                await withdraw()
                expected.set_result(ShownCard(elsewhere=True))
            finally:
                making.cancel()

    @contextlib.contextmanager
    def _expect_card(self, interaction_id: int) -> Iterator[asyncio.Future[ShownCard | None]]:
        """Yield the future of an interaction's card: set in the block, or else None."""
        expected = asyncio.get_running_loop().create_future()
        self._shown[interaction_id] = expected
        if len(self._shown) > KEPT:
            self._shown.popitem(last=False)
        try:
            yield expected
        finally:
            if not expected.done():
                expected.set_result(None)


async def _answer(
    interaction: discord.Interaction, answer: Card | Form, *, thought: bool | None, in_place: bool
) -> ShownCard | None:
    """Answer, and return what that showed; None where it is not known.

    Raises:
        AnsweredElsewhereError: Another process answered first.
    """
    try:
        return await _show(interaction, answer, thought=thought, in_place=in_place)
    except AnsweredElsewhereError:
        raise
    except (discord.HTTPException, *UNREACHABLE) as error:
        # Too late, or lost on the way: if it made a job, the outbox sees to its card.
        _log.info("discord.unanswered", error=type(error).__name__)
        return None


async def _think(interaction: discord.Interaction, *, private: bool, in_place: bool) -> bool:
    """Show "thinking…", or keep the message to be replaced; return whether Discord took that.

    Raises:
        AnsweredElsewhereError: Another process answered first.
    """
    try:
        await _twice(lambda: interaction.response.defer(ephemeral=private, thinking=not in_place))
    except AnsweredElsewhereError:
        raise
    except discord.HTTPException as error:
        return error.code == ACKNOWLEDGED  # the first try arrived, only its answer was lost
    except UNREACHABLE:
        return False
    return True


async def _show(
    interaction: discord.Interaction, answer: Card | Form, *, thought: bool | None, in_place: bool
) -> ShownCard | None:
    """Answer with a form or a card.

    Args:
        interaction: What asked.
        answer: What it gets.
        thought: How it was answered with "thinking…": for all to see or, if true, privately.
        in_place: Whether the answer replaces the message that was pressed.
    """
    if isinstance(answer, Form):
        form = answer
        await _twice(lambda: interaction.response.send_modal(modals.modal(form)))
        return None
    card = answer
    accepted = card.from_outbox
    if thought is None:
        send = _replace if in_place else _send
        posted = await _twice(lambda: _in_some_form(send, interaction, card))
    elif thought is card.private:
        posted = await _twice(lambda: _in_some_form(_complete, interaction, card))
    else:
        if not accepted:
            await _follow(interaction, card)
        with contextlib.suppress(discord.NotFound):  # where the first try arrived
            await _twice(interaction.delete_original_response)
        return ShownCard()
    return ShownCard(posted=posted, card=card) if accepted else None


async def _in_some_form(
    show: Callable[[discord.Interaction, Card, render.CardStyle], Awaitable[Posted]],
    interaction: discord.Interaction,
    card: Card,
) -> Posted:
    """Show a card; where Discord takes no layouts, as an embed."""
    style = render.choose_style(card, embeds=access.may_embed(interaction))
    try:
        return await show(interaction, card, style)
    except discord.HTTPException as error:
        if style is not render.CardStyle.LAYOUT or not refuses_layout(error):
            raise
    return await show(interaction, card, render.CardStyle.EMBED)


async def _send(interaction: discord.Interaction, card: Card, style: render.CardStyle) -> Posted:
    """Make a card the answer."""
    drawn = render.message(card, style=style)
    files = await _files(interaction, card)
    try:
        sent = await interaction.response.send_message(
            drawn.content,
            embeds=drawn.embeds,
            files=files,
            view=drawn.view or discord.utils.MISSING,
            ephemeral=card.private,
            allowed_mentions=drawn.allowed_mentions,
        )
    finally:
        for file in files:  # the library leaves them open, here only
            file.close()
    message_id = sent.message_id or (await interaction.original_response()).id
    channel = interaction.channel_id or 0
    return Posted(channel=channel, message=message_id, layout=drawn.layout)


async def _replace(interaction: discord.Interaction, card: Card, style: render.CardStyle) -> Posted:
    """Make a card the answer that replaces the message that was pressed."""
    drawn = render.message(card, style=style)
    await interaction.response.edit_message(
        content=drawn.content,
        embeds=drawn.embeds,
        attachments=[],
        view=drawn.view,
        allowed_mentions=drawn.allowed_mentions,
    )
    message = interaction.message.id if interaction.message is not None else 0
    return Posted(channel=interaction.channel_id or 0, message=message, layout=drawn.layout)


async def _complete(
    interaction: discord.Interaction, card: Card, style: render.CardStyle
) -> Posted:
    """Turn "thinking…" into a card."""
    drawn = render.message(card, style=style)
    sent = await interaction.edit_original_response(
        content=drawn.content,
        embeds=drawn.embeds,
        attachments=await _files(interaction, card),
        view=drawn.view,
        allowed_mentions=drawn.allowed_mentions,
    )
    channel = interaction.channel_id or 0
    return Posted(channel=channel, message=sent.id, layout=drawn.layout)


async def _follow(interaction: discord.Interaction, card: Card) -> None:
    """Send a card to the right people after "thinking…" was shown to others."""
    # The first message after it would take its place, and be seen by everybody who saw it.
    await interaction.edit_original_response(content="…")
    drawn = render.message(card, embeds=access.may_embed(interaction))
    await interaction.followup.send(
        drawn.content or "",
        embeds=drawn.embeds,
        files=await _files(interaction, card),
        view=drawn.view or discord.utils.MISSING,
        ephemeral=card.private,
        allowed_mentions=drawn.allowed_mentions,
    )


async def _files(interaction: discord.Interaction, card: Card) -> list[discord.File]:
    """Open the file of a card, if the person's Discord takes one of its size."""
    if card.attachment is None:
        return []
    size = (await asyncio.to_thread(card.attachment.path.stat)).st_size
    return [await uploads.clip(card.attachment)] if size <= interaction.filesize_limit else []


async def _twice(send: Callable[[], Awaitable[Answered]]) -> Answered:
    """Send an answer again after an error: Discord keeps the first one that arrived."""
    try:
        return await send()
    except (discord.DiscordServerError, *UNREACHABLE):
        return await send()
