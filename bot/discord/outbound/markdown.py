"""Escapes text for Discord, and writes times and people in its markup."""

from __future__ import annotations

import re

from commands.text.card import Instant, Line, Person
from inference.domain.untrusted_text import FIRST_STRONG_ISOLATE, beginning, close_isolate

_MARKUP = re.compile(
    r"""
      [\\*_~`|\[]                      # emphasis, code, spoilers, links
    | <(?=[@#:/ait])                   # mentions, emoji, commands, times
    | ^[\s\u2068]*(?:>|-\#|\#|[-+](?=\s))  # quotes, small print, headings, lists
    | @(?=everyone|here)
    """,
    re.VERBOSE | re.MULTILINE,
)

_HALF = re.compile(
    r"""
      (?<!\\)<[@t][^<>\s]*$        # a mention or a time without its end
    | (?<!\\)((?:\\\\)*)\\$        # a backslash without what it escapes
    """,
    re.VERBOSE,
)


def escape(text: str) -> str:
    """Escape a text's markdown and mentions, so that Discord shows it as typed and pings no one."""
    return _MARKUP.sub(_escaped, text)


def line(parts: Line) -> str:
    """Write one line of a card: text escaped, times in the reader's zone, people as mentions."""
    return "".join(_part(part) for part in parts)


def mention(user_id: str) -> str:
    """Return a mention, which Discord shows as a name; `allowed_mentions` decides on pings."""
    return f"<@{user_id}>"


def cut(text: str, length: int) -> str:
    """Shorten markdown to a number of characters; nothing that Discord reads is cut in half."""
    if len(text) <= length:
        return text
    end = 1 if FIRST_STRONG_ISOLATE not in text else 2
    head = _HALF.sub(r"\1", beginning(text, length - end))
    return close_isolate(head.rstrip() + "…")


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    markup = found.lstrip(" \t\n\u2068")
    return f"{found[: len(found) - len(markup)]}\\{markup}"


def _part(part: str | Instant | Person) -> str:
    match part:
        case Instant(at=at):
            return f"<t:{int(at)}:t>"
        case Person(id=user_id):
            return mention(user_id)
        case _:
            return escape(part)
