"""What goes wrong on the way: by chance all day long, or exactly as a test says."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

from tests.fakes.slack.records import Trouble


@dataclass(kw_only=True)
class Faults:
    """Shares of calls or deliveries, 0 to 1, that go wrong."""

    ratelimited: float = 0.0
    """Answered 429 with `Retry-After`."""
    server_errors: float = 0.0
    """Answered 503 without JSON."""
    internal_errors: float = 0.0
    """Answered `internal_error` or `service_unavailable`."""
    lost_answers: float = 0.0
    """Carried out, and then the connection is reset."""
    slow: float = 0.0
    slow_seconds: float = 0.5
    retry_after: int = 1
    redelivered: float = 0.0
    """Events that come again although they were acknowledged."""
    doubled_views: float = 0.0
    """Modals submitted twice."""
    never_shared: float = 0.0
    """Completed uploads that are never shown."""
    spared: str = r"apps\.connections\.open|auth\.test|oauth"
    """Methods that always work."""
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def happens(self, share: float) -> bool:
        """Roll the dice."""
        return share > 0 and self._random.random() < share

    def trouble(self, method: str) -> Trouble | None:
        """Return what goes wrong with one call."""
        if re.search(self.spared, method):
            return None
        kinds: list[tuple[float, dict[str, Any]]] = [
            (
                self.ratelimited,
                {"error": "ratelimited", "status": 429, "retry_after": self.retry_after},
            ),
            (self.server_errors, {"status": 503}),
            (
                self.internal_errors,
                {"error": self._random.choice(["internal_error", "service_unavailable"])},
            ),
            (self.lost_answers, {"taken": True, "reset": True}),
            (self.slow, {"taken": True, "slow_seconds": self.slow_seconds}),
        ]
        for share, what in kinds:
            if self.happens(share):
                return Trouble(pattern=re.compile(""), left=1, **what)
        return None
