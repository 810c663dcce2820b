"""Vocabulary: the words of a model that understands few; data beside its weights.

The file is JSON:

```
draws     language -> what it draws, for people to read
colours, things, moves, places: name -> how captions say it in English, the usual way first
camera    phrases about camera and levels
hiding    pairs of a colour and a place in which it is not seen
still     name of the move of what stands still
silent    language -> words that mean nothing to it, and that nobody misses
emoji     kind -> name -> emoji that show it; may be left out
korean    names: the kind -> name -> stems of Korean words; endings: what may follow a stem
```
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Self

from inference.domain.spec import Mode, Spec
from inference.domain.untrusted_text import graphemes

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_KINDS = ("colours", "things", "moves", "places")
"""In the order of a caption."""

_ADVICE = (
    "It knows simple drawings only. Write one short sentence in small letters: a colour and one"
    " thing, how it moves, and where."
)

_APOSTROPHES = "'’"  # noqa: RUF001 - both are typed
_FIRST_EMOJI, _LAST_EMOJI = "\U0001f1e6", "\U0001faff"
_HANGUL = re.compile("[가-힣]")
_PARTICLES = re.compile("(?<=[가-힣])(?:에서|으로|가|를|을|의|에)$")
"""What is cut off an unknown word before it is shown; endings of many nouns are left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words that a model understands."""

    draws: Mapping[str, tuple[str, ...]]
    """Language -> examples of what it draws."""
    phrases: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Kind -> name -> how it is said in English, the usual way first."""
    known: frozenset[str]
    """English words, in lower case, with those that mean nothing to it and that nobody misses."""
    korean: Mapping[str, tuple[str, str] | None]
    """Every form of a Korean word -> kind and name; None: it means nothing here."""
    hiding: frozenset[tuple[str, str]]
    """Pairs of a colour and a place in which it is not seen."""
    still: str
    """Name of the move of what stands still."""
    emoji: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Emoji -> kind and name of what it shows."""

    @classmethod
    def read(cls, file: Traversable) -> Self:
        """Read the file beside a model's weights.

        Raises:
            OSError: It cannot be read.
            ValueError: It is no vocabulary.
        """
        try:
            return cls._of(json.loads(file.read_text("utf-8")))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is no vocabulary: {error}") from error

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Self:
        phrases = {
            kind: {name: tuple(said) for name, said in data[kind].items()} for kind in _KINDS
        }
        said = [phrase for names in phrases.values() for each in names.values() for phrase in each]
        english = [*said, *data["camera"], *data["silent"]["en"]]
        stems: dict[str, tuple[str, str] | None] = dict.fromkeys(data["silent"]["ko"])
        for kind, names in data["korean"]["names"].items():
            stems |= {stem: (kind, name) for name, forms in names.items() for stem in forms}
        inflected = {
            stem + ending: meaning
            for stem, meaning in stems.items()
            for ending in data["korean"]["endings"]
        }
        return cls(
            draws={language: tuple(things) for language, things in data["draws"].items()},
            phrases=phrases,
            known=frozenset(word for phrase in english for word in _words(phrase)),
            korean=inflected | stems,
            hiding=frozenset((colour, place) for colour, place in data["hiding"]),
            still=data["still"],
            emoji={
                emoji: (kind, name)
                for kind, names in data.get("emoji", {}).items()
                for name, shown in names.items()
                for emoji in shown
            },
        )

    def unknown(self, prompt: str) -> tuple[str, ...]:
        """Return the words of a prompt that the model does not know, each once, in their order."""
        lost = (word for word in _words(prompt) if not self._knows(word))
        return tuple(dict.fromkeys(_PARTICLES.sub("", word) for word in lost))

    def translate(self, prompt: str) -> str:
        """Return a prompt with Korean words as the English caption of what they say.

        Emoji become their words. Other prompts, and those of which it knows no word, stay as they
        are.
        """
        prompt = self._spelled(prompt)
        if not _HANGUL.search(unicodedata.normalize("NFC", prompt)):
            return prompt
        said: dict[str, str] = {}
        for kind, name in self._meanings(_words(prompt)):
            said.setdefault(kind, name)
        return self._caption(said) if said else prompt

    def translate_words(self, words: str) -> str:
        """Translate a negative prompt as `translate` does, keeping every word.

        There may be several of a kind: each is said in a separate caption.
        """
        words = self._spelled(words)
        if not _HANGUL.search(unicodedata.normalize("NFC", words)):
            return words
        captions: list[dict[str, str]] = []
        for kind, name in self._meanings(_words(words)):
            if not captions or captions[-1].get(kind, name) != name:
                captions.append({})
            captions[-1][kind] = name
        return ", ".join(map(self._caption, captions)) or words

    def advice(self) -> str:
        """Return advice on prompts for the model, for an assistant that rewrites them."""
        lists = (
            f"{kind.capitalize()}: {', '.join(said[0] for said in self.phrases[kind].values())}."
            for kind in _KINDS
        )
        return " ".join((_ADVICE, *lists))

    def draw(self, spec: Spec) -> str:
        """Return the random prompt of the spec's seed."""
        random = Random(spec.seed)  # noqa: S311 - nobody gains from guessing it
        said = {kind: random.choice(list(self.phrases[kind])) for kind in _KINDS}
        while (said["colours"], said["places"]) in self.hiding:
            said["places"] = random.choice(list(self.phrases["places"]))
        if spec.mode is Mode.TEXT_TO_IMAGE:
            said["moves"] = self.still
        return self._caption(said)

    def _caption(self, said: Mapping[str, str]) -> str:
        words = [self.phrases[kind][said[kind]][0] for kind in _KINDS if kind in said]
        if "colours" in said or "things" in said:
            words.insert(0, "an" if words[0][0] in "aeiou" else "a")
        return " ".join(words)

    def _spelled(self, text: str) -> str:
        """Return a text with words in place of emoji; what is said already is not said twice."""
        parts = list(graphemes(text))
        shown = [self.emoji.get(_plain(part)) for part in parts]
        if not any(shown):
            return text
        said = set(self._meanings(_words(text)))
        spelled = []
        for part, meaning in zip(parts, shown, strict=True):
            if meaning is None:
                spelled.append(part)
                continue
            kind, name = meaning
            spelled.append(" " if meaning in said else f" {self.phrases[kind][name][0]} ")
            said.add(meaning)
        return " ".join("".join(spelled).split())

    def _knows(self, word: str) -> bool:
        known = word in self.known or word in self.korean or _plain(word) in self.emoji
        return known or word.isdecimal()

    def _meanings(self, words: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield kind and name of every word that has them, Korean or English."""
        for word in words:
            meaning = self.korean.get(word)
            if meaning is not None:
                yield meaning
            for kind, names in self.phrases.items():
                yield from ((kind, name) for name, said in names.items() if word in said)


def _plain(emoji: str) -> str:
    """Return an emoji without the selector that asks for its colours."""
    return emoji.removesuffix("\ufe0f")


def _words(text: str) -> list[str]:
    """Return the words and the emoji of a text; neither is cut in half."""
    words = [""]
    for grapheme in graphemes(unicodedata.normalize("NFC", text).casefold()):
        first = grapheme[0]
        if first.isalnum() or first in _APOSTROPHES:
            words[-1] += grapheme
        elif _FIRST_EMOJI <= first <= _LAST_EMOJI:
            words += [grapheme, ""]
        else:
            words.append("")
    return list(filter(None, (word.strip(_APOSTROPHES) for word in words)))
