"""Outbound text: escapes what people typed, so that Slack sees no markup, link or mention in it."""

from __future__ import annotations

from inference.domain.untrusted_text import FIRST_STRONG_ISOLATE, close_isolate, graphemes

_CONTROL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKUP = str.maketrans(
    {
        "*": "\N{ASTERISK OPERATOR}",
        "_": "\N{MODIFIER LETTER LOW MACRON}",
        "~": "\N{TILDE OPERATOR}",
        "`": "\N{MODIFIER LETTER GRAVE ACCENT}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    }
)


def escape(text: str, limit: int | None = None) -> str:
    """Write text so that Slack shows it as it is: `&`, `<` and `>` are what it parses.

    Args:
        text: Anything.
        limit: Characters that may be sent, counted as Slack does: after escaping.
    """
    escaped = text.translate(_CONTROL)
    if limit is None or len(escaped) <= limit:
        return escaped
    end = 1 if FIRST_STRONG_ISOLATE not in escaped else 2
    room = limit - end
    kept: list[str] = []
    for grapheme in graphemes(text):
        piece = grapheme.translate(_CONTROL)
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return close_isolate("".join(kept) + "…")


def literal(text: str, limit: int | None = None) -> str:
    """Write text for a place where Slack reads markup, and there is no way to switch that off.

    Slack knows no escape for `*bold*` and its like: characters that look the same take their place.

    Args:
        text: Anything.
        limit: As for `escape`.
    """
    return escape(text.translate(_MARKUP), limit)
