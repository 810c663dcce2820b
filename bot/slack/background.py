"""What goes on after Slack had its acknowledgement, owned by the platform's task group."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

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
        return self._group.create_task(_guarded(work, name), name=f"slack-{name}")


async def _guarded(work: Coroutine[Any, Any, T], name: str) -> T | None:
    try:
        return await work
    except RushesError as error:
        _log.warning("slack.failed", what=name, code=error.code, problem=error.params.get("error"))
    except Exception as error:  # noqa: BLE001 - one request must not end the others
        log_bug(name, error)
    return None


def log_bug(what: str, error: BaseException) -> str:
    """Log where a bug is, and return what to find that by.

    The error's own message stays out, because it may quote a prompt or a token.
    """
    reference = secrets.token_hex(4)
    _log.error(
        "slack.bug",
        reference=reference,
        what=what,
        error=type(error).__name__,
        trace="".join(traceback.format_tb(error.__traceback__)),
    )
    return reference
