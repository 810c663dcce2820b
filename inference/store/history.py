"""Job history of a person: pages and full-text search."""

from __future__ import annotations

import re

from inference.clock import SystemClock
from inference.domain.job import Job
from inference.store.quarantine import decode_jobs
from inference.store.sqlite.database import Database

PAGE = """
    SELECT * FROM jobs WHERE tenant = :tenant AND requester_id = :requester
    ORDER BY created_at DESC LIMIT :limit OFFSET :offset
"""
"""Answered in order by the index jobs_by_requester."""

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


def _match(tenant: str, requester_id: str, words: list[str]) -> str:
    """Return the query; words hold letters, digits and underscores only, so quotes are safe."""
    owner = f"{tenant}\n{requester_id}".encode().hex()
    prompts = " AND ".join(f'prompt : "{word}" *' for word in words)
    return f'owner : "{owner}" AND {prompts}'
