"""Outbox requests, written in the transaction of the change."""

from __future__ import annotations

import aiosqlite

from inference.domain.job import ENDED, Job, JobState
from inference.domain.outbox import ActKind, Route
from inference.domain.spec import Mode

OF_ALL = frozenset({ActKind.CARD, ActKind.SHEET})
"""Acts of which jobs that were asked for together have one, which is the first job's."""

_TOLD = ENDED - {JobState.DONE, JobState.CANCELLED}
"""Final states that a separate message reports."""

FEWEST = 2
"""Stills on a sheet."""

_WANT_AGAIN = "wanted = wanted + 1, next_at = CASE WHEN shown = wanted THEN 0 ELSE next_at END"
"""A row of the outbox has something newer to show."""


async def request_act(
    connection: aiosqlite.Connection, job: Job, kind: ActKind, now: float
) -> None:
    """Insert or refresh an outbox row, inside a transaction; see `OF_ALL` for whose it is."""
    owner = await _card_owner(connection, job) if kind in OF_ALL else job.id
    route = Route.CHANNEL if kind is ActKind.CARD else Route.THREAD
    await connection.execute(
        "INSERT INTO outbox (key, job_id, kind, platform, route, next_at, created_at)"
        " SELECT :key, :job, :kind, :platform, :route, 0, :now"
        " WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = :job AND forget = 1)"
        f" ON CONFLICT (key) DO UPDATE SET {_WANT_AGAIN}",
        {
            "key": f"{owner}:{kind}",
            "job": owner,
            "kind": kind.value,
            "platform": job.platform,
            "route": route.value,
            "now": now,
        },
    )
    if kind is ActKind.REMOVAL:
        await _renew_sheet(connection, job)


async def _renew_sheet(connection: aiosqlite.Connection, job: Job) -> None:
    """Request that a sheet that shows a deleted still is replaced by one of what is left."""
    owner = await _card_owner(connection, job)
    await connection.execute(
        f"UPDATE outbox SET {_WANT_AGAIN} WHERE key = ?", (f"{owner}:{ActKind.SHEET}",)
    )


async def _card_owner(connection: aiosqlite.Connection, job: Job) -> str:
    """Return the job whose card shows a job: its own, if the first of its batch was deleted."""
    kept = await connection.execute_fetchall("SELECT id FROM jobs WHERE id = ?", (job.card_of,))
    return job.card_of if list(kept) else job.id


async def announce(connection: aiosqlite.Connection, job: Job, now: float) -> None:
    """Request the outbox acts that a job's new state needs."""
    await request_act(connection, job, ActKind.CARD, now)
    if job.state is JobState.DELIVERING:
        await request_act(connection, job, ActKind.CLIP, now)
    elif job.state in _TOLD and not await _is_told(connection, job):
        await request_act(connection, job, ActKind.NOTICE, now)
    if job.ended:
        await request_sheet(connection, job, now)


async def request_sheet(connection: aiosqlite.Connection, job: Job, now: float) -> None:
    """Request the sheet of a batch's stills, once the last of them has ended."""
    if job.batch is None or job.spec.mode is not Mode.TEXT_TO_IMAGE:
        return
    rows = await connection.execute_fetchall(
        "SELECT state, removed_at FROM jobs WHERE batch = ?", (job.batch,)
    )
    made = [row for row in rows if row["state"] == JobState.DONE and row["removed_at"] is None]
    if len(made) >= FEWEST and all(row["state"] in ENDED for row in rows):
        await request_act(connection, job, ActKind.SHEET, now)


async def _is_told(connection: aiosqlite.Connection, job: Job) -> bool:
    """Whether another job of the same request has ended for the same reason: one ping is enough."""
    rows = await connection.execute_fetchall(
        "SELECT 1 FROM jobs JOIN outbox ON outbox.job_id = jobs.id AND outbox.kind = ?2"
        " WHERE jobs.batch = ?1 AND jobs.id <> ?3"
        " AND jobs.failure IS (SELECT failure FROM jobs WHERE id = ?3)",
        (job.batch, ActKind.NOTICE.value, job.id),
    )
    return bool(list(rows))
