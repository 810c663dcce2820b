"""Health: the lasting problems of this process, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import structlog

_log = structlog.get_logger(__name__)


class Health:
    """Collects problems that last, so that `GET /v1/health` and the log name them.

    A problem is reported with a key such as `discord.connection` and stays until it is cleared
    under the same key. Reporting it again changes its sentence; it is logged when it changes.
    """

    def __init__(self) -> None:
        self.started = False
        """Whether everything was started and nothing is being stopped; see `bot.readiness`."""
        self.reconnects: Counter[str] = Counter()
        """How often a platform was connected again, by its name."""
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> Mapping[str, str]:
        """One sentence by key, without secrets and prompts; empty when all is well."""
        return MappingProxyType(self._problems)

    def report(self, key: str, problem: str) -> None:
        """Add or change a problem.

        Args:
            key: Area and name, such as `slack.token`.
            problem: One sentence that says what is wrong and what to do.
        """
        if self._problems.get(key) != problem:
            self._problems[key] = problem
            _log.error("health.problem", key=key, problem=problem)

    def clear(self, key: str) -> None:
        """Remove a problem that no longer exists; an unknown key is fine."""
        if self._problems.pop(key, None) is not None:
            _log.info("health.solved", key=key)
