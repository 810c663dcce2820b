"""Words that were split to hide them: `po rn`, `g o re`, `포 르 노`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import resources

from inference.safety.normalization import MASK, Reading, compose

SHORTEST = 4
"""Letters of a word that is looked for in pieces; shorter ones arise by chance."""

_SHORTEST_HANGUL = 2
_SHORTEST_KANA = 3

_RARELY_ALONE = frozenset("bcfghjklnpqrvwxyz")
"""Letters that are no word by themselves, nor the end of one as in `dog's` and `I'd`."""

_PARTICLES = frozenset("을 를 이 가 은 는 의 에 도 만 로 으로 와 과".split())  # noqa: SIM905 - a line, not fourteen

_MOST_PIECES = 12


class Splits:
    """Joins the pieces of listed words.

    Two ordinary words in a row may make a listed one (`be headed`): that is no trick.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Take the words of lists, folded; those that end in `*` stand for any ending."""
        kept = {word for word in words if len(word.rstrip("*")) >= _shortest(word)}
        self._whole = frozenset(word for word in kept if not word.endswith("*"))
        self._stems = frozenset(word[:-1] for word in kept if word.endswith("*"))
        self._lengths = sorted({len(stem) for stem in self._stems})
        self._longest = max(map(len, kept), default=0)

    def undo(self, reading: Reading) -> Reading | None:
        """Return the reading with pieces put together, or None where there are none."""
        if MASK in reading.words:
            return None
        pieces = reading.words.split(" ")
        put = list(self._put_together(pieces))
        return None if len(put) == len(pieces) else replace(reading, words=" ".join(put))

    def _put_together(self, pieces: list[str]) -> Iterator[str]:
        start = 0
        while start < len(pieces):
            end = self._end(pieces, start)
            yield compose("".join(pieces[start:end])) if end > start + 1 else pieces[start]
            start = end

    def _end(self, pieces: list[str], start: int) -> int:
        """Return the end of the pieces that make a word from `start` on; the next one if none."""
        word = pieces[start]
        odd, single = _counted(word)
        for end in range(start + 1, min(len(pieces), start + _MOST_PIECES)):
            before = len(compose(word))
            if before > self._longest:
                break
            word += pieces[end]
            one_odd, one_single = _counted(pieces[end])
            odd, single = odd + one_odd, single + one_single
            if (odd or single > 1) and self._is_listed(compose(word), before):
                return end + 1
        return start + 1

    def _is_listed(self, word: str, before: int) -> bool:
        """Whether the last piece completes a listed word."""
        if word in self._whole:
            return True
        return any(
            length > before and word[:length] in self._stems and _may_end(word, length)
            for length in self._lengths
            if length <= len(word)
        )


def _may_end(word: str, length: int) -> bool:
    """Whether what follows a stem is an ending; in Korean the next word may begin like one."""
    if not _is_hangul(word):
        return True
    return length == len(word) or (length > _SHORTEST_HANGUL and word[length:] in _PARTICLES)


def _is_kana(word: str) -> bool:
    return "\u3040" <= word[0] <= "\u30ff"


def _is_hangul(word: str) -> bool:
    return "\uac00" <= word[0] <= "\ud7a3"


def _counted(piece: str) -> tuple[int, int]:
    """Return whether a piece is no ordinary word, and whether it is a single letter."""
    if len(piece) == 1:
        return 0, 2 if piece in _RARELY_ALONE else 1
    if not piece.isascii():
        return 1, 0
    return int(piece not in common_words()), 0


def _shortest(word: str) -> int:
    if _is_hangul(word):
        return _SHORTEST_HANGUL
    return _SHORTEST_KANA if _is_kana(word) else SHORTEST


@cache
def common_words() -> frozenset[str]:
    """Return short words of everyday English."""
    source = resources.files("inference.safety").joinpath("common_words.txt")
    return frozenset(source.read_text(encoding="utf-8").split())
