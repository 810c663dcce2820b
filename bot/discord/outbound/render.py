"""Cards as Discord messages, within all of Discord's limits.

The card that stands for a job is a layout (Components V2): a container with a coloured edge that
holds text, picture and buttons. Answers to one person are embeds. A card that notifies somebody,
such as the message that brings the clip, is plain content, because nobody is notified by an embed;
and so is everything where the bot may not send embeds. A posted message keeps its style: Discord
takes a layout for good, and old cards stay embeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import discord
from discord import ui

from bot.discord.outbound.markdown import cut, escape, line
from commands.actions import Action
from commands.text.card import Button, Card, CardKind, Person, bar_text, percent

CONTENT_LENGTH = 2000
TITLE_LENGTH = 256
DESCRIPTION_LENGTH = 4096
FOOTER_LENGTH = 2048
LAYOUT_LENGTH = 4000
"""Characters of all texts of a layout together."""
LABEL_LENGTH = 80
OPTION_LENGTH = 100
OWNER_LENGTH = 32
FILE_DESCRIPTION_LENGTH = 1024
MAX_BUTTONS = 20
"""In four rows; the fifth may hold the menu."""
IN_ROW = 5

FOOTER_ROOM = 400
"""Characters of content that link and footer take at most."""

SMALL = "-# "
"""Makes a line small."""

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

_OF_JOBS = frozenset(
    {CardKind.WAITING, CardKind.RUNNING, CardKind.DONE, CardKind.FAILED, CardKind.STOPPED}
)


class CardStyle(StrEnum):
    """How a card is drawn: as a layout, an embed or plain text."""

    LAYOUT = "layout"
    EMBED = "embed"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The picture of a card; a file named `PREVIEW_NAME` goes with it."""

    description: str
    """What is to be seen, for people who do not see it."""
    spoiler: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Link from the card of a finished job to its file."""

    url: str
    label: str
    """On a button."""
    markup: str
    """As a line of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Content of a Discord message, without its files."""

    content: str | None
    embeds: list[discord.Embed]
    view: Any
    """`ui.View`, `ui.LayoutView` or None; the library's overloads take one of them at a time."""
    allowed_mentions: discord.AllowedMentions

    @property
    def layout(self) -> bool:
        """Whether it is a layout: such a message can never be anything else."""
        return isinstance(self.view, ui.LayoutView)


def choose_style(card: Card, *, embeds: bool = True) -> CardStyle:
    """Return the style in which a new message shows a card.

    Args:
        card: What it says.
        embeds: Whether the bot may send embeds in this channel.
    """
    if card.ping or not embeds:
        return CardStyle.TEXT
    of_job = card.kind in _OF_JOBS and card.owner is not None and not card.private
    return CardStyle.LAYOUT if of_job else CardStyle.EMBED


def message(
    card: Card,
    *,
    embeds: bool = True,
    style: CardStyle | None = None,
    links: Sequence[Link] = (),
    picture: Picture | None = None,
) -> Message:
    """Draw a card.

    Args:
        card: What it says.
        embeds: Whether the bot may send embeds in this channel.
        style: How, where that is decided already.
        links: Where its clip is, or its clips are.
        picture: What goes with it.
    """
    style = style or choose_style(card, embeds=embeds)
    view: ui.View | ui.LayoutView | None = None
    if style is CardStyle.LAYOUT:
        view = _layout(card, links, picture)
    elif card.buttons:
        view = _view(card)
    if view is not None:
        # A stopped view is not kept in memory: presses are recognised by their ids alone.
        view.stop()
    return Message(
        content=_content(card, links) if style is CardStyle.TEXT else None,
        embeds=[_embed(card, links, preview=picture is not None)]
        if style is CardStyle.EMBED
        else [],
        view=view,
        allowed_mentions=_mentions(card),
    )


def add_note(card: Card, note: str) -> Card:
    """Return a card with a note after the line that notifies."""
    first = 1 if card.ping else 0
    return replace(card, lines=(*card.lines[:first], (note,), *card.lines[first:]))


def neutral(card: Card) -> Card:
    """Return a card without text that people wrote, for channels that refuse it."""
    lines = card.lines if card.ping else card.lines[-1:]
    attachment = card.attachment and replace(card.attachment, description=card.job or "")
    return replace(card, title="", lines=lines, attachment=attachment)


def _content(card: Card, links: Sequence[Link]) -> str:
    title = [f"**{escape(card.title)}**"] if card.title else []
    footer = [f"{SMALL}{escape(_footer(card))}"] if _footer(card) else []
    end = "\n".join([*_markups(links), *footer])
    room = CONTENT_LENGTH - max(FOOTER_ROOM, len(end) + 1)
    body = cut("\n".join([*title, *_lines(card)]), room)
    return cut("\n".join([body, *([end] if end else [])]), CONTENT_LENGTH)


def _markups(links: Sequence[Link]) -> list[str]:
    """Return links as lines of text; several into one thread are one."""
    return list(dict.fromkeys(link.markup for link in links))


def _embed(card: Card, links: Sequence[Link], *, preview: bool) -> discord.Embed:
    lines = [*_lines(card), *_markups(links)]
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
    lines = [*([escape(card.facts)] if card.facts else []), *(line(parts) for parts in card.lines)]
    if card.progress is not None:
        lines[-1:] = ["  ".join([bar_text(card.progress), *lines[-1:]])]
    return lines


def _footer(card: Card) -> str:
    """Name whose job it is, and the job: by its id the card is found again."""
    if card.owner is None or card.job is None:
        return ""
    owner = Person(id=card.owner.id, name=cut(card.owner.name, OWNER_LENGTH))
    return f"{owner.shown} · {card.job}"


def _layout(card: Card, links: Sequence[Link], picture: Picture | None) -> ui.LayoutView:
    """Draw the card of a job: title, small print, picture, what is to say now, and buttons."""
    head = [f"### {cut(escape(card.title), TITLE_LENGTH)}"] if card.title else []
    small = [cut(escape(words), FOOTER_ROOM) for words in (card.facts, _footer(card)) if words]
    top = "\n".join([*head, *(f"{SMALL}{words}" for words in small)])
    box: ui.Container[ui.LayoutView] = ui.Container(accent_colour=COLOURS[card.kind])
    if top:
        box.add_item(ui.TextDisplay(top))
    if picture is not None:
        description = cut(picture.description, FILE_DESCRIPTION_LENGTH)
        media = f"attachment://{PREVIEW_NAME}"
        gallery: ui.MediaGallery[ui.LayoutView] = ui.MediaGallery()
        gallery.add_item(media=media, description=description, spoiler=picture.spoiler)
        box.add_item(gallery)
    if body := cut("\n".join(_body(card)), LAYOUT_LENGTH - len(top)):
        box.add_item(ui.TextDisplay(body))
    for row in _rows(card, links):
        box.add_item(row)
    return ui.LayoutView(timeout=None).add_item(box)


def _body(card: Card) -> list[str]:
    lines = [line(parts) for parts in card.lines]
    if card.progress is None:
        return lines
    ready = f" · {line(card.ready)}" if card.ready else ""
    bar = f"{bar_text(card.progress)}  **{percent(card.progress)}**{ready}"
    *before, last = lines or [""]
    return [*before, bar, *([f"{SMALL}{last}"] if last else [])]


def _rows(card: Card, links: Sequence[Link]) -> list[ui.ActionRow[ui.LayoutView]]:
    """Return the rows of buttons, the links before them, and the row with the menu."""
    items: list[ui.Item[ui.LayoutView]] = [
        ui.Button(style=discord.ButtonStyle.link, label=link.label, url=link.url) for link in links
    ]
    items += [_button(button) for button in card.pressed_often[:MAX_BUTTONS]]
    rows = [items[start : start + IN_ROW] for start in range(0, len(items), IN_ROW)]
    if card.pressed_rarely:
        rows.append([_menu(card)])
    return [ui.ActionRow(*row) for row in rows]


def _view(card: Card) -> ui.View:
    view = ui.View(timeout=None)
    for button in card.pressed_often[:MAX_BUTTONS]:
        view.add_item(_button(button))
    if card.pressed_rarely:
        view.add_item(_menu(card))
    return view


def _button(button: Button) -> ui.Button[ui.LayoutView]:
    # Only what destroys something without asking again is red.
    destroys = button.action is Action.DELETE
    style = discord.ButtonStyle.danger if destroys else discord.ButtonStyle.secondary
    return ui.Button(style=style, label=cut(button.label, LABEL_LENGTH), custom_id=button.id)


def _menu(card: Card) -> ui.Select[ui.LayoutView]:
    """Return the menu of what is pressed less often; its values are ids of buttons."""
    options = [
        discord.SelectOption(label=cut(button.label, OPTION_LENGTH), value=button.id)
        for button in card.pressed_rarely
    ]
    menu_id = f"v1:more:{card.job or ''}"
    return ui.Select(custom_id=menu_id, placeholder=card.menu, options=options)


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
