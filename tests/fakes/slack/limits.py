"""How often what may be asked. Slack counts per method and workspace."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

MINUTE = 60.0

POST_BURST = 5
"""Messages that a channel takes at once; after that, one a second."""


class Meter:
    """Counts calls that were let through, over the last minute."""

    def __init__(self) -> None:
        self._calls: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, method: str, team: str, per_minute: int) -> float:
        """Let a call through and return 0, or return the seconds until the next one."""
        now, calls = time.monotonic(), self._calls[method, team]
        while calls and now - calls[0] >= MINUTE:
            calls.popleft()
        if len(calls) >= per_minute:
            return math.ceil(MINUTE - (now - calls[0]))
        calls.append(now)
        return 0.0

    def take_post(self, team: str, channel: str) -> float:
        """Let a message through and return 0, or return the seconds until the next one."""
        return self._buckets.setdefault((team, channel), _Bucket()).take()


@dataclass
class _Bucket:
    level: float = POST_BURST
    at: float = field(default_factory=time.monotonic)

    def take(self) -> float:
        now = time.monotonic()
        self.level = min(POST_BURST, self.level + now - self.at)
        self.at = now
        if self.level < 1:
            return 1.0
        self.level -= 1
        return 0.0
