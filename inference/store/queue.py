"""Queue bookkeeping inside a transaction: sequence numbers, counts, shares."""

from __future__ import annotations

import aiosqlite

from inference.domain.fairness import Charge
from inference.domain.job import WAITING, Job
from inference.domain.limits import Counts
from inference.store.ledger import UNFINISHED
from inference.store.tombstones import last_request

_WAITING = ", ".join(f"'{state.value}'" for state in sorted(WAITING))

AHEAD_SECONDS = 60.0
"""A job from further in the future was made while the clock was ahead, and starts no cooldown."""


_HIGHEST_SEQUENCE = 2**52
"""A count beyond is junk: it is counted again from the jobs."""


async def next_sequence(connection: aiosqlite.Connection) -> int:
    """Return the next sequence number of the queue."""
    counted = await connection.execute_fetchall(
        "UPDATE counters SET value = value + 1"
        " WHERE name = 'sequence' AND value BETWEEN 0 AND ? RETURNING value",
        (_HIGHEST_SEQUENCE,),
    )
    for (sequence,) in counted:
        return int(sequence)
    [(sequence,)] = await connection.execute_fetchall(
        "INSERT OR REPLACE INTO counters (name, value)"
        " SELECT 'sequence', coalesce(max(sequence), 0) + 1 FROM jobs RETURNING value"
    )
    return int(sequence)


async def count_waiting(connection: aiosqlite.Connection, job: Job) -> Counts:
    """Count waiting jobs: in total, of the tenant, and of the requester."""
    waiting = f"state IN ({_WAITING}) AND {UNFINISHED}"
    [row] = await connection.execute_fetchall(  # each from an index alone
        f"SELECT (SELECT count(*) FROM jobs INDEXED BY jobs_unfinished WHERE {waiting}) AS total,"
        " (SELECT count(*) FROM jobs INDEXED BY jobs_unfinished"
        f" WHERE {waiting} AND tenant = ?1) AS tenant,"
        " (SELECT count(*) FROM jobs INDEXED BY jobs_unfinished_by_person"
        f" WHERE {waiting} AND person = ?2) AS requester",
        (job.tenant, job.person),
    )
    [newest] = await connection.execute_fetchall(
        "SELECT max(created_at) AS at FROM jobs WHERE person = ? AND created_at <= ?",
        (job.person, job.created_at + AHEAD_SECONDS),
    )
    forgotten = await last_request(connection, job.person)
    times = [at for at in (newest["at"], forgotten) if at is not None]
    return Counts(
        total=row["total"],
        tenant=row["tenant"],
        requester=row["requester"],
        newest_at=max(times, default=None),
    )


async def save_charge(connection: aiosqlite.Connection, charge: Charge) -> None:
    """Persist the shares after a charge."""
    await connection.execute(
        "INSERT INTO shares (tenant, virtual_time) VALUES (?, ?)"
        " ON CONFLICT (tenant) DO UPDATE SET virtual_time = excluded.virtual_time",
        (charge.tenant, charge.tenant_virtual_time),
    )
    await connection.execute(
        "UPDATE counters SET value = ? WHERE name = 'virtual_time'", (charge.virtual_time,)
    )
