"""Store writes with retries, for results that must not be lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import RushesError, StoreError
from inference.domain.job import Failure, Job
from inference.retries import Backoff

T = TypeVar("T")

END_TRIES = 3
"""Tries to end a job that something unexpected happened to."""

_log = structlog.get_logger(__name__)


async def write_with_retry(write: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Repeat a write until the disk takes it, and return its result."""
    backoff = Backoff(clock)
    while True:
        try:
            return await write()
        except StoreError as error:
            _log.error("store.unwritable", code=error.code)
            await backoff.pause()


def failure_of(error: Exception, job_id: str) -> Failure:
    """Return the `Failure` for an exception; a bug refers to the job id."""
    if isinstance(error, RushesError):
        return Failure(code=error.code, params=error.params)
    return Failure(code="internal", params={"job": job_id})


async def end_job(
    end: Callable[[], Awaitable[Job | None]], job_id: str, clock: Clock
) -> Job | None:
    """Write the end of a job after an unexpected exception.

    If that fails too, the job is left alone and the next start takes it up: it must not hold up
    the others.
    """
    for _ in range(END_TRIES):
        try:
            return await write_with_retry(end, clock)
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
            log_bug(_log, "job.end_failed", error, job=job_id)
    return None
