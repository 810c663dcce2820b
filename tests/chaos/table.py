"""What came of a run, and the one table that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Self

from rich.table import Table


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts over any number of worlds; `lost`, `duplicated` and `stuck` must be 0."""

    kills: int = 0
    """Processes that were ended while they had work."""
    accepted: int = 0
    """Jobs that somebody was told of."""
    delivered_once: int = 0
    """Of them: the right clip, in the right place, once."""
    cancelled: int = 0
    """Of them: stopped because somebody asked, and nothing was posted."""
    told: int = 0
    """Of them: ended with a sentence that had a reason (no such image, worker lost twice)."""
    lost: int = 0
    duplicated: int = 0
    stuck: int = 0
    repeated: int = 0
    """Texts said again on `upload`, which has no means against that."""
    problems: list[str] = field(default_factory=list)
    """Everything that is wrong, in words; also what the counts do not say."""

    @property
    def clean(self) -> bool:
        """Whether nothing at all was wrong."""
        return not (self.lost or self.duplicated or self.stuck or self.problems)

    def add(self, other: Self) -> None:
        """Take another world's counts in."""
        for name in (item.name for item in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def table(tallies: Mapping[str, Tally]) -> Table:
    """Return one line for each kind of run."""
    shown = Table()
    shown.add_column("killed at")
    names = [item.name for item in fields(Tally) if item.name != "problems"]
    for name in names:
        shown.add_column(name.replace("_", " "), justify="right")
    for title, tally in tallies.items():
        shown.add_row(title, *(str(getattr(tally, name)) for name in names))
    return shown
