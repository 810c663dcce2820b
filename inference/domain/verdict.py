"""Moderation verdicts: reasons, outcomes, and how they combine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Reason of a moderation flag; people are told the first one in this order."""

    MINORS = "minors"
    """Minors in a sexual context."""
    SEXUAL = "sexual"
    GORE = "gore"
    SELF_HARM = "self_harm"
    HATE = "hate"
    HARASSMENT = "harassment"
    VIOLENCE = "violence"
    ILLICIT = "illicit"
    OTHER = "other"
    """A category that a hosted service has learned since this was written."""
    GUILD_WORDS = "guild_words"
    """A word that the guild's admins forbid."""
    HOUSE_WORDS = "house_words"
    """A word that the operator forbids."""
    UNCHECKED = "unchecked"
    """Nobody could look, and what nobody looked at is not allowed."""


NEVER = frozenset({Reason.MINORS, Reason.GUILD_WORDS, Reason.HOUSE_WORDS, Reason.UNCHECKED})
"""Reasons that deny whatever the guild wants for flagged things."""


class Outcome(StrEnum):
    """Moderation outcome, from the mildest to the strictest."""

    ALLOW = "allow"
    SPOILER = "spoiler"
    """It is made and shown, but only to who asks to see it."""
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Outcome and reasons of the moderation of a job."""

    outcome: Outcome = Outcome.ALLOW
    reasons: tuple[Reason, ...] = ()
    """The weightiest first; empty where nothing was found."""

    @classmethod
    def of(cls, reasons: Iterable[Reason], flagged: Outcome) -> Self:
        """Return the verdict for a set of reasons.

        Args:
            reasons: All that was found.
            flagged: What the guild wants for things that are not out of the question.
        """
        found = set(reasons)
        if not found:
            return cls()
        return cls(
            outcome=Outcome.DENY if found & NEVER else flagged,
            reasons=tuple(reason for reason in Reason if reason in found),
        )

    def merge(self, other: Verdict) -> Verdict:
        """Return the stricter outcome, with the reasons of both."""
        order = list(Outcome)
        return Verdict(
            outcome=max(self.outcome, other.outcome, key=order.index),
            reasons=tuple(reason for reason in Reason if reason in {*self.reasons, *other.reasons}),
        )

    @property
    def denied(self) -> bool:
        """Whether the outcome is `DENY`; then there is a reason."""
        return self.outcome is Outcome.DENY
