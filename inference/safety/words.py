"""Moderation by lists of words: those that ship, the operator's, and each guild's own."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Protocol

from inference.safety.base import Reason
from inference.safety.readings import Reading, readings
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
    """The words that each guild's admins forbid (`commands.words_store`)."""

    async def of(self, tenant: str) -> Sequence[str]:
        """Return a guild's words."""
        ...


class WordModerator:
    """Reads texts for words that speak for themselves. Asks nobody, and is always there."""

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
        self._house = Terms(house)
        self._guilds = guilds

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        """Return which lists have something in these texts; see `TextModerator`."""
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
        return await asyncio.to_thread(self._read_own, texts, words)

    def _read_own(self, texts: Sequence[str], words: tuple[str, ...]) -> frozenset[Reason]:
        own = _compiled(words)
        return frozenset(
            reason
            for text in texts
            for reading in readings(text)
            for reason in self._found_own(reading, own)
        )

    def _read(self, texts: Sequence[str], words: tuple[str, ...]) -> frozenset[Reason]:
        own = _compiled(words)
        return frozenset(
            reason
            for text in texts
            for reading in readings(text)
            for reason in self._found(reading, own)
        )

    def _found_own(self, reading: Reading, own: Terms) -> Iterable[Reason]:
        if self._house.found_in(reading):
            yield Reason.HOUSE_WORDS
        if own.found_in(reading):
            yield Reason.GUILD_WORDS

    def _found(self, reading: Reading, own: Terms) -> Iterable[Reason]:
        yield from self._found_own(reading, own)
        left = self._harmless.without(reading)
        for reason, terms in self._lists.items():
            if terms.found_in(left):
                yield reason
        if self._sexual.found_in(left) and (self._minors.found_in(left) or _AGE.search(left.words)):
            yield Reason.MINORS


class OwnWordModerator:
    """Reads texts for the words of the operator and of guilds only, such as negative prompts."""

    name = "own_words"

    def __init__(self, words: WordModerator) -> None:
        self._words = words

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:
        """Return whose words are in these texts; see `TextModerator`."""
        return await self._words.read_own(texts, tenant)


@lru_cache(maxsize=_GUILDS)
def _compiled(words: tuple[str, ...]) -> Terms:
    return Terms(words)
