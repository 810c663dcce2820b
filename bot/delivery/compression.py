"""Compression of files that are too large to upload, with tries that are counted in the outbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from inference.domain.errors import EngineError
from inference.domain.job import KEPT_TOO_LARGE
from inference.domain.outbox import Act
from inference.media.results import STILL
from inference.store.outbox import OutboxStore
from inference.workers.media.process import MediaProcess

UNLIMITED = 1 << 62
"""Bytes."""

SHRINK = (0.9, 0.5)
"""After "too large" the file is made to fit this share of what was too much; the last repeats."""

FITS = STILL + 2
"""Tries to make a file smaller before it is kept; each begins one step lower."""

FITS_WITHOUT_MACHINE = 24
"""Tries that this machine was at fault for, before the file is kept too: about two hours."""

SHRINK_SECONDS = 1800.0
"""Time limit of one try to make a file smaller, with the wait for its turn."""

_OF_THE_MACHINE = frozenset({"disk.full", "media.unavailable"})
"""Errors that say nothing about the file."""

_log = structlog.get_logger(__name__)


async def compress(
    act: Act, file: Path, limit: int, *, outbox: OutboxStore, compressor: MediaProcess
) -> None:
    """Make an act's file fit a limit in bytes, or keep the act after too many tries.

    Raises:
        EngineError: It did not work, and is worth another try.
        TimeoutError: The same.
    """
    tries = int(act.trace.get("fits", 0))
    if tries >= FITS:
        await outbox.keep(act, KEPT_TOO_LARGE)
        return
    # Counted before it begins: it may take the whole process down.
    await outbox.remember(act, {**act.trace, "fits": tries + 1})
    lower = {"first": tries} if tries else {}
    try:
        async with asyncio.timeout(SHRINK_SECONDS):
            fitted = await compressor.fit(file, limit, file.parent, **lower)
    except EngineError as error:
        at_fault = int(act.trace.get("machine", 0)) + 1
        if error.code in _OF_THE_MACHINE:
            again = at_fault < FITS_WITHOUT_MACHINE
            await outbox.remember(act, {**act.trace, "machine": at_fault})
        else:
            again = error.transient and tries + 1 < FITS
        if again:
            raise
        _log.warning("delivery.not_fitted", job=act.job_id, code=error.code)
        await outbox.keep(act, KEPT_TOO_LARGE)
    else:
        done = {"fits": 0, "machine": 0, "fitted": fitted.path.name}
        await outbox.remember(act, {**act.trace, **done})


def refusal_trace(act: Act, size: int) -> dict[str, object]:
    """Return the trace of an act whose file of `size` bytes was refused as too large."""
    kept = {name: act.trace[name] for name in act.trace if name in {"closed", "why"}}
    refusals = int(act.trace.get("refusals", 0))
    limit = int(size * SHRINK[min(refusals, len(SHRINK) - 1)])
    return {**kept, "limit": limit, "refusals": refusals + 1}


def file_within(limit: int, file: Path, fitted: str | None) -> Path | None:
    """Return the finished file, or its smaller version, if one of them is within the limit."""
    if file.stat().st_size <= limit:
        return file
    smaller = None if fitted is None else file.with_name(fitted)
    if smaller is not None and smaller.is_file() and smaller.stat().st_size <= limit:
        return smaller
    return None
