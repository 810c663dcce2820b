"""Results of handlers, as data; `commands.run` makes cards of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from commands.refusal import Changes, Refusal
from commands.text.card import Card
from commands.text.cards import JobStatus
from inference.domain.errors import UserError
from inference.domain.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An accepted order: its job is stored, and the outbox posts and edits its card."""

    job: Job
    status: JobStatus
    locale: str
    """Of the card, which all people in the channel see."""
    together: tuple[Job, ...] = ()
    """All the jobs of the order, where there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised:
    """A waiting job was changed to what is asked for now; its card follows by itself."""

    job: Job


Result = Card | Accepted | Revised


@dataclass(frozen=True, slots=True)
class Advice:
    """Advice on what would work instead: a key of the catalog and its values."""

    key: str
    params: Mapping[str, Any] = field(default_factory=dict)
    changes: Changes | None = None
    """The same as a change of the request."""


class AdvisedError(Refusal):
    """A refusal with a sentence that says what would work instead."""

    def __init__(self, error: UserError, advice: Advice) -> None:
        offers = () if advice.changes is None else (advice.changes,)
        super().__init__(error.code, *offers, **error.params)
        self.advice = advice
