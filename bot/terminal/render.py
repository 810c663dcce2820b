"""Cards drawn for a terminal, in colours or as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from commands.text.card import (
    BAR_WIDTH,
    Bar,
    Button,
    Card,
    CardKind,
    Line,
    Person,
    bar_text,
    plain_line,
)
from inference.domain.untrusted_text import graphemes

STYLES = {
    CardKind.WAITING: "yellow",
    CardKind.RUNNING: "cyan",
    CardKind.DONE: "green",
    CardKind.CLIP: "green",
    CardKind.FAILED: "red",
    CardKind.STOPPED: "bright_black",
    CardKind.ERROR: "red",
    CardKind.INFO: "blue",
}

UNLIMITED = 100_000
"""Columns of a line that is not wrapped."""

NARROW = 60
"""Columns below which a bar in the toolbar would leave no room for words."""

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class CardView:
    """One card, as rich draws it: a coloured edge in a terminal, an indent elsewhere.

    Args:
        card: What it says.
        zone: The reader's time zone.
        number: By which the first button can be pressed, the next one by the next; None: by none.
    """

    def __init__(self, card: Card, *, zone: tzinfo, number: int | None = None) -> None:
        self._card = card
        self._zone = zone
        self._number = number

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        edge, indent = ("▌ ", "▌ ") if console.is_terminal else ("", "  ")
        style = console.get_style(STYLES[self._card.kind])
        # Only people need lines that fit; who reads from a pipe wants them whole.
        width = max(10, console.width - 2) if console.is_terminal else UNLIMITED
        room = options.update(width=width, no_wrap=False, overflow="fold")
        lead = edge
        for part in self._parts(width):
            for line in console.render_lines(_breakable(part, width), room, pad=False):
                yield Segment(lead, style)
                yield from line
                yield Segment.line()
                lead = indent
        yield from self._file(style)

    def _parts(self, columns: int) -> Iterator[Text]:
        card = self._card
        if card.title or card.owner:
            head = Text(_clean(card.title), style="bold")
            if card.owner is not None:
                job = f" · {card.job}" if card.kind is CardKind.FAILED and card.job else ""
                head.append(f"  {_clean(card.owner.shown)}{job}", style="not bold dim")
            yield head
        elif card.attachment is not None:
            yield Text(_clean(card.attachment.description), style="dim")
        if card.facts:
            yield Text(_clean(card.facts), style="dim")
        *before, last = card.lines or ((),)
        for line in before:
            yield self._text(line)
        if card.progress is not None:
            yield Text.assemble(bar(card.progress), "  ", self._text(last))
        elif last:
            yield self._text(last)
        if card.buttons:
            yield _buttons(card.buttons, self._number, columns)

    def _text(self, line: Line) -> Text:
        style = "red" if self._card.kind is CardKind.ERROR else ""
        made = Text(style=style)
        for part in line:
            text = _clean(plain_line((part,), zone=self._zone))
            made.append(text, style="bold" if isinstance(part, Person) else "")
        return made

    def _file(self, style: Style) -> RenderResult:
        """Write the path on a separate line without the edge: it can be clicked and copied."""
        if self._card.attachment is None:
            return
        path = self._card.attachment.path
        link = Style(link=path.absolute().as_uri(), underline=True)
        yield Segment("▶ ", style)
        yield Segment(short_path(path), link)
        yield Segment.line()


def local_zone() -> tzinfo:
    """Return the time zone of this machine."""
    zone = datetime.now().astimezone().tzinfo
    if zone is None:
        raise AssertionError("astimezone() always sets a zone")
    return zone


def bar(progress: Bar) -> Text:
    """Return a progress bar."""
    drawn = Text(bar_text(progress), "bright_black")
    drawn.highlight_regex("▓+", "cyan")
    return drawn


def short_path(path: Path) -> str:
    """Return a path as people would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def toolbar(cards: Sequence[Card], *, zone: tzinfo, columns: int, rows: int) -> str:
    """Sum up the queue in a few rows of plain text: the running job, then those that wait."""
    lines = [_clean(_summary(card, zone, columns)).replace("\n", " ") for card in cards[:rows]]
    if len(cards) > rows:
        lines[-1] += f"  (+{len(cards) - rows})"
    return "\n".join(_cut(line, columns) for line in lines)


def _summary(card: Card, zone: tzinfo, columns: int) -> str:
    last = plain_line(card.lines[-1], zone=zone) if card.lines else ""
    pieces = [last]
    if card.progress is not None and columns >= NARROW:
        pieces.insert(0, bar(card.progress).plain)
    room = columns - sum(cell_len(piece) + 2 for piece in pieces) - 2
    title = _cut(card.title, room) if room > BAR_WIDTH else ""
    return " " + "  ".join(piece for piece in (title, *pieces) if piece)


def _breakable(text: Text, columns: int) -> Text:
    """Break words that are wider than a line between graphemes; rich breaks flags in half."""
    breaks: list[int] = []
    for word in re.finditer(r"\S+", text.plain):
        if cell_len(word[0]) <= columns:
            continue
        position, room = word.start(), columns
        for grapheme in graphemes(word[0]):
            if cell_len(grapheme) > room:
                breaks.append(position)
                room = columns
            room -= cell_len(grapheme)
            position += len(grapheme)
    return Text("\n").join(text.divide(breaks)) if breaks else text


def _cut(text: str, columns: int) -> str:
    """Shorten a text to a number of columns; some characters take two."""
    if cell_len(text) <= columns:
        return text
    kept, room = "", columns - 1
    for grapheme in graphemes(text):
        room -= cell_len(grapheme)
        if room < 0:
            break
        kept += grapheme
    return kept.rstrip() + "…"


def _buttons(buttons: Iterable[Button], first: int | None, columns: int) -> Text:
    """Draw buttons, each whole on one line."""
    made, used = Text(), 0
    for number, button in enumerate(buttons, first or 0):
        label = f"[{button.label}]" if first is None else f"[{number} {button.label}]"
        if used:
            fits = used + 1 + cell_len(label) <= columns
            made.append(" " if fits else "\n")
            used = used + 1 if fits else 0
        made.append(label, style="dim" if first is None else "reverse")
        used += cell_len(label)
    return made


def _clean(text: str) -> str:
    """Remove control characters, which could control the reader's terminal."""
    return _CONTROL.sub("", text)
