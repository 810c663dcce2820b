"""Words with signs in place of letters: `p*rn`, `h**tai`, `p()rn`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from inference.safety.normalization import MASK, Reading

SHORTEST = 4
"""Letters of a word that is looked for behind signs; shorter ones may be anything."""

_LONGEST_MASK = 3
_ENDINGS = frozenset(["", *"s es ed ing er ers ic ion ions e y ies al".split()])  # noqa: SIM905 - a line
"""Of words that are listed with any ending: `rap*star` is another word."""

_MASKED = re.compile(rf"(?<!\S)[^\s{MASK}]+(?:{MASK}+[^\s{MASK}]+)+(?!\S)")
_MASKS = re.compile(f"{MASK}+")


class Masks:
    """Replaces masked words by the listed words that they may be.

    The first and the last letter have to be there, and as many letters as signs.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Take the words of lists, folded; those that end in `*` stand for any ending."""
        self._by_first: dict[str, list[str]] = defaultdict(list)
        for word in sorted(words):
            if len(word.rstrip("*")) >= SHORTEST and " " not in word:
                self._by_first[word[0]].append(word)

    def undo(self, reading: Reading) -> Reading | None:
        """Return the reading with such words written out, or None where there are none."""
        if MASK not in reading.words:
            return None
        words = _MASKED.sub(self._written_out, reading.words)
        return None if words == reading.words else replace(reading, words=words)

    def _written_out(self, match: re.Match[str]) -> str:
        masked = match[0]
        pattern = re.compile(_MASKS.sub(_letters, masked))
        meant = [word for word in self._by_first[masked[0]] if _may_be(pattern, masked, word)]
        return " ".join(word.rstrip("*") for word in meant) or masked


def _letters(run: re.Match[str]) -> str:
    """Return the pattern of what signs stand for; several may stand for one letter, as in `()`."""
    return rf"(\w{{1,{min(len(run[0]), _LONGEST_MASK)}}})"


def _may_be(pattern: re.Pattern[str], masked: str, word: str) -> bool:
    stem = word.rstrip("*")
    found = pattern.fullmatch(word) if stem == word else _against_stem(masked, stem)
    if found is None:
        return False
    hidden = sum(map(len, found.groups()))
    return hidden * 2 <= len(stem)


def _against_stem(masked: str, stem: str) -> re.Match[str] | None:
    """Match the beginning of a masked word, up to a letter that shows, with a stem."""
    for end in range(masked.rfind(MASK) + 2, len(masked) + 1):
        found = re.fullmatch(_MASKS.sub(_letters, masked[:end]), stem)
        if found and masked[end:] in _ENDINGS:
            return found
    return None
