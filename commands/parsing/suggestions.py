"""Guesses what somebody meant to type."""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz import fuzz, process

LIKELY = 60.0
"""Similarity in percent from which a guess helps more than it confuses."""

ALMOST_SURE = 85.0
"""Similarity in percent from which a word is a mistyped name rather than a word of its own."""


def closest(word: str, known: Iterable[str], *, at_least: float = LIKELY) -> str | None:
    """Return the known word most like `word`, or None when none is like it."""
    found = process.extractOne(
        word, list(known), scorer=fuzz.ratio, processor=str.casefold, score_cutoff=at_least
    )
    return found[0] if found else None
