"""Text of the database that is not valid UTF-8: readable everywhere, and recognisable."""

from __future__ import annotations


class UndecodableText(str):
    """Text with U+FFFD in place of what could not be decoded.

    A query must not fail because of one value, so it is text like any other; the
    code that decodes a row can tell.
    """

    __slots__ = ("raw",)

    raw: bytes
    """As it is in the file."""


def decode_text(raw: bytes) -> str:
    """Decode a value of SQLite: the `text_factory` of every connection."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        text = UndecodableText(raw.decode(errors="replace"))
        text.raw = raw
        return text
