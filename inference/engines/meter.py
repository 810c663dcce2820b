"""Metering of renders: seconds per stage, and network evaluations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Collects the measurements of one render. Not thread-safe."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """Seconds per stage; engines choose the names, such as text, sample, decode."""
        self.forwards = 0
        """Evaluations of the network; each guidance branch counts."""
        self._inner = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Context manager that adds its time to a stage, also if it raises.

        The time of nested stages counts for those only.
        """
        started = time.monotonic()
        outer, self._inner = self._inner, 0.0
        try:
            yield
        finally:
            spent = time.monotonic() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner
            self._inner = outer + spent

    def count_forwards(self, branches: int) -> None:
        """Add one evaluation for each branch in its batch."""
        self.forwards += branches
