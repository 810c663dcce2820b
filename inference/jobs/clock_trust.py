"""Plausibility check of the wall clock against the monotonic clock."""

from __future__ import annotations

import structlog

from inference.clock import Clock

CLOCK_JUMP_SECONDS = 600.0
"""Wall time between two looks that no monotonic clock saw: the wall clock was set."""

BELIEVED_AFTER_SECONDS = 3300.0
"""How long both clocks must agree before anything is deleted because of its age: by the hourly look
after a start or a jump they have."""

ABSENT_SECONDS = 30 * 86_400.0
"""A wall clock that says more than this has passed since the last run is rather wrong than right:
it must agree for `DOUBTED_SECONDS` first."""

DOUBTED_SECONDS = 86_400.0

_log = structlog.get_logger(__name__)


class ClockTrust:
    """Tracks how long wall clock and monotonic clock have agreed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._steady = clock.now(), clock.monotonic()
        self._since = self._steady
        self._known: float | None = None

    def remember(self, wall: float | None) -> None:
        """Take a wall time that was believed in an earlier run; None where there was none."""
        self._known = wall

    def observe(self) -> bool:
        """Look at both clocks; return whether the wall clock was set since the last look."""
        wall, steady = self._clock.now(), self._clock.monotonic()
        jump = (wall - self._wall) - (steady - self._steady)
        self._wall, self._steady = wall, steady
        if abs(jump) <= CLOCK_JUMP_SECONDS:
            return False
        _log.warning("clock.jumped", seconds=round(jump))
        self._known = wall - jump if self._known is None else self._known
        self._since = steady
        return True

    def is_trusted(self) -> bool:
        """Return whether file ages may be computed from the wall clock now."""
        self.observe()
        agreed = self._steady - self._since
        known = self._known
        if known is not None and self._wall - agreed - known > ABSENT_SECONDS:
            return agreed >= DOUBTED_SECONDS
        return agreed >= BELIEVED_AFTER_SECONDS
