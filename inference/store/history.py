"""Job history of a person: pages and full-text search."""

from __future__ import annotations

import re

from inference.clock import SystemClock
from inference.domain.job import Job
from inference.store.codec.quarantine import decode_jobs
from inference.store.sqlite.database import Database

PAGE = """
    SELECT * FROM jobs WHERE tenant = :tenant AND requester_id = :requester
    ORDER BY created_at DESC LIMIT :limit OFFSET :offset
"""
"""Answered in order by the index jobs_by_requester."""

_AFTER = """
    SELECT jobs.* FROM jobs LEFT JOIN jobs AS seen ON seen.id = :after
        AND seen.tenant = :tenant AND seen.requester_id = :requester
    WHERE jobs.tenant = :tenant AND jobs.requester_id = :requester
        AND jobs.removed_at IS NULL AND jobs.forget = 0
        AND (seen.id IS NULL
            OR (jobs.created_at, jobs.rowid) {compare} (seen.created_at, seen.rowid))
    ORDER BY jobs.created_at {order}, jobs.rowid {order} LIMIT :limit
"""

SEARCH = """
    SELECT jobs.* FROM words
    CROSS JOIN archive ON archive.number = words.rowid
    CROSS JOIN jobs ON jobs.id = archive.job
    WHERE words MATCH :match AND jobs.tenant = :tenant AND jobs.requester_id = :requester
    ORDER BY words.rowid DESC LIMIT :limit OFFSET :offset
"""
"""Hits come newest first out of the full-text index, and reading stops with the page. The owner is
one of the words that are searched; tenant and requester are compared once more all the same."""

_WORD = re.compile(r"\w+")


class History:
    """Reads one person's jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, tenant: str, requester_id: str, *, words: str = "", limit: int, offset: int = 0
    ) -> list[Job]:
        """Return a person's jobs, newest first.

        Args:
            tenant: Only there.
            requester_id: Only theirs.
            words: Prompts must have words that begin with each of these.
            limit: At most so many.
            offset: Skip so many newer ones.
        """
        wanted = _WORD.findall(words)
        values = {
            "tenant": tenant,
            "requester": requester_id,
            "limit": limit,
            "offset": offset,
            "match": _match(tenant, requester_id, wanted),
        }
        if words.strip() and not wanted:
            return []
        rows = await self._database.read(SEARCH if wanted else PAGE, values)
        return await decode_jobs(self._database, rows, SystemClock())

    async def after(
        self, tenant: str, requester_id: str, job_id: str | None, *, oldest_first: bool, limit: int
    ) -> list[Job]:
        """Return a person's jobs that come after one of them, without those that were removed.

        Args:
            tenant: Only there.
            requester_id: Only theirs.
            job_id: The last one that was seen; None begins.
            oldest_first: Whether they come in the order in which they were made.
            limit: At most so many.
        """
        compare, order = (">", "ASC") if oldest_first else ("<", "DESC")
        rows = await self._database.read(
            _AFTER.format(compare=compare, order=order),
            {"tenant": tenant, "requester": requester_id, "after": job_id, "limit": limit},
        )
        return await decode_jobs(self._database, rows, SystemClock())


def _match(tenant: str, requester_id: str, words: list[str]) -> str:
    """Return the query; words hold letters, digits and underscores only, so quotes are safe."""
    owner = f"{tenant}\n{requester_id}".encode().hex()
    prompts = " AND ".join(f'prompt : "{word}" *' for word in words)
    return f'owner : "{owner}" AND {prompts}'
