"""Cleaning, cutting and bidi isolation of untrusted text.

Text is cleaned once, where it comes in (`clean`, or `clean_words` for what a model is to read), and
isolated where it is joined with ours (`isolate`). Files, recipes, models and ids get it as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import wcwidth

FIRST_STRONG_ISOLATE = "\u2068"
POP_ISOLATE = "\u2069"

ISOLATES = len(FIRST_STRONG_ISOLATE + POP_ISOLATE)
"""Characters that isolating a line adds."""

_MARKS_IN_A_ROW = 6
"""Combining marks on one letter that are kept; no language needs more."""

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c)"  # strings for the device
)
"""Sequences that steer a terminal."""

_NEWLINE = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile(
    "[\x00-\x09\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\u3164\uffa0]"
)
"""What becomes a space: controls, halves of characters, and letters that show nothing."""

_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_HIDDEN = re.compile(
    f"(?P<flag>{_FLAG})"
    "|[\xad\u034f\u061c\u180b-\u180f\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb]"
    "|[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a]"
    "|[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)
"""Overrides, embeddings and isolates, tags outside of a flag, and what no font shows."""

_SELECTOR = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_JOINER = re.compile("[\u200c\u200d]")
_SEQUENCE = re.compile(f"{_SELECTOR.pattern}|{_JOINER.pattern}")
_DIRECTION_MARK = re.compile("[\u200e\u200f]")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_OFTEN_EMOJI = frozenset("#*0123456789©®‼⁉ℹ™〰Ⓜ㊗㊙")  # noqa: RUF001 - these very characters
_SYMBOLS = frozenset({"So", "Sk", "Sm", "Cn"})  # "Cn": emoji newer than this Python
_FIRST_JOINING, _LAST_JOINING = "\u0590", "\u1aff"
"""Scripts in which a joiner changes the shape of letters: Arabic, Persian, Hindi, Khmer."""

_PLATFORM_CODE = re.compile(
    r"<(?:"
    r"(?:@[!&]?|\#)(?P<mentioned>[A-Z0-9]{2,24})(?:\|(?P<name>[^<>|\n]*))?"
    r"|!(?P<special>[A-Za-z]\w*)(?:\^[^<>|\n]*)?(?:\|(?P<label>[^<>|\n]*))?"
    r"|(?P<address>(?:https?|mailto|tel):[^<>|\s]*)(?:\|(?P<linked>[^<>|\n]*))?"
    r"|a?:(?P<emoji>\w{1,32}):\d{5,24}"
    r"|/(?P<command>[\w -]{1,100}):\d{5,24}"
    r"|t:-?\d{1,16}(?::[A-Za-z])?"
    r"|id:\w{1,32}"
    r")>",
)
"""What Discord and Slack write for people, channels, groups, links, emoji, commands and times."""


def clean(text: str, *, lines: bool = False) -> str:
    """Remove invisible characters and bidi controls from a text.

    Emoji of several parts, their variations, and the joiners of scripts that need them stay.

    Args:
        text: Anything.
        lines: Whether line breaks stay; they become spaces otherwise, as controls always do.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text)
    text = _NEWLINE.sub("\n", text)
    parts = text.split("\n")
    cleaned = [_clean_line(part) for part in parts]
    return ("\n" if lines else " ").join(cleaned)


def clean_words(text: str) -> str:
    """Clean a prompt, with emoji codes as words."""
    return _PLATFORM_CODE.sub(_in_words, clean(text, lines=True))


def is_blank(text: str) -> bool:
    """Whether there is nothing to see in a text."""
    return not any(map(_shows, text))


def isolate(text: str) -> str:
    """Wrap a person's text in bidi isolates, line by line.

    Every line is isolated, because a direction ends with its line. What is isolated already stays.
    """
    return "\n".join(map(_isolate_line, text.split("\n")))


def isolate_foreign(text: str) -> str:
    """Wrap a text in bidi isolates only if it could affect its surroundings.

    For values that are mostly ours, and for fields in which people's text stands alone.
    """
    if (text.isascii() and text.isprintable()) or text == isolate(text):
        return text
    changes = _RIGHT_TO_LEFT.search(text) or clean(text, lines=True) != text
    return isolate(text) if changes else text


def graphemes(text: str) -> Iterator[str]:
    """Yield the grapheme clusters of a text, such as a flag or a letter with its accents.

    They are the extended grapheme clusters of Unicode's Annex 29.
    """
    return wcwidth.iter_graphemes(text)


def beginning(text: str, length: int) -> str:
    """Return the longest beginning of at most `length` characters that cuts no grapheme in half."""
    if len(text) <= length:
        return text
    kept = 0
    for grapheme in graphemes(text):
        if kept + len(grapheme) > length:
            break
        kept += len(grapheme)
    return text[:kept]


def cut(text: str, length: int) -> str:
    """Shorten a text to at most `length` characters, the last of them an ellipsis.

    No grapheme is cut in half, and a bidi isolate that is cut off is closed.
    """
    if len(text) <= length:
        return text
    end = 1 if FIRST_STRONG_ISOLATE not in text else 2
    return close_isolate(beginning(text, length - end).rstrip() + "…")


def close_isolate(text: str) -> str:
    """Close a bidi isolate that was cut off."""
    opened = text.count(FIRST_STRONG_ISOLATE) > text.count(POP_ISOLATE)
    return text + POP_ISOLATE if opened else text


def _clean_line(line: str) -> str:
    line = _CONTROL.sub(" ", line)
    if line.isascii():
        return line
    line = _HIDDEN.sub(lambda found: found["flag"] or "", line)
    if _SEQUENCE.search(line):
        line = _with_sequences(line)
    if not _RIGHT_TO_LEFT.search(line):
        line = _DIRECTION_MARK.sub("", line)
    return _without_piles(line)


def _with_sequences(line: str) -> str:
    """Return a line with its variation selectors and joiners where they have a meaning."""
    kept: list[str] = []
    base = ""
    for position, character in enumerate(line):
        if _SELECTOR.match(character):
            if base and kept[-1] == base and _has_variation(base, character):
                kept.append(character)
        elif _JOINER.match(character):
            following = _SEQUENCE.sub("", line[position + 1 : position + 9])[:1]
            if base and not _JOINER.match(kept[-1]) and _is_joined(base, character, following):
                kept.append(character)
        else:
            kept.append(character)
            base = character
    return "".join(kept)


def _has_variation(base: str, selector: str) -> bool:
    if selector in "\ufe0e\ufe0f":
        return _is_emoji(base)
    return unicodedata.category(base) == "Lo"


def _is_joined(base: str, joiner: str, following: str) -> bool:
    if _FIRST_JOINING <= base <= _LAST_JOINING:
        return True
    emoji = bool(following) and not base.isascii() and _is_emoji(base) and _is_emoji(following)
    return emoji and joiner == "\u200d"


def _is_emoji(character: str) -> bool:
    return character in _OFTEN_EMOJI or unicodedata.category(character) in _SYMBOLS


def _without_piles(line: str) -> str:
    """Cut piles of marks, which would reach over the lines above and below."""
    kept: list[str] = []
    marks = 0
    for character in line:
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


def _shows(character: str) -> bool:
    category = unicodedata.category(character)
    # Unassigned code points may be emoji newer than this Python.
    if category in {"Cc", "Cf", "Cs"} or category[0] in "ZM":
        return False
    return character not in "\u115f\u1160\u2800\u3164\uffa0"


def _in_words(found: re.Match[str]) -> str:
    if found["special"]:
        return found["label"] or "@" + found["special"]
    if found["mentioned"]:
        return found["name"] or ""
    return found["linked"] or found["address"] or found["emoji"] or found["command"] or ""


def _isolate_line(line: str) -> str:
    inner = clean(line.replace(FIRST_STRONG_ISOLATE, "").replace(POP_ISOLATE, ""))
    return f"{FIRST_STRONG_ISOLATE}{inner}{POP_ISOLATE}" if inner.strip() else inner
