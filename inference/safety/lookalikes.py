"""Unicode confusables: letters that look like Latin ones.

`lookalikes.txt` is made from the confusables that the package `confusable-homoglyphs` ships; a test
makes it again and compares.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

_NAMED = re.compile(
    r"(?:(?:LATIN|MODIFIER) (?:SMALL |CAPITAL )?LETTER (?:SMALL CAPITAL |SMALL |CAPITAL )?"
    r"(?:(?:TURNED|REVERSED|OPEN|DOTLESS|SCRIPT|BARRED|INVERTED|LONG-LEGGED|TAILLESS) )*"
    r"|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER |REGIONAL INDICATOR SYMBOL LETTER )"
    r"(?P<letter>[A-Z])(?: WITH .*)?"
)
_LOCAL = {"п": "n", "π": "n", "η": "n", "и": "n", "я": "r", "λ": "a", "ш": "w", "з": "3", "ᑎ": "n"}
"""Letters that are used for others although Unicode calls them no confusables."""

_OTHER_WRITING = ("HANGUL", "CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO")
"""Beginnings of the names of characters that stand among Latin ones for what they are."""

_FIRST, _LAST = 0x80, 0x1FBFF


def make(confusables: Mapping[str, Iterable[Mapping[str, str]]]) -> dict[str, str]:
    """Return the Latin letter or digit that each folded character looks like.

    Args:
        confusables: By character, those that look like it, as `{"c": …}`.
    """
    latin: dict[str, str] = {}
    for character, alike in confusables.items():
        for other in alike:
            letter = other["c"]
            if len(letter) == 1 and letter.isascii() and letter.isalnum():
                latin.setdefault(character, letter.lower())
    found: dict[str, str] = {}
    for code in range(_FIRST, _LAST):
        character = chr(code)
        name = unicodedata.name(character, "")
        if not name or name.startswith(_OTHER_WRITING) or not _is_folded(character):
            continue
        named = _NAMED.fullmatch(name)
        letter = (
            _LOCAL.get(character)
            or latin.get(character)
            or latin.get(character.upper())
            or (named["letter"].lower() if named else "")
        )
        if letter:
            found[character] = letter
    return found


def write(table: Mapping[str, str]) -> str:
    """Write a table: a line for each letter, with all that look like it after a space."""
    letters = sorted(set(table.values()))
    lines = (f"{one} {''.join(sorted(c for c in table if table[c] == one))}" for one in letters)
    return "\n".join(lines) + "\n"


@cache
def lookalikes() -> Mapping[int, str]:
    """Return the table, for `str.translate`."""
    source = resources.files("inference.safety").joinpath("lookalikes.txt")
    lines = source.read_text(encoding="utf-8").splitlines()
    return {ord(character): line[0] for line in lines for character in line[2:]}


def _is_folded(character: str) -> bool:
    """Whether a character is still there when a text was folded otherwise."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())
    return unicodedata.normalize("NFD", folded) == character
