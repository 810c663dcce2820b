"""Quarantine for rows that cannot be decoded.

A job's row is put aside and repaired in its place, so that every query finds a job that has failed
with a sentence. Rows of other tables are repaired where their key says enough, or taken out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiosqlite
import structlog

from inference.clock import Clock
from inference.domain.errors import StoreError
from inference.domain.job import Job
from inference.store.codec.rows import DamagedRow, job_from_row, redact_key, repair, row_from_job
from inference.store.outbox_requests import announce
from inference.store.sqlite.database import Database
from inference.store.sqlite.undecodable import UndecodableText

_log = structlog.get_logger(__name__)


async def decode_jobs(
    database: Database,
    rows: Iterable[sqlite3.Row],
    clock: Clock,
    failed: Callable[[Job], object] = lambda _: None,
) -> list[Job]:
    """Decode rows of jobs; a damaged one is quarantined and returned as failed.

    Args:
        database: Where the rows were read.
        rows: Of `SELECT * FROM jobs`.
        clock: Dates what is found.
        failed: Called with each that was set aside just now.
    """
    jobs = []
    for row in rows:
        try:
            jobs.append(job_from_row(row))
        except DamagedRow:
            job = await _set_aside(database, row, clock.now())
            if job is not None:
                failed(job)
                jobs.append(job)
    return jobs


async def decode_job(connection: aiosqlite.Connection, row: sqlite3.Row, now: float) -> Job | None:
    """Decode a row inside a transaction; None for a damaged one, which is quarantined."""
    try:
        return job_from_row(row)
    except DamagedRow as error:
        await set_aside_job(connection, row, now, error.column)
        return None


async def set_aside_job(
    connection: aiosqlite.Connection, row: sqlite3.Row, now: float, reason: str
) -> Job | None:
    """Quarantine a damaged row of `jobs`, and repair it in place."""
    repaired = repair(row, now)
    await keep(connection, "jobs", row["id"], reason, row, now)
    if repaired is None:  # nobody can ask for it, and no folder may have its name
        await connection.execute(
            f"DELETE FROM jobs WHERE id = {_mark(row['id'])}", [raw(row["id"])]
        )
        return None
    values = row_from_job(repaired.job)
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    await connection.execute(f"UPDATE jobs SET {assignments} WHERE id = :id", values)
    job = repaired.job
    if not repaired.ended:
        await connection.execute(
            "UPDATE outbox SET dead = 1 WHERE job_id = ?"
            " AND (kind NOT IN ('card', 'notice') OR NOT ?)",
            (job.id, repaired.reachable),
        )
        if repaired.reachable:
            await announce(connection, job, now)
    return job


async def _set_aside(database: Database, found: sqlite3.Row, now: float) -> Job | None:
    """Set a row aside that a query found; where nothing can be written now, answer all the same."""

    async def work(connection: aiosqlite.Connection) -> Job | None:
        rows = await connection.execute_fetchall(
            f"SELECT * FROM jobs WHERE id = {_mark(found['id'])}", [raw(found["id"])]
        )
        for row in rows:
            try:
                return job_from_row(row)
            except DamagedRow as error:
                return await set_aside_job(connection, row, now, error.column)
        return None

    try:
        return await database.write("quarantine", work)
    except StoreError as error:
        _log.error("store.quarantine_failed", code=error.code)
        repaired = repair(found, now)
        return None if repaired is None else repaired.job


async def set_aside_act(
    connection: aiosqlite.Connection, row: sqlite3.Row, values: Mapping[str, Any], now: float
) -> None:
    """Quarantine a damaged row of `outbox`, and repair its columns."""
    await keep(connection, "outbox", row["key"], ", ".join(values), row, now)
    assignments = ", ".join(f"{name} = ?" for name in values)
    await connection.execute(
        f"UPDATE outbox SET {assignments} WHERE key = {_mark(row['key'])}",
        [*values.values(), raw(row["key"])],
    )


async def take_out(
    database: Database, table: str, key: Mapping[str, Any], reason: str, now: float
) -> None:
    """Move an unusable row into the quarantine.

    Args:
        database: The database.
        table: Its table.
        key: The columns that tell it from all others.
        reason: The column that cannot be read.
        now: Unix seconds.
    """
    where = " AND ".join(f"{name} IS {_mark(value)}" for name, value in key.items())
    values = [raw(value) for value in key.values()]

    async def work(connection: aiosqlite.Connection) -> None:
        rows = await connection.execute_fetchall(f"SELECT * FROM {table} WHERE {where}", values)
        for row in rows:
            await keep(connection, table, ":".join(map(str, key.values())), reason, row, now)
        await connection.execute(f"DELETE FROM {table} WHERE {where}", values)

    try:
        await database.write("quarantine", work)
    except StoreError as error:
        _log.error("store.quarantine_failed", code=error.code)


async def keep(  # noqa: PLR0917 - each of another type or plainly named
    connection: aiosqlite.Connection,
    source: str,
    key: object,
    reason: str,
    row: sqlite3.Row,
    now: float,
) -> None:
    """Copy a row into the quarantine, inside a transaction, and log it."""
    columns = row.keys()
    person = next((name for name in ("requester_id", "owner", "person") if name in columns), None)
    job = next((name for name in ("job_id", "job") if name in columns), None)
    await connection.execute(
        "INSERT INTO quarantine (source, key, reason, found_at, tenant, person, job, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            source,
            redact_key(key),
            reason,
            now,
            _text(row["tenant"]) if "tenant" in columns else None,
            _text(row[person]) if person else None,
            _text(row["id"] if source == "jobs" else row[job] if job else None),
            json.dumps({name: _plain(row[name]) for name in columns}),
        ),
    )
    _log.error("store.row_quarantined", table=source, id=redact_key(key), column=reason)


def raw(value: Any) -> Any:
    """Return a value as SQLite takes it back, with `_mark` in the place of the parameter."""
    return value.raw if isinstance(value, UndecodableText) else value


def _mark(value: Any) -> str:
    return "CAST(? AS TEXT)" if isinstance(value, UndecodableText) else "?"


def _plain(value: Any) -> Any:
    value = raw(value)
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and not isinstance(value, UndecodableText) else None
