"""Outbox requests, written in the transaction of the change."""

from __future__ import annotations

import aiosqlite

from inference.domain.job import ENDED, Job, JobState
from inference.domain.outbox import ActKind, Route


async def request_act(
    connection: aiosqlite.Connection, job: Job, kind: ActKind, now: float
) -> None:
    """Insert or refresh an outbox row, inside a transaction."""
    route = Route.CHANNEL if kind is ActKind.CARD else Route.THREAD
    await connection.execute(
        "INSERT INTO outbox (key, job_id, kind, platform, route, next_at, created_at)"
        " SELECT :key, :job, :kind, :platform, :route, 0, :now"
        " WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = :job AND forget = 1)"
        " ON CONFLICT (key) DO UPDATE SET wanted = wanted + 1,"
        " next_at = CASE WHEN shown = wanted THEN 0 ELSE next_at END",
        {
            "key": f"{job.id}:{kind}",
            "job": job.id,
            "kind": kind.value,
            "platform": job.platform,
            "route": route.value,
            "now": now,
        },
    )


async def announce(connection: aiosqlite.Connection, job: Job, now: float) -> None:
    """Request the outbox acts that a job's new state needs."""
    await request_act(connection, job, ActKind.CARD, now)
    if job.state is JobState.DELIVERING:
        await request_act(connection, job, ActKind.CLIP, now)
    elif job.state in ENDED - {JobState.DONE, JobState.CANCELLED}:
        await request_act(connection, job, ActKind.NOTICE, now)
