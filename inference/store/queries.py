"""Jobs as they stand: every question that is asked of the table `jobs`, and none of the changes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from inference.jobs.model import Job
from inference.jobs.scheduler import Shares
from inference.store.database import Database
from inference.store.ledger import UNFINISHED
from inference.store.rows import job_from_row


class JobQueries:
    """Reads jobs, shares and switches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, job_id: str) -> Job | None:
        """Return a job by id."""
        rows = await self._database.read("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return job_from_row(rows[0]) if rows else None

    async def unfinished(self, *, tenant: str | None = None) -> list[Job]:
        """Return all jobs that have not ended, oldest first."""
        rows = await self._database.read(
            f"SELECT * FROM jobs WHERE {UNFINISHED} AND (?1 IS NULL OR tenant = ?1)"
            " ORDER BY sequence, created_at",
            (tenant,),
        )
        return [job_from_row(row) for row in rows]

    async def in_review(self) -> list[str]:
        """Return the jobs that wait for their requester's word (index jobs_unfinished)."""
        rows = await self._database.read(
            f"SELECT id FROM jobs WHERE state = 'review' AND {UNFINISHED}"
        )
        return [row["id"] for row in rows]

    async def recent(self, tenant: str, requester_id: str, limit: int) -> list[Job]:
        """Return a person's newest jobs (index jobs_by_requester)."""
        rows = await self._database.read(
            "SELECT * FROM jobs WHERE tenant = ? AND requester_id = ?"
            " ORDER BY created_at DESC LIMIT ?",
            (tenant, requester_id, limit),
        )
        return [job_from_row(row) for row in rows]

    async def finished(self, limit: int) -> list[Job]:
        """Return the newest delivered jobs, oldest of them first (index jobs_finished)."""
        rows = await self._database.read(
            "SELECT * FROM jobs WHERE state = 'done' ORDER BY ended_at DESC LIMIT ?", (limit,)
        )
        return [job_from_row(row) for row in reversed(rows)]

    async def without_files(self, at: float, *, among: Iterable[str]) -> list[str]:
        """Return which of these jobs should have no files: ended before a time, refused, unknown.

        A refused one's are deleted when it is refused; here are those of a process that died then.
        """
        rows = await self._database.read(
            "SELECT kept.value AS id FROM json_each(?) AS kept"
            " LEFT JOIN jobs ON jobs.id = kept.value"
            " WHERE jobs.id IS NULL OR ended_at < ? OR state = 'refused'",
            (json.dumps(list(among)), at),
        )
        return [row["id"] for row in rows]

    async def forgotten(self) -> list[str]:
        """Return marked jobs that have ended and whose last word has been delivered."""
        rows = await self._database.read(
            "SELECT id FROM jobs WHERE forget = 1 AND ended_at IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM outbox WHERE job_id = id AND shown < wanted AND dead = 0)"
        )
        return [row["id"] for row in rows]

    async def shares(self) -> Shares:
        """Return where fair sharing stands."""
        [row] = await self._database.read("SELECT value FROM counters WHERE name = 'virtual_time'")
        rows = await self._database.read("SELECT tenant, virtual_time FROM shares")
        return Shares(
            virtual_time=row["value"], tenants={row["tenant"]: row["virtual_time"] for row in rows}
        )

    async def last_served(self) -> dict[tuple[str, str], float]:
        """Return when each (tenant, requester) with unfinished jobs was last given the GPU."""
        rows = await self._database.read(
            "SELECT tenant, requester_id, max(started_at) FROM jobs INDEXED BY jobs_by_requester"
            " WHERE started_at IS NOT NULL AND (tenant, requester_id) IN"
            f" (SELECT tenant, requester_id FROM jobs WHERE {UNFINISHED})"
            " GROUP BY tenant, requester_id"
        )
        return {(tenant, requester): started for tenant, requester, started in rows}

    async def switched(self, name: str) -> bool:
        """Return whether a switch is on."""
        rows = await self._database.read("SELECT value FROM counters WHERE name = ?", (name,))
        return bool(rows[0]["value"])
