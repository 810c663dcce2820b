"""Lists of words and phrases, each compiled to one pattern that is found in linear time.

Plain words only, no regular expressions of operators or admins: Python cannot interrupt one that
backtracks without end, neither from a thread nor by a timer, and `readings` sees through more
tricks than a pattern that somebody types. A `*` at the end of a term stands for any ending.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from inference.safety.normalization import Reading, extract_words, fold

_ANY_ENDING = "*"
_SPELLED_LETTERS = 4
"""Shorter terms are no sign of anything inside a longer run of single letters."""

_UNSPACED = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"}
"""Scripts, as Unicode names begin, that are written without spaces."""
_WITH_ENDINGS = _UNSPACED | {"HANGUL"}
"""Scripts whose words may go on with a particle."""


def normal(term: str) -> str:
    """Return the canonical spelling of a term, empty if nothing is left."""
    words = extract_words(fold(term))
    return words + _ANY_ENDING if words and term.rstrip().endswith(_ANY_ENDING) else words


class Terms:
    """A list of words and phrases as one pattern."""

    def __init__(self, terms: Iterable[str]) -> None:
        kept = [term for term in dict.fromkeys(map(normal, terms)) if term]
        self._pattern = re.compile("|".join(map(_pattern, kept)) or r"(?!)")
        joined = {term.rstrip(_ANY_ENDING).replace(" ", "") for term in kept}
        self._spelled = tuple(term for term in joined if len(term) >= _SPELLED_LETTERS)
        self.words = frozenset(_words(kept))
        """Every single word of the terms; those that end in `*` stand for any ending."""

    def found_in(self, reading: Reading) -> bool:
        """Return whether a reading contains one of the terms."""
        if self._pattern.search(reading.words):
            return True
        return any(term in run for run in reading.spelled for term in self._spelled)

    def without(self, reading: Reading) -> Reading:
        """Return the reading with all the terms taken out."""
        words = extract_words(self._pattern.sub(" ", reading.words))
        return Reading(words=words, spelled=reading.spelled)


def _words(terms: Iterable[str]) -> Iterator[str]:
    """Yield the words of terms, and terms run together."""
    for term in terms:
        yield from term.split(" ")
        yield term.replace(" ", "")


def _pattern(term: str) -> str:
    """Return the pattern of a term: its words, run together or not, and no others around."""
    words = term.rstrip(_ANY_ENDING)
    begin = "" if _script(words[0]) in _UNSPACED else r"(?<!\S)"
    if term.endswith(_ANY_ENDING):
        end = r"\S*"
    else:
        end = "" if _script(words[-1]) in _WITH_ENDINGS else r"(?!\S)"
    return begin + " ?".join(map(re.escape, words.split())) + end


def _script(character: str) -> str:
    return unicodedata.name(character, "").split(" ")[0]
