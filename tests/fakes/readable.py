"""Text as people read it: without the marks that keep its direction apart from ours."""

from __future__ import annotations

from datetime import UTC, tzinfo

from commands.text.card import Card
from commands.text.card import plain as card_text
from inference.domain.untrusted_text import FIRST_STRONG_ISOLATE, POP_ISOLATE

_MARKS = str.maketrans("", "", FIRST_STRONG_ISOLATE + POP_ISOLATE)


def readable(text: str) -> str:
    return text.translate(_MARKS)


def plain(card: Card, *, zone: tzinfo = UTC) -> str:
    """Write a card as text, as people read it."""
    return readable(card_text(card, zone=zone))
