"""Quotation marks and backslashes in typed text, including the marks that phones put in."""

from __future__ import annotations

import re

_LEFT = "\N{LEFT SINGLE QUOTATION MARK}"
_RIGHT = "\N{RIGHT SINGLE QUOTATION MARK}"

_CLOSERS = {
    '"': '"',
    "“": "”",
    "”": "”",  # Swedish and Finnish
    "„": "“”",
    "«": "»",
    "»": "«",  # German and Danish books
    "'": "'",
    _LEFT: _RIGHT,
    _RIGHT: _RIGHT,
}
SINGLE = f"'{_LEFT}{_RIGHT}"
"""Marks that are apostrophes as well: `don't`, `'90s`, `kids'`."""
DOUBLE = "".join(mark for mark in _CLOSERS if mark not in SINGLE)
DASHES = "-‒–—―−"  # noqa: RUF001 - these are the dashes that keyboards make of "--"

_ESCAPED = re.compile(rf"\\([\\{re.escape(''.join(_CLOSERS) + DASHES)}])")
_PLAIN = re.compile(r"\w[\w.:/-]*")
_NEEDS_ESCAPE = re.compile(rf"[\\{DOUBLE}]|(?:(?<=\s)|^)[{re.escape(DASHES)}]")


def find_closing_quote(text: str, start: int) -> int | None:
    """Return where the quotation opened at `start` closes, or None if no mark opens or closes it.

    Marks after a backslash do not close, nor does an apostrophe inside a word.
    """
    closers = _CLOSERS.get(text[start : start + 1])
    if closers is None:
        return None
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        if character in closers:
            inside_word = character in SINGLE and text[position + 1 : position + 2].isalnum()
            if not inside_word:
                return position
        position += 1
    return None


def unescape(text: str) -> str:
    """Remove the backslashes that protect marks, dashes and backslashes; leave all others."""
    return _ESCAPED.sub(r"\1", text)


def escape(text: str) -> str:
    """Protect everything in plain text that could be read as a quotation or a flag."""
    return _NEEDS_ESCAPE.sub(r"\\\g<0>", text)


def quote(text: str) -> str:
    """Return text that is read as one value: in quotation marks, unless it is one plain word."""
    return text if _PLAIN.fullmatch(text) else add_quotation_marks(text)


def add_quotation_marks(text: str) -> str:
    """Return text in quotation marks; what is between them unescapes to `text`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
