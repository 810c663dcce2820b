"""Compound words that hide a listed one: `pornvideo`, `nakedwoman`, `한국포르노`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from inference.safety.normalization import Reading
from inference.safety.split_words import common_words

_SHORTEST_PART = 3
_SHORTEST_LISTED = 4
_LONGEST = 40
"""Letters of a run that are looked at; nobody reads a longer one."""
_MOST_PARTS = 4

_RUN = re.compile(rf"(?<!\S)[a-z]{{{_SHORTEST_PART + _SHORTEST_LISTED},{_LONGEST}}}(?!\S)")

_HANGUL_WORD = re.compile("[\uac00-\ud7a3]{3,}")
"""Listed words that are found in the middle of Korean ones; shorter ones arise by chance."""


class Compounds:
    """Takes words apart that are made of listed and ordinary ones, and of nothing else.

    A word with any other part in it stays: most names and long words have one by chance.
    """

    def __init__(self, words: Iterable[str], *, beside: Iterable[str] = ()) -> None:
        """Take the words of lists, folded; those that end in `*` stand for any ending.

        Args:
            words: These.
            beside: Words that often stand beside them, but are not everyday English.
        """
        kept = {word.rstrip("*") for word in words}
        self._ordinary = common_words() | frozenset(beside) | kept
        self._listed = frozenset(word for word in kept if len(word) >= _SHORTEST_LISTED)
        long = sorted(word for word in kept if _HANGUL_WORD.fullmatch(word))
        self._hangul = re.compile(rf"(?<=[\uac00-\ud7a3])(?:{'|'.join(long) or '(?!)'})")
        self._known = lru_cache(maxsize=4096)(self._parts)

    def undo(self, reading: Reading) -> Reading | None:
        """Return the reading with such words apart, or None where there are none."""
        words = _RUN.sub(self._apart, self._hangul.sub(r" \g<0>", reading.words))
        return None if words == reading.words else replace(reading, words=words)

    def _apart(self, match: re.Match[str]) -> str:
        word = match[0]
        if word in self._ordinary:
            return word
        return " ".join(self._known(word) or (word,))

    def _parts(self, word: str) -> tuple[str, ...] | None:
        """Return the parts of a word, one of them listed, or None."""
        # By position: the shortest ways there, without and with a listed word.
        ways: list[dict[bool, tuple[str, ...]]] = [{False: ()}]
        for end in range(1, len(word) + 1):
            here: dict[bool, tuple[str, ...]] = {}
            for start in range(end - _SHORTEST_PART + 1):
                part = word[start:end]
                listed = part in self._listed
                if part not in self._ordinary:
                    continue
                for seen, parts in ways[start].items():
                    if len(parts) < len(here.get(seen or listed, (None,) * (_MOST_PARTS + 1))):
                        here[seen or listed] = (*parts, part)
            ways.append(here)
        return ways[-1].get(True)
