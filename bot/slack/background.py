"""Background tasks that outlive the acknowledgement to Slack, owned by a task group."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from inference.bug_report import log_bug
from inference.domain.errors import RushesError

ACK_SECONDS = 0.15
"""How long Slack is kept waiting for its acknowledgement, so that a job is accepted before it.

It allows three seconds, but people see nothing happen until then.
"""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class BackgroundTasks:
    """Starts tasks; a failure ends that task alone, and is logged."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T | None]:
        """Run a coroutine; the task's result is None if it failed."""
        return self._group.create_task(_run_logged(work, name), name=f"slack-{name}")


async def _run_logged(work: Coroutine[Any, Any, T], name: str) -> T | None:
    try:
        return await work
    except RushesError as error:
        _log.warning("slack.failed", what=name, code=error.code, problem=error.params.get("error"))
    except Exception as error:  # noqa: BLE001 - one request must not end the others
        log_bug(_log, "slack.bug", error, what=name)
    return None
