"""Normalization of texts for word lists: undoes look-alike letters, spacing and other tricks."""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from inference.safety.lookalikes import lookalikes

_DIGITS = {
    "0": "o",
    "3": "e",
    "4": "a",
    "5": "s",
    "6": "g",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "€": "e",
    "+": "t",
}
_LEET = tuple(str.maketrans(_DIGITS | {"1": one, "!": "i", "|": "l"}) for one in "il")
"""Digits and signs that stand for letters; 1 stands for two of them."""

_LEET_WORD = re.compile(r"[a-z0-9@$€+!|]+")
_LETTER = re.compile(r"[a-z]")

_SOUNDS = str.maketrans(
    "бвгджзийлнпфцчшщыэюяπσγδλφβ",
    "bvgdzziilnpfccssyeuapsgdlfb",
)
"""Letters among Latin ones that may stand for their sound instead of their looks."""

_SOUNDS_ALONE = _SOUNDS | str.maketrans("рсхуνρ", "rshunr")  # noqa: RUF001 - these very letters
"""The same for those that are only tried letter by letter."""

_LOOKS = str.maketrans("phcbyxm", "rnsvuht")
"""Latin letters among others that may stand for the letter they look like, by its sound."""

_MIXED_HANGUL = re.compile(r"(?:[a-z]+[\uac00-\ud7a3]|[\uac00-\ud7a3]+[a-z])[a-z\uac00-\ud7a3]*")
_INITIALS = tuple("g kk n d tt r m b pp s ss  j jj ch k t p h".split(" "))  # noqa: SIM905 - a table
_VOWELS = tuple("a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu  ui i".split(" "))  # noqa: SIM905 - a table
_ENDS = tuple(" k k k n n n t l k m l l l p l m p p t t ng t t k t p t".split(" "))  # noqa: SIM905 - a table
"""Korean letters as they are written in Latin ones; ㅡ is left out, as it stands for no vowel in
foreign words."""

_MOST_AMBIGUOUS = 4
"""Letters of one word that are tried both ways."""

_HIRAGANA = {code: code + 0x60 for code in range(0x3041, 0x3097)}
"""To katakana: the same sounds."""

_MIXED_WORD = re.compile(r"(?=\w*[a-z])(?=\w*[\u0370-\u052f])\w+")

_IGNORABLE = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
"""Unicode's Default_Ignorable_Code_Point: what no font shows."""

_FIRST_LETTER_MARK, _LAST_LETTER_MARK = 37, 199
"""Combining classes of marks that are parts of letters, as in Thai, and of viramas below them."""

_PART_OF_LETTER = frozenset({0, 7, 8, 9})
"""Combining classes of nuktas, of the marks that make other kana, and of viramas."""

_INSIDE = re.compile(r"(?<=\w)[^\w\s]+(?=\w)|(?<=\w)_+(?=\w)")
_INSIDE_HANGUL = re.compile(r"(?<=[\uac00-\ud7a3])[^\s\uac00-\ud7a3]+(?=[\uac00-\ud7a3])")
_BETWEEN = re.compile(r"[\W_]+")

MASK = "\xaa"
"""Stands for a sign inside a word in readings that leave open which letter it hides.

No folded text has this character.
"""

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
_QUOTED = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_ESCAPED = re.compile(r"\\(?:u\{?|U000|x)([0-9a-fA-F]{2,5})\}?")
_REPEATED = re.compile(r"(\w)\1{2,}")
_ALL_DOUBLED = re.compile(r"(?<!\S)(?:(\w)\1+){3,}(?!\S)")
_DOUBLED = re.compile(r"(\w)\1+")
_SPELLED = re.compile(r"(?<!\S)\S(?: \S(?!\S)){2,}")

_OPEN_SYLLABLE_THEN_CONSONANT = re.compile("([\uac00-\ud7a3])([\u1100-\u1112])")
_FINALS = {
    initial: final
    for initial, final in zip(
        range(0x1100, 0x1113),
        (1, 2, 4, 7, 0, 8, 16, 17, 0, 19, 20, 21, 22, 0, 23, 24, 25, 26, 27),
        strict=True,
    )
    if final
}
"""By its initial form, the number of a consonant at the end of a Korean syllable."""

_SYLLABLES, _FINALS_COUNT = 0xAC00, 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read a text."""

    words: str
    """Folded words with single spaces in between."""
    spelled: tuple[str, ...]
    """What was spelled letter by letter, the letters put together."""


def readings(text: str) -> tuple[Reading, ...]:
    """Return the ways to read a text; for an honestly written one there are one or two.

    All are folded (case, accents, what is invisible, letters that look alike). Beside the plain
    one: with digits as the letters they stand for, with signs inside words left out or kept as
    `MASK`, with repeated letters as one or two, with Korean letters as syllables, and with the
    codes of HTML, addresses and programs as the characters that assistants read them as.
    """
    written = dict.fromkeys((text, _decode_codes(text)))
    return tuple(
        Reading(words=words, spelled=tuple(map(_join_letters, _SPELLED.findall(words))))
        for words in dict.fromkeys(version for each in written for version in _versions(each))
    )


def fold(text: str) -> str:
    """Return the text without case, accents, invisible characters and letters that look alike."""
    return _looked_at(_plain(text))


def _plain(text: str) -> str:
    """Return the text without case, accents and invisible characters."""
    visible = _IGNORABLE.sub("", text)
    same = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    same = same.translate(_HIRAGANA)
    return "".join(filter(_is_letter_or_part, unicodedata.normalize("NFD", same)))


def _looked_at(plain: str) -> str:
    return unicodedata.normalize("NFC", plain.translate(lookalikes()))


def extract_words(folded: str) -> str:
    """Return the words of a folded text with single spaces in between, and nothing else."""
    return _BETWEEN.sub(" ", folded).strip()


def compose(text: str) -> str:
    """Return Korean letters that stand one after the other as syllables, with their last ones."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    return _OPEN_SYLLABLE_THEN_CONSONANT.sub(_closed, text)


def _is_letter_or_part(character: str) -> bool:
    """Whether a character is more than an accent, a point, or a circle around another one."""
    category = unicodedata.category(character)
    if category in {"Cf", "Me"}:
        return False
    if category != "Mn":
        return True
    mark = unicodedata.combining(character)
    return mark in _PART_OF_LETTER or _FIRST_LETTER_MARK <= mark <= _LAST_LETTER_MARK


def _closed(match: re.Match[str]) -> str:
    syllable, consonant = ord(match[1]), ord(match[2])
    final = _FINALS.get(consonant)
    if final is None or (syllable - _SYLLABLES) % _FINALS_COUNT:
        return match[0]
    return chr(syllable + final)


def _decode_codes(text: str) -> str:
    """Return a text with the codes in it as characters."""
    text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    text = _QUOTED.sub(lambda found: unquote(found[0], errors="ignore"), text)
    return _ESCAPED.sub(lambda found: _character(found[1]), text)


def _character(code: str) -> str:
    character = chr(int(code, 16))
    return "" if unicodedata.category(character) == "Cs" else character


def _mask_signs(form: str) -> str:
    """Return a folded text with a mask for each sign inside a word."""
    return _INSIDE.sub(lambda found: MASK * len(found[0]), form)


def _looked_at_or_heard(word: str) -> Iterator[str]:
    """Yield a word of two alphabets with each of its letters by looks or by sound."""
    ways: list[tuple[str, ...]] = []
    ambiguous = 0
    for letter in word:
        either = (_looked_at(letter), letter.translate(_SOUNDS_ALONE), letter.translate(_LOOKS))
        choices = tuple(dict.fromkeys(each for each in either if each.isascii()))
        ambiguous += len(choices) > 1
        ways.append(choices[: None if ambiguous <= _MOST_AMBIGUOUS else 1] or (letter,))
    return map("".join, itertools.product(*ways))


def _in_latin(word: str) -> str:
    """Return a word of Korean and Latin letters in Latin ones."""
    return "".join(map(_syllable_in_latin, word))


def _syllable_in_latin(character: str) -> str:
    code = ord(character) - _SYLLABLES
    if not 0 <= code < len(_INITIALS) * len(_VOWELS) * _FINALS_COUNT:
        return character
    rest, final = divmod(code, _FINALS_COUNT)
    initial, vowel = divmod(rest, len(_VOWELS))
    return _INITIALS[initial] + _VOWELS[vowel] + _ENDS[final]


def _versions(text: str) -> Iterator[str]:
    plain = _plain(text)
    folded = _looked_at(plain)
    heard = _looked_at(_MIXED_WORD.sub(lambda found: found[0].translate(_SOUNDS), plain))
    mixed = dict.fromkeys(_MIXED_WORD.findall(plain))
    both = _looked_at(" ".join(way for word in mixed for way in _looked_at_or_heard(word)))
    latin = _MIXED_HANGUL.sub(lambda found: _in_latin(found[0]), folded)
    forms: dict[str, None] = {}
    for form in dict.fromkeys((folded, heard, both or folded, latin)):
        joined = _INSIDE_HANGUL.sub("", _INSIDE.sub("", form))
        forms.update(dict.fromkeys((form, joined, compose(joined), _mask_signs(form))))
    for version in forms:
        for spoken in _spoken_versions(version):
            words = extract_words(spoken)
            yield words
            if _REPEATED.search(words) or _ALL_DOUBLED.search(words):
                yield _REPEATED.sub(r"\1", words)
                yield _REPEATED.sub(r"\1\1", words)
                yield _ALL_DOUBLED.sub(lambda found: _DOUBLED.sub(r"\1", found[0]), words)


def _spoken_versions(version: str) -> Iterator[str]:
    yield version
    for table in _LEET:
        yield _LEET_WORD.sub(partial(_spoken, table), version)


def _join_letters(letters: str) -> str:
    return compose(letters.replace(" ", ""))


def _spoken(table: Mapping[int, str | int], match: re.Match[str]) -> str:
    """Return a word with its digits and signs as letters; numbers stay, and marks at the end."""
    word = match[0].rstrip("!")
    if not _LETTER.search(word):
        return match[0]
    return word.translate(table)
