"""Text moderation by word lists: the shipped ones, the operator's, and each tenant's."""

from __future__ import annotations

import asyncio
import itertools
import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Protocol

from inference.domain.verdict import Reason
from inference.safety.compounds import Compounds
from inference.safety.masks import Masks
from inference.safety.normalization import Reading, readings
from inference.safety.split_words import Splits
from inference.safety.terms import Terms

_NUMBERS = (
    "one|two|three|four|five|six|seven|eight|nine|ten"
    "|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
)
_AGE = re.compile(rf"(?<!\S)(?:[1-9]|1[0-7]|{_NUMBERS}) ?(?:(?:years?|yrs?) ?olds?|y ?o)(?!\S)")
"""An age under 18."""

_GUILDS = 64
"""Guilds whose words are kept compiled."""


class ForbiddenWords(Protocol):
    """Port: the words that a tenant's admins forbid (`commands.policy.words_store`)."""

    async def of(self, tenant: str) -> Sequence[str]:
        """Return a guild's words."""
        ...


class WordModerator:
    """Moderates texts with word lists, without any service."""

    name = "words"

    def __init__(self, *, house: Iterable[str] = (), guilds: ForbiddenWords) -> None:
        """Read the lists that ship.

        Args:
            house: The operator's own words, for all guilds.
            guilds: Each guild's own words.
        """
        shipped = tomllib.loads(
            resources.files("inference.safety").joinpath("words.toml").read_text(encoding="utf-8")
        )
        self._harmless = Terms(shipped["harmless"])
        self._lists = {
            reason: Terms(shipped[reason.value])
            for reason in (Reason.MINORS, Reason.SEXUAL, Reason.GORE)
        }
        self._minors = Terms(shipped["together"]["minors"])
        self._sexual = Terms(shipped["together"]["sexual"])
        self._naked_people = make_nudity_pattern(**shipped["naked_people"])
        self._house = _compile_words(tuple(house))
        self._guilds = guilds
        lists = (*self._lists.values(), self._minors, self._sexual)
        people = (word for words in shipped["naked_people"].values() for word in words)
        words = {word for terms in lists for word in terms.words} | Terms(people).words
        self._splits = Splits(words)
        self._masks = Masks(words)
        self._compounds = Compounds(words, beside=shipped["beside"])

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        """Return the reasons of the word lists that match these texts."""
        words = tuple(await self._guilds.of(tenant))
        # A long prompt full of tricks has many readings: 50 ms that the loop need not stand still.
        return await asyncio.to_thread(self._read, texts, words)

    @property
    def own_lists(self) -> OwnWordModerator:
        """The same without the lists that ship."""
        return OwnWordModerator(self)

    async def read_own(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        """Return whether the operator's or the guild's words are in these texts."""
        words = tuple(await self._guilds.of(tenant))
        return await asyncio.to_thread(self._read, texts, words, shipped=False)

    def _read(
        self, texts: Sequence[str], words: tuple[str, ...], *, shipped: bool = True
    ) -> frozenset[Reason]:
        found: set[Reason] = set()
        for reading in itertools.chain.from_iterable(map(readings, texts)):
            if _contains_any(*self._house, reading):
                found.add(Reason.HOUSE_WORDS)
            if _contains_any(*_compile_words(words), reading):
                found.add(Reason.GUILD_WORDS)
            if shipped:
                found.update(self._found_shipped(reading))
        return frozenset(found)

    def _found_shipped(self, reading: Reading) -> Iterable[Reason]:
        if (joined := self._splits.undo(reading)) is not None:
            yield from self._judged(self._harmless.without(joined))
        for each in filter(None, (reading, self._masks.undo(reading))):
            left = self._harmless.without(each)
            yield from self._judged(left)
            if (apart := self._compounds.undo(left)) is not None:
                yield from self._judged(self._harmless.without(apart))

    def _judged(self, left: Reading) -> Iterable[Reason]:
        for reason, terms in self._lists.items():
            if terms.found_in(left):
                yield reason
        if self._naked_people.search(left.words):
            yield Reason.SEXUAL
        if self._sexual.found_in(left) and (self._minors.found_in(left) or _AGE.search(left.words)):
            yield Reason.MINORS


class OwnWordModerator:
    """Reads texts for the words of the operator and of guilds only, such as negative prompts."""

    name = "own_words"

    def __init__(self, words: WordModerator) -> None:
        self._words = words

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        """Return whether the operator's or the guild's words are in these texts, as reasons."""
        return await self._words.read_own(texts, tenant)


@lru_cache(maxsize=_GUILDS)
def _compile_words(words: tuple[str, ...]) -> tuple[Terms, Splits, Masks]:
    terms = Terms(words)
    return terms, Splits(terms.words), Masks(terms.words)


def _contains_any(terms: Terms, splits: Splits, masks: Masks, reading: Reading) -> bool:
    tricks = (splits.undo(reading), masks.undo(reading))
    return any(terms.found_in(each) for each in (reading, *tricks) if each is not None)


def make_nudity_pattern(
    *,
    states: Sequence[str],
    people: Sequence[str],
    before: Sequence[str],
    between: Sequence[str],
    after: Sequence[str],
    without: Sequence[str],
) -> re.Pattern[str]:
    """Compile the pattern for unclothed people; animals and things do not match.

    Args:
        states: Words such as "naked".
        people: Words for people.
        before: Words that may stand between a state and a person: "a naked old man".
        between: Words that join a person and their state: "a man who is naked".
        after: Words that go on after "a man naked"; before another word it is the other's state.
        without: Phrases that say the same of a person.
    """
    state, person, adjective, link, going_on, bare = (
        "|".join(re.escape(word).replace(r"\*", r"\S*") for word in words)
        for words in (states, people, before, between, after, without)
    )
    return re.compile(
        rf"(?<!\S)(?:(?:{state})(?: (?:{adjective})){{0,3}} (?:{person})"
        rf"|(?:{person})(?: (?:{link})){{1,4}} (?:{state})"
        rf"|(?:{person}) (?:{state})(?=$| (?:{going_on})(?!\S))"
        rf"|(?:{person})(?: (?:{link})){{0,4}} (?:{bare}))(?!\S)"
    )
