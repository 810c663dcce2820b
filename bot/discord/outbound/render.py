"""Cards as Discord messages, within all of Discord's limits.

A card that notifies somebody is plain content, because nobody is notified by an embed. Every other
card is an embed with a coloured edge; plain content again where the bot may not send embeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import discord
from discord import ui

from bot.discord.outbound.markdown import cut, escape, line
from commands.text.card import Button, Card, CardKind, Person, bar_text

CONTENT_LENGTH = 2000
TITLE_LENGTH = 256
DESCRIPTION_LENGTH = 4096
FOOTER_LENGTH = 2048
LABEL_LENGTH = 80
OWNER_LENGTH = 32
FILE_DESCRIPTION_LENGTH = 1024
MAX_BUTTONS = 25

FOOTER_ROOM = 400
"""Characters of content that link and footer take at most."""

FOOTER_MARK = "-# "
"""Makes a line of content small."""

PREVIEW_NAME = "preview.jpg"

COLOURS = {
    CardKind.WAITING: discord.Colour.gold(),
    CardKind.RUNNING: discord.Colour.blurple(),
    CardKind.DONE: discord.Colour.green(),
    CardKind.CLIP: discord.Colour.green(),
    CardKind.FAILED: discord.Colour.red(),
    CardKind.STOPPED: discord.Colour.light_grey(),
    CardKind.ERROR: discord.Colour.red(),
    CardKind.INFO: discord.Colour.blue(),
}

_DESTRUCTIVE = frozenset({"cancel", "delete"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a card becomes, files aside."""

    content: str | None
    embeds: list[discord.Embed]
    view: ui.View | None
    allowed_mentions: discord.AllowedMentions


def message(
    card: Card, *, embeds: bool = True, link: str | None = None, preview: bool = False
) -> Message:
    """Draw a card.

    Args:
        card: What it says.
        embeds: Whether the bot may send embeds in this place.
        link: Where its clip is, as Discord markup; becomes the last line.
        preview: Whether a file named `PREVIEW_NAME` goes with it.
    """
    plain = card.ping or not embeds
    return Message(
        content=_content(card, link) if plain else None,
        embeds=[] if plain else [_embed(card, link, preview=preview)],
        view=_view(card.buttons[:MAX_BUTTONS]) if card.buttons else None,
        allowed_mentions=_mentions(card),
    )


def noted(card: Card, note: str) -> Card:
    """Return a card with half a sentence more, after the one that notifies."""
    first = 1 if card.ping else 0
    return replace(card, lines=(*card.lines[:first], (note,), *card.lines[first:]))


def neutral(card: Card) -> Card:
    """Return a card without what somebody has written, for places that do not take it."""
    lines = card.lines if card.ping else card.lines[-1:]
    attachment = card.attachment and replace(card.attachment, description=card.job or "")
    return replace(card, title="", lines=lines, attachment=attachment)


def _content(card: Card, link: str | None) -> str:
    title = [f"**{escape(card.title)}**"] if card.title else []
    footer = [f"{FOOTER_MARK}{escape(_footer(card))}"] if _footer(card) else []
    body = cut("\n".join([*title, *_lines(card)]), CONTENT_LENGTH - FOOTER_ROOM)
    return cut("\n".join([body, *([link] if link else []), *footer]), CONTENT_LENGTH)


def _embed(card: Card, link: str | None, *, preview: bool) -> discord.Embed:
    lines = [*_lines(card), *([link] if link else [])]
    embed = discord.Embed(
        title=cut(escape(card.title), TITLE_LENGTH) or None,
        description=cut("\n".join(lines), DESCRIPTION_LENGTH) or None,
        colour=COLOURS[card.kind],
    )
    if footer := _footer(card):
        embed.set_footer(text=cut(footer, FOOTER_LENGTH))
    if preview:
        embed.set_image(url=f"attachment://{PREVIEW_NAME}")
    return embed


def _lines(card: Card) -> list[str]:
    lines = [line(parts) for parts in card.lines]
    if card.progress is not None:
        lines[-1:] = ["  ".join([bar_text(card.progress), *lines[-1:]])]
    return lines


def _footer(card: Card) -> str:
    """Name whose job it is, and the job: by its id the card is found again."""
    if card.owner is None or card.job is None:
        return ""
    owner = Person(id=card.owner.id, name=cut(card.owner.name, OWNER_LENGTH))
    return f"{owner.shown} · {card.job}"


def _view(buttons: tuple[Button, ...]) -> ui.View:
    view = ui.View(timeout=None)
    for button in buttons:
        destructive = button.action.value in _DESTRUCTIVE
        style = discord.ButtonStyle.danger if destructive else discord.ButtonStyle.secondary
        label = cut(button.label, LABEL_LENGTH)
        view.add_item(ui.Button(style=style, label=label, custom_id=button.id))
    # A stopped view is not kept in memory: presses are recognised by their ids alone.
    view.stop()
    return view


def _mentions(card: Card) -> discord.AllowedMentions:
    if not card.ping:
        return discord.AllowedMentions.none()
    people = [part for parts in card.lines for part in parts if isinstance(part, Person)]
    return discord.AllowedMentions(
        everyone=False,
        roles=False,
        replied_user=False,
        users=[discord.Object(int(person.id)) for person in people if person.id.isdecimal()],
    )
