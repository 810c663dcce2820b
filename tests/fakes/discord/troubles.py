"""What goes wrong on purpose."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True, eq=False)
class Trouble:
    """A fault that requests run into."""

    pattern: re.Pattern[str]
    """Searched in `METHOD /path`."""
    left: float = 1
    """How many requests it still hits."""
    share: float = 1.0
    """Probability that a matching request is hit."""
    status: int | None = None
    """Answer with this error."""
    code: int = 0
    """Discord's code in it."""
    retry_after: float | None = None
    """Seconds, for 429."""
    scope: str = "user"
    """For 429: "user", "global" or "shared"."""
    stripped: bool = False
    """For 429: without the header that tells Discord's own from that of an intermediary."""
    reset: bool = False
    """Close the connection with a reset instead of an answer."""
    taken: bool = False
    """Act first, then go wrong: the post happened, the answer is lost."""
    slow_seconds: float = 0.0
    """Wait before answering."""
    until: asyncio.Event | None = None
    """Wait for this before answering."""
    larger_than: int | None = None
    """Only requests with more bytes than this."""

    def over(self) -> None:
        """End it."""
        self.left = 0


@dataclass(slots=True, kw_only=True)
class Troubles:
    """All troubles; the first that matches hits."""

    chance: random.Random = field(default_factory=lambda: random.Random(6))
    planned: list[Trouble] = field(default_factory=list)

    def hit(self, request: str, size: int) -> Trouble | None:
        """Return what a request runs into."""
        for trouble in self.planned:
            if (
                trouble.left >= 1
                and trouble.pattern.search(request)
                and (trouble.larger_than is None or size > trouble.larger_than)
                and self.chance.random() < trouble.share
            ):
                trouble.left -= 1
                return trouble
        return None
