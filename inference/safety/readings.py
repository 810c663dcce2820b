"""Reading a text the way a person does who looks past the tricks it is written with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

_LOOKALIKES = str.maketrans(
    {
        # Cyrillic
        "\u0430": "a",
        "\u0435": "e",
        "\u043e": "o",
        "\u0440": "p",
        "\u0441": "c",
        "\u0443": "y",
        "\u0445": "x",
        "\u0455": "s",
        "\u0456": "i",
        "\u0458": "j",
        "\u0501": "d",
        # Greek
        "\u03b1": "a",
        "\u03bf": "o",
        "\u03c1": "p",
        "\u03b9": "i",
        "\u03bd": "v",
        # Latin that has no decomposition
        "\u0131": "i",
        "\u0142": "l",
        "\u00f8": "o",
    }
)
"""Letters that look like another one. Lists of words are folded in the same way, so that words
which really are Cyrillic or Greek are still found."""

_DIGITS = {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "€": "e"}
_LEET = tuple(str.maketrans(_DIGITS | {"1": one, "!": "i", "|": "l"}) for one in "il")
"""Digits and signs that stand for letters; 1 stands for two of them."""

_LEET_WORD = re.compile(r"[a-z0-9@$€!|]+")
_LETTER = re.compile(r"[a-z]")

_MARKS = re.compile("[\u0300-\u036f]")
_INSIDE = re.compile(r"(?<=\w)[._*~'\u2019\u00b7-]+(?=\w)|(?<=\w)_+(?=\w)")
_BETWEEN = re.compile(r"[\W_]+")
_REPEATED = re.compile(r"(\w)\1{2,}")
_SPELLED = re.compile(r"(?<!\S)\S(?: \S(?!\S)){2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read a text."""

    words: str
    """Folded words with single spaces in between."""
    spelled: tuple[str, ...]
    """What was spelled letter by letter, the letters put together."""


def readings(text: str) -> tuple[Reading, ...]:
    """Return the ways to read a text; for an honestly written one there are one or two.

    All are folded (case, accents, invisible characters, letters that look alike). Beside the
    plain one: with digits as the letters they stand for, with punctuation inside words left
    out, and with repeated letters as one.
    """
    return tuple(
        Reading(
            words=words,
            spelled=tuple(run.replace(" ", "") for run in _SPELLED.findall(words)),
        )
        for words in dict.fromkeys(_versions(fold(text)))
    )


def fold(text: str) -> str:
    """Return the text without case, accents, invisible characters and letters that look alike."""
    visible = "".join(
        character
        for character in unicodedata.normalize("NFKC", text).casefold()
        if unicodedata.category(character) != "Cf"
    )
    plain = _MARKS.sub("", unicodedata.normalize("NFD", visible.translate(_LOOKALIKES)))
    return unicodedata.normalize("NFC", plain)


def spaced(folded: str) -> str:
    """Return the words of a folded text with single spaces in between, and nothing else."""
    return _BETWEEN.sub(" ", folded).strip()


def _versions(folded: str) -> Iterator[str]:
    joined = _INSIDE.sub("", folded)
    for version in (folded, joined):
        yield spaced(version)
        yield spaced(_REPEATED.sub(r"\1", version))
        for table in _LEET:
            spoken = _LEET_WORD.sub(partial(_spoken, table), version)
            yield spaced(spoken)
            yield spaced(_REPEATED.sub(r"\1", spoken))


def _spoken(table: Mapping[int, str | int], match: re.Match[str]) -> str:
    """Return a word with its digits and signs as letters; numbers stay, and marks at the end."""
    word = match[0].rstrip("!")
    if not _LETTER.search(word):
        return match[0]
    return word.translate(table)
