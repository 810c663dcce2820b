"""Rate limit on assistant calls, per person."""

from __future__ import annotations

from collections import OrderedDict

from inference.clock import Clock
from inference.domain.errors import AssistantError

PER_HOUR = 60
"""Questions of one person; what the cache answers is free."""

BURST = 20
"""Questions that may follow each other at once."""

_PEOPLE = 10_000
"""People who are remembered; who is forgotten has waited longest."""

_HOUR = 3600.0


class CallLimit:
    """Token bucket per person, across tenants and channels."""

    def __init__(self, per_hour: int, clock: Clock) -> None:
        self._seconds_each = _HOUR / per_hour
        self._burst = min(BURST, per_hour)
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When the bucket of a person is full again."""

    def take(self, person: str) -> None:
        """Take a token.

        Raises:
            AssistantError: `assistant.limited`: they have asked too often.
        """
        now = self._clock.monotonic()
        full_at = max(now, self._full_at.get(person, now)) + self._seconds_each
        wait = full_at - now - self._burst * self._seconds_each
        if wait > 0:
            raise AssistantError("assistant.limited", wait=wait)
        self._full_at[person] = full_at
        self._full_at.move_to_end(person)
        if len(self._full_at) > _PEOPLE:
            self._full_at.popitem(last=False)
