"""Erasure of a person: deletes all their jobs and data in one transaction.

What must outlive it carries a keyed hash in place of the person: nobody gets rid of a cooldown or
of the day's quota by being forgotten. The hash goes as well, once nothing depends on it any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import aiosqlite

from inference.domain.job import ENDED, JobState
from inference.store import ledger
from inference.store.codec.quarantine import decode_job
from inference.store.tombstones import secret, tombstone

_RENDERED = frozenset({JobState.FINISHING.value, JobState.DELIVERING.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Erased jobs, by state."""

    ended: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    """Something may still be writing their files."""
    running: tuple[str, ...] = ()
    """Those of `unfinished` that have to be stopped."""

    @property
    def count(self) -> int:
        """Number of jobs."""
        return len(self.ended) + len(self.unfinished)


async def erase(
    connection: aiosqlite.Connection, tenant: str, requester_id: str, now: float
) -> Erased:
    """Delete a person's jobs and data, inside a transaction.

    A job on the GPU stays as a shell without words, name or address until it has been stopped.
    """
    key = await secret(connection)
    whose = (tenant, requester_id)
    rows = list(
        await connection.execute_fetchall(
            "SELECT * FROM jobs WHERE tenant = ? AND requester_id = ?", whose
        )
    )
    for row in rows:
        job = await decode_job(connection, row, now)  # a damaged one is repaired in its place
        if job is not None and job.state.value in _RENDERED:
            # The GPU time was used, so charge it as if delivered.
            await ledger.charge(connection, job, now)
    await _write_tombstones(connection, key, whose, now)
    ended = tuple(row["id"] for row in rows if row["state"] in {state.value for state in ENDED})
    unfinished = tuple(row["id"] for row in rows if row["id"] not in set(ended))
    running = tuple(row["id"] for row in rows if row["state"] == JobState.RUNNING.value)
    everything = json.dumps([*ended, *unfinished])
    await connection.execute(
        "INSERT OR REPLACE INTO removals (job, at) SELECT value, ? FROM json_each(?)",
        (now, everything),
    )
    await connection.execute(
        "DELETE FROM quarantine WHERE (tenant = ?1 AND person = ?2)"
        " OR job IN (SELECT value FROM json_each(?3))"
        " OR (tenant = ?1 AND source = 'settings' AND json_valid(content)"
        " AND json_extract(content, '$.subject') = ?2)",
        (*whose, everything),
    )
    await connection.execute("DELETE FROM refinements WHERE tenant = ? AND requester_id = ?", whose)
    for job_id in running:
        await _clear_job(connection, job_id, tombstone(key, *whose), now)
    await connection.execute("DELETE FROM jobs WHERE tenant = ? AND requester_id = ?", whose)
    return Erased(ended=ended, unfinished=unfinished, running=running)


async def _write_tombstones(
    connection: aiosqlite.Connection, key: bytes, whose: tuple[str, str], now: float
) -> None:
    """Replace a person by keyed hashes where their records must remain."""
    newest = await connection.execute_fetchall(
        "SELECT person, max(created_at) FROM jobs WHERE tenant = ? AND requester_id = ?"
        " GROUP BY person",
        whose,
    )
    for person, at in newest:
        await connection.execute(
            "INSERT INTO tombstones (person, last_request_at, forgotten_at) VALUES (?, ?, ?)"
            " ON CONFLICT (person) DO UPDATE SET forgotten_at = excluded.forgotten_at,"
            " last_request_at = max(last_request_at, excluded.last_request_at)",
            (tombstone(key, person), at, now),
        )
    for table in ("ledger", "jobs"):
        people = await connection.execute_fetchall(
            f"SELECT DISTINCT person FROM {table} WHERE tenant = ? AND requester_id = ?", whose
        )
        for (person,) in people:
            await connection.execute(
                f"UPDATE {table} SET person = ?"
                " WHERE tenant = ? AND requester_id = ? AND person = ?",
                (tombstone(key, person), *whose, person),
            )
    # Chats show job ids next to names, so the id is personal data too.
    await connection.execute(
        "UPDATE ledger SET requester_id = ?, job = '#' || lower(hex(randomblob(12))), forget = 1"
        " WHERE tenant = ? AND requester_id = ?",
        (tombstone(key, *whose), *whose),
    )


async def _clear_job(connection: aiosqlite.Connection, job_id: str, mark: str, now: float) -> None:
    """Remove personal data from a job that is still running."""
    await connection.execute("DELETE FROM outbox WHERE job_id = ?", (job_id,))
    await connection.execute(
        "UPDATE jobs SET forget = 1, requester_id = ?, requester_name = '', address = '{}',"
        " spec = json_set(json_remove(spec, '$.original', '$.negative', '$.image', '$.last',"
        " '$.latents', '$.effects'), '$.prompt', '…'), origins = '{}', notes = '[]',"
        " verdict = '{}', channel = '', key = NULL, parent = NULL, batch = NULL,"
        " cancel_requested_at = coalesce(cancel_requested_at, ?) WHERE id = ?",
        (mark, now, job_id),
    )
    await connection.execute(
        "DELETE FROM words WHERE rowid = (SELECT number FROM archive WHERE job = ?)", (job_id,)
    )
    await connection.execute("DELETE FROM archive WHERE job = ?", (job_id,))


async def settle_removals(connection: aiosqlite.Connection, job_ids: Iterable[str]) -> None:
    """Record, inside a transaction, that the files of these jobs are deleted."""
    await connection.execute(
        "DELETE FROM removals WHERE job IN (SELECT value FROM json_each(?))",
        (json.dumps(list(job_ids)),),
    )
