"""Cards and forms as Block Kit.

What people typed goes into `plain_text` objects, in which Slack reads no markup and no mention.
Only times and the one ping need `mrkdwn`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from bot.slack.address import user_id
from bot.slack.outbound.text import escape, literal
from commands.actions import Action
from commands.forms import Field, Form
from commands.text.card import (
    Button,
    Card,
    CardKind,
    Confirm,
    Instant,
    Line,
    Person,
    bar_text,
    percent,
    plain,
    plain_line,
)
from inference.domain.untrusted_text import (
    FIRST_STRONG_ISOLATE,
    POP_ISOLATE,
    beginning,
    isolate_foreign,
)

Block = dict[str, Any]

MAX_BLOCKS = 48
"""Slack takes 50 in a message; two are left for lines that callers add."""

MAX_FALLBACK = 3000
"""Characters; Slack takes 4000."""

MAX_HEADER = 150
"""Characters of a title."""

MAX_SECTION = 3000
"""Characters of one section."""

MAX_SECTIONS = 3
"""Sections of a long text: near 13,000 characters in all, Slack refuses a message."""

MAX_PIECE = 900
"""Characters of one piece among others in a section."""

MAX_ELEMENTS = 10
"""Pieces of one context line."""

MAX_BUTTONS = 25
"""In one row of actions."""

MAX_LABEL = 75
"""Characters on a button."""

MAX_MENU = 5
"""Options of one menu."""

MAX_CONFIRM_TITLE, MAX_CONFIRM_TEXT, MAX_CONFIRM_BUTTON = 100, 300, 30
"""Characters of a dialog that asks before something is done."""

MAX_ALT_TEXT = 2000

MAX_TITLE = 24
"""Characters of a modal's title and of its button."""

MAX_INPUT = 3000
"""Characters of a text that is written into a modal."""

MAX_INPUT_LABEL = 2000
MAX_PLACEHOLDER = 150

_PRIMARY = (Action.FINISH, Action.REROLL)
"""What stands out where there is one of it, the first before the second."""
_USER = re.compile(r"[UW][A-Z0-9]+")


class Link(NamedTuple):
    """Link from a message to a file in another message."""

    url: str
    label: str


class Picture(NamedTuple):
    """A picture that Slack has, seen by all who see the message."""

    file_id: str
    alt_text: str


class Message(NamedTuple):
    """Text and blocks of a message; methods that post always need both."""

    text: str
    """For notifications and for readers of the screen."""
    blocks: list[Block]


def message(card: Card, *, links: Sequence[Link] = (), picture: Picture | None = None) -> Message:
    """Return a card as blocks: title, facts, picture, lines, links and buttons.

    Args:
        card: What to say.
        links: Where its files are, if the message does not bring them.
        picture: What was made, where Slack shows it in a message of ours.
    """
    head = [*_title(card), *_contexts([(_about(card),)])]
    if picture is not None:
        head.append(_image(picture))
    large, small = _split(card)
    body = [*_sections(large, ping=card.ping), *_contexts(small)]
    foot = [*_links(links), *_actions(card)]
    room = MAX_BLOCKS - len(head) - len(foot)
    text = escape(plain(card), MAX_FALLBACK)
    text = "\n".join([text, *(link.url for link in links)])
    return Message(text, [*head, *body[:room], *foot])


def comment(card: Card) -> str:
    """Write a card as the markup that goes with a file: it has the ping, and no buttons."""
    marked = [_bold(card.title)] if card.title else []
    ping = card.ping
    for line in card.lines:
        text, ping = _mark_up(line, ping=ping)
        marked.append(text)
    return "\n".join(marked)


def controls(card: Card) -> Message:
    """Draw the buttons of a card whose text went with its file."""
    _, *facts = card.lines or ((),)
    text = escape("\n".join(plain_line(line) for line in facts), MAX_FALLBACK)
    return Message(text or escape(plain(card), MAX_FALLBACK), _actions(card))


def modal(form: Form) -> Block:
    """Draw a form as a view to open; it comes back by its `callback_id`, values by field name."""
    return {
        "type": "modal",
        "callback_id": form.id,
        "title": _plain(form.title, MAX_TITLE),
        "submit": _plain(form.submit, MAX_TITLE),
        "blocks": [_input(field) for field in form.fields],
    }


def _input(field: Field) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": field.name,
        "multiline": field.multiline,
        "max_length": min(field.max_length, MAX_INPUT),
    }
    if field.value:
        element["initial_value"] = beginning(field.value, element["max_length"])
    if field.hint:
        element["placeholder"] = _plain(field.hint, MAX_PLACEHOLDER)
    return {
        "type": "input",
        "block_id": field.name,
        "optional": not field.required,
        "label": _plain(field.label, MAX_INPUT_LABEL),
        "element": element,
    }


def _title(card: Card) -> list[Block]:
    if not card.title.strip():
        return []
    return [{"type": "header", "text": _plain(card.title, MAX_HEADER)}]


def _about(card: Card) -> str:
    """Return a line with the requester, the facts and the job's id; the name pings no one."""
    owner = [] if card.owner is None else [card.owner.shown]
    job = [card.job] if card.job and card.owner else []
    return " · ".join([*owner, *([card.facts] if card.facts else []), *job])


def _bold(title: str) -> str:
    """Write a title in bold; isolates that it does not need could keep Slack from seeing that."""
    bare = title.replace(FIRST_STRONG_ISOLATE, "").replace(POP_ISOLATE, "")
    marked = literal(isolate_foreign(bare), MAX_PIECE).strip()
    return f"*{marked}*" if marked else ""


def _split(card: Card) -> tuple[Sequence[Line], Sequence[Line]]:
    """Return the lines that are read, and the small print below them."""
    if card.kind is CardKind.CLIP:
        return card.lines[:1], card.lines[1:]
    if card.progress is None:
        return card.lines, ()
    bar = f"{bar_text(card.progress)}  {percent(card.progress)}"
    *above, last = card.lines or ((),)
    return (*above, (f"{bar} · ", *card.ready) if card.ready else (bar,)), (last,)


def _sections(lines: Sequence[Line], *, ping: bool) -> list[Block]:
    """Draw lines at full size; those of mere text share sections."""
    blocks: list[Block] = []
    texts: list[str] = []
    for line in lines:
        if all(isinstance(part, str) for part in line):
            texts.append("".join(str(part) for part in line))
            continue
        marked, ping = _mark_up(line, ping=ping)
        blocks += [*_text_sections(texts), _section(_mrkdwn(marked))]
        texts = []
    return [*blocks, *_text_sections(texts)]


def _text_sections(texts: Sequence[str]) -> list[Block]:
    """Draw a long text, whole lines together."""
    pages: list[str] = []
    for text in texts:
        joined = f"{pages[-1]}\n{text}" if pages else text
        if pages and len(escape(joined)) <= MAX_SECTION:
            pages[-1] = joined
        else:
            pages.append(text)
    if len(pages) > MAX_SECTIONS:
        pages[MAX_SECTIONS - 1 :] = ["\n".join(pages[MAX_SECTIONS - 1 :])]
    return [_section(_plain(page, MAX_SECTION)) for page in pages if page.strip()]


def _contexts(lines: Sequence[Line]) -> list[Block]:
    """Draw lines as small print; each piece is an element, so that text stays plain."""
    blocks: list[Block] = []
    for line in lines:
        pieces = [
            _mrkdwn(_date(part)) if isinstance(part, Instant) else _plain(_name(part), MAX_SECTION)
            for part in line
            if isinstance(part, Instant) or _name(part).strip()
        ]
        if pieces:
            blocks.append({"type": "context", "elements": pieces[:MAX_ELEMENTS]})
    return blocks


def _mark_up(line: Line, *, ping: bool) -> tuple[str, bool]:
    """Write a line with times and people in it as markup.

    Returns:
        The line, and whether a person is still to be notified: the first person is.
    """
    written: list[str] = []
    for part in line:
        if isinstance(part, Instant):
            written.append(_date(part))
        elif isinstance(part, Person) and ping and _USER.fullmatch(user_id(part.id)):
            written.append(f"<@{user_id(part.id)}>")
            ping = False
        else:
            written.append(literal(_name(part), MAX_PIECE))
    return "".join(written), ping


def _name(part: str | Person) -> str:
    return part.shown if isinstance(part, Person) else part


def _date(instant: Instant) -> str:
    """Write a time that each reader sees in their own zone."""
    fallback = f"{instant.format()} {instant.zone or 'UTC'}"
    return f"<!date^{int(instant.at)}^{{time}}|{fallback}>"


def _links(links: Sequence[Link]) -> list[Block]:
    if not links:
        return []
    written = [f"<{link.url}|{escape(link.label)}>" for link in links]
    return [_section(_mrkdwn(" · ".join(written)))]


def _image(picture: Picture) -> Block:
    return {
        "type": "image",
        "slack_file": {"id": picture.file_id},
        "alt_text": escape(picture.alt_text, MAX_ALT_TEXT),
    }


def _actions(card: Card) -> list[Block]:
    """Draw the buttons in a row, and behind it a menu of those that ask before they act."""
    asking = [button for button in card.pressed_rarely if button.confirm is not None]
    shown = list({b.id: b for b in card.buttons if b not in asking}.values())  # ids must differ
    shown = shown[: MAX_BUTTONS - 1]
    primary = _primary(shown)
    elements = [_button(each, primary=each is primary) for each in shown]
    if asking:
        elements.append(_menu(asking[:MAX_MENU], card.job or ""))
    return [{"type": "actions", "elements": elements}] if elements else []


def _primary(buttons: Sequence[Button]) -> Button | None:
    """Return the button that stands out; none of several for the same."""
    for action in _PRIMARY:
        found = [button for button in buttons if button.action is action]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _menu(buttons: Sequence[Button], job: str) -> Block:
    """Draw a menu; the values of its options are ids of buttons."""
    asked = next(button.confirm for button in buttons)
    options = [{"text": _plain(button.label, MAX_LABEL), "value": button.id} for button in buttons]
    drawn = {"type": "overflow", "action_id": f"v1:more:{job}", "options": options}
    return drawn if asked is None else {**drawn, "confirm": _confirm(asked)}


def _confirm(asked: Confirm) -> Block:
    return {
        "title": _plain(asked.title, MAX_CONFIRM_TITLE),
        "text": _plain(asked.text, MAX_CONFIRM_TEXT),
        "confirm": _plain(asked.yes, MAX_CONFIRM_BUTTON),
        "deny": _plain(asked.no, MAX_CONFIRM_BUTTON),
        "style": "danger",
    }


def _button(button: Button, *, primary: bool) -> Block:
    drawn = {
        "type": "button",
        "action_id": button.id,
        "text": _plain(button.label, MAX_LABEL),
    }
    if button.action is Action.DELETE:
        return {**drawn, "style": "danger"}
    return {**drawn, "style": "primary"} if primary else drawn


def _section(text: Block) -> Block:
    return {"type": "section", "text": text}


def plain_text(words: str) -> Block:
    """Return a text object for a label of ours."""
    return {"type": "plain_text", "text": words, "emoji": True}


def _plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": escape(text, limit), "emoji": False}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text, "verbatim": True}
