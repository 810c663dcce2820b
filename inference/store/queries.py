"""Read queries on the table `jobs`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from inference.clock import Clock
from inference.domain.fairness import Shares
from inference.domain.job import Job
from inference.store.codec.quarantine import decode_jobs, take_out
from inference.store.codec.rows import LATEST_TIME, is_safe_id
from inference.store.ledger import UNFINISHED
from inference.store.sqlite.database import Database
from inference.store.tombstones import QUERY as TOMBSTONE_KEY
from inference.store.tombstones import key_in, tombstone


class JobQueries:
    """Reads jobs, shares and switches."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, job_id: str) -> Job | None:
        """Return a job by id."""
        rows = await self._database.read(
            "SELECT * FROM jobs WHERE id = ? AND forget = 0", (job_id,)
        )
        return next(iter(await self._decoded(rows)), None)

    async def by_key(self, key: str) -> Job | None:
        """Return the job with an idempotency key."""
        rows = await self._database.read("SELECT * FROM jobs WHERE key = ?", (key,))
        return next(iter(await self._decoded(rows)), None)

    async def batch(self, batch: str) -> list[Job]:
        """Return the jobs of a batch, by the id of the first (jobs_batch)."""
        rows = await self._database.read(
            "SELECT * FROM jobs WHERE batch = ? AND forget = 0 ORDER BY number", (batch,)
        )
        return await self._decoded(rows)

    async def list_unfinished(self, *, tenant: str | None = None) -> list[Job]:
        """Return all jobs that have not ended, oldest first (index jobs_unfinished)."""
        rows = await self._database.read(
            f"SELECT * FROM jobs INDEXED BY jobs_unfinished WHERE {UNFINISHED}"
            " AND (?1 IS NULL OR (tenant = ?1 AND forget = 0))"
            " ORDER BY sequence, created_at, number",
            (tenant,),
        )
        return [job for job in await self._decoded(rows) if not job.ended]

    async def in_review(self) -> list[str]:
        """Return the jobs that wait for their requester's approval (index jobs_unfinished)."""
        rows = await self._database.read(
            f"SELECT id FROM jobs WHERE state = 'review' AND {UNFINISHED}"
        )
        return [row["id"] for row in rows]

    async def recent(self, tenant: str, requester_id: str, limit: int) -> list[Job]:
        """Return a person's newest jobs (index jobs_by_requester)."""
        rows = await self._database.read(
            "SELECT * FROM jobs WHERE tenant = ? AND requester_id = ?"
            " ORDER BY created_at DESC, number LIMIT ?",
            (tenant, requester_id, limit),
        )
        return await self._decoded(rows)

    async def list_finished(self, limit: int) -> list[Job]:
        """Return the newest delivered jobs, oldest of them first (index jobs_finished)."""
        rows = await self._database.read(
            "SELECT * FROM jobs WHERE state = 'done' ORDER BY ended_at DESC LIMIT ?", (limit,)
        )
        return await self._decoded(reversed(rows))

    async def without_files(self, at: float, *, among: Iterable[str]) -> list[str]:
        """Return those of some jobs that should have no files: ended before a time, or refused.

        A refused one's are deleted when it is refused; here are those of a process that died then.
        """
        rows = await self._database.read(
            "SELECT jobs.id FROM json_each(?) AS kept JOIN jobs ON jobs.id = kept.value"
            " WHERE ended_at < ? OR state = 'refused' ORDER BY ended_at",
            (json.dumps(list(among)), at),
        )
        return [row["id"] for row in rows]

    async def unknown(self, among: Iterable[str]) -> list[str]:
        """Return those ids that are no jobs of this database."""
        rows = await self._database.read(
            "SELECT value AS id FROM json_each(?) WHERE value NOT IN (SELECT id FROM jobs)",
            (json.dumps(list(among)),),
        )
        return [row["id"] for row in rows]

    async def last_seen(self) -> float | None:
        """Return the latest trusted wall time of earlier runs, Unix seconds."""
        [row] = await self._database.read(
            "SELECT coalesce((SELECT value FROM counters WHERE name = 'seen_at'),"
            " (SELECT max(created_at) FROM jobs)) AS at"
        )
        return row["at"] if _is_time(row["at"]) else None

    async def forgotten(self) -> list[str]:
        """Return the shells of jobs that were erased while running and have ended."""
        rows = await self._database.read(
            "SELECT id FROM jobs WHERE forget = 1 AND ended_at IS NOT NULL"
        )
        return [row["id"] for row in rows]

    async def is_erasing(self, tenant: str, requester_id: str) -> bool:
        """Return whether shells of a person's jobs are left."""
        key = key_in(await self._database.read(TOMBSTONE_KEY))
        if key is None:
            return False
        rows = await self._database.read(
            "SELECT 1 FROM jobs WHERE forget = 1 AND tenant = ? AND requester_id = ? LIMIT 1",
            (tenant, tombstone(key, tenant, requester_id)),
        )
        return bool(rows)

    async def removals(self) -> list[tuple[str, float]]:
        """Return the erased jobs whose files must not come back, with the time of erasure."""
        sound = []
        for row in await self._database.read("SELECT job, at FROM removals"):
            if not is_safe_id(row["job"]) or not _is_time(row["at"]):
                key = {"job": row["job"]}
                await take_out(self._database, "removals", key, "job, at", self._clock.now())
            else:
                sound.append((row["job"], row["at"]))
        return sound

    async def shares(self) -> Shares:
        """Return the shares; invalid ones are reset."""
        tenants = {}
        for row in await self._database.read("SELECT tenant, virtual_time FROM shares"):
            if _is_virtual_time(row["virtual_time"]):
                tenants[row["tenant"]] = row["virtual_time"]
            else:
                key = {"tenant": row["tenant"]}
                await take_out(self._database, "shares", key, "virtual_time", self._clock.now())
        rows = await self._database.read("SELECT value FROM counters WHERE name = 'virtual_time'")
        now = next((row["value"] for row in rows if _is_virtual_time(row["value"])), None)
        return Shares(
            virtual_time=max(tenants.values(), default=0.0) if now is None else now, tenants=tenants
        )

    async def read_last_served(self) -> dict[tuple[str, str], float]:
        """Return when each (tenant, requester) with unfinished jobs was last given the GPU."""
        rows = await self._database.read(
            "SELECT tenant, requester_id, max(started_at) FROM jobs INDEXED BY jobs_by_requester"
            " WHERE started_at IS NOT NULL AND (tenant, requester_id) IN"
            f" (SELECT tenant, requester_id FROM jobs WHERE {UNFINISHED})"
            " GROUP BY tenant, requester_id"
        )
        return {(tenant, requester): started for tenant, requester, started in rows}

    async def is_switched_on(self, name: str) -> bool:
        """Return whether a switch is on."""
        rows = await self._database.read("SELECT value FROM counters WHERE name = ?", (name,))
        return any(row["value"] == 1 for row in rows)

    async def _decoded(self, rows: Iterable[sqlite3.Row]) -> list[Job]:
        return await decode_jobs(self._database, rows, self._clock, self._set_aside)

    def _set_aside(self, job: Job) -> None:
        """Called with each job that failed because its row could not be decoded."""


def _is_virtual_time(value: object) -> bool:
    return isinstance(value, float) and 0 <= value <= LATEST_TIME


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= LATEST_TIME
