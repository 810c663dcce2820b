"""Throttles edits of cards: skips those that a newer one follows soon."""

from __future__ import annotations

from collections import defaultdict, deque

from bot.discord.address import Posted, read_creation_time
from inference.clock import Clock

WINDOW_SECONDS = 5.0

EDITS_IN_WINDOW = 2
"""Of all cards in a channel; Discord allows about five, and those that matter come on top."""

OLD_SECONDS = 3600.0
"""Age from which Discord allows far fewer edits of a message."""

OLD_PAUSE_SECONDS = 60.0
"""Between two edits of such a message."""


class EditThrottle:
    """Counts recent edits per channel and message."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._edits: defaultdict[int, deque[tuple[float, int]]] = defaultdict(deque)

    def note_edit(self, posted: Posted) -> None:
        """Note an edit."""
        self._edits[posted.channel].append((self._clock.monotonic(), posted.message))

    def allows(self, posted: Posted) -> bool:
        """Whether a message may be edited now for progress."""
        self._forget()
        now = self._clock.monotonic()
        edits = self._edits.get(posted.channel, ())
        if self._clock.now() - read_creation_time(posted.message).timestamp() > OLD_SECONDS:
            return all(message != posted.message for _, message in edits)
        return sum(now - at < WINDOW_SECONDS for at, _ in edits) < EDITS_IN_WINDOW

    def _forget(self) -> None:
        limit = self._clock.monotonic() - OLD_PAUSE_SECONDS
        for channel, edits in list(self._edits.items()):
            while edits and edits[0][0] < limit:
                edits.popleft()
            if not edits:
                del self._edits[channel]
