"""Korean particles, chosen by the sound of the word before them: 을 or 를, 이 or 가, 으로 or 로.

Translations write both forms, as print does where the word is not known: "{name}을(를)". When a
message is filled, the form that fits is chosen by how the value ends. A Latin word in small letters
may end in either way when it is read aloud, so behind it both forms stay.
"""

from __future__ import annotations

import re

_FORMS = {
    "을(를)": ("을", "를"),
    "은(는)": ("은", "는"),
    "이(가)": ("이", "가"),
    "과(와)": ("과", "와"),
    "(으)로": ("으로", "로"),
}
"""Each as it is behind a consonant, and behind a vowel."""

_CLOSING = "\u201d\u2019\"')]"
"""Marks that may stand between a value and its particle: quotation marks and brackets."""

_BOTH = re.compile(
    f"(?P<closing>[{re.escape(_CLOSING)}]*)(?P<both>{'|'.join(map(re.escape, _FORMS))})"
)

_RIEUL = "ㄹ"
"""The one consonant behind which it is 로, not 으로."""

_ENDINGS = {
    **dict.fromkeys("2459", ""),
    **dict.fromkeys("036", "consonant"),
    **dict.fromkeys("178", _RIEUL),
    **dict.fromkeys("ABCDEFGHIJKOPQSTUVWXYZ", ""),
    **dict.fromkeys("MN", "consonant"),
    **dict.fromkeys("LR", _RIEUL),
}
"""Final sounds of digits (영, 일, 이 …) and of capitals, read by their names (엘, 엠 …)."""

_FIRST_SYLLABLE, _LAST_SYLLABLE = "가", "힣"
_FINALS = 28
"""Syllables per row: Hangul sorts by the final consonant last, a row begins without one."""
_FINAL_RIEUL = 8


def agree(literal: str, before: str) -> str:
    """Return the text that follows a value, with the particle at its beginning chosen.

    Args:
        literal: The text, such as "을(를) 취소했어요"; quotation marks may come first.
        before: The value in front of it.
    """
    found = _BOTH.match(literal)
    final = _final_sound(before)
    if found is None or final is None:
        return literal
    behind_consonant, behind_vowel = _FORMS[found["both"]]
    vowel_like = not final or (final == _RIEUL and behind_vowel == "로")
    chosen = behind_vowel if vowel_like else behind_consonant
    return found["closing"] + chosen + literal[found.end() :]


def _final_sound(word: str) -> str | None:
    """Return the final consonant that a word is read with, "" for none, None if it is unknown."""
    last = next((sign for sign in reversed(word) if sign.isalnum()), "")
    if _FIRST_SYLLABLE <= last <= _LAST_SYLLABLE:
        final = (ord(last) - ord(_FIRST_SYLLABLE)) % _FINALS
        return "" if final == 0 else _RIEUL if final == _FINAL_RIEUL else "consonant"
    return _ENDINGS.get(last)
