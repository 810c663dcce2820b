"""Suggestions for mistyped words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from rapidfuzz import fuzz, process

LIKELY = 60.0
"""Similarity in percent from which a guess helps more than it confuses."""

ALMOST_SURE = 85.0
"""Similarity in percent from which a word is a mistyped name rather than another word."""

SHORTENED = 3
"""Letters from which the beginning of a name stands for all of it."""

LONGEST = 200
"""Characters of a word that is compared; no name is as long, and programs may send megabytes."""

_SIZE = re.compile(
    r"(?P<size>[1-9][0-9]{0,5})(?:p|\s*[:x×/]\s*(?P<to>[1-9][0-9]{0,5}))?",  # noqa: RUF001 - people type it
    re.IGNORECASE,
)
"""A height such as 360p, or a width to a height such as 16:9."""


def closest(word: str, known: Iterable[str], *, at_least: float = LIKELY) -> str | None:
    """Return the known word most similar to `word`, or None.

    A beginning means the whole word: `set` is `settings`, though it looks more like `preset`.
    Of sizes it is the nearest: 3:2 is meant to be 4:3, though it looks like 3:4.
    """
    if len(word) > LONGEST:
        return None
    known = list(known)
    longer = [each for each in known if each.casefold().startswith(word.casefold())]
    if len(longer) == 1 and len(word) >= SHORTENED and at_least <= LIKELY:
        return longer[0]
    found = process.extractOne(
        word, known, scorer=fuzz.ratio, processor=str.casefold, score_cutoff=at_least
    )
    if found and found[1] >= ALMOST_SURE:
        return found[0]
    wanted, sizes = _size(word), {each: _size(each) for each in known}
    if wanted is not None and known and None not in sizes.values():
        return min(known, key=lambda each: abs(math.log((sizes[each] or 1.0) / wanted)))
    return found[0] if found else None


def _size(word: str) -> float | None:
    """Parse a size: a height such as 360p, or the quotient of a ratio such as 16:9."""
    found = _SIZE.fullmatch(word.strip())
    return None if found is None else int(found["size"]) / int(found["to"] or 1)
