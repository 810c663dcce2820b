"""Cache of the assistant's answers, in the table `refinements`."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from inference.assist.base import RefinementRequest
from inference.clock import Clock
from inference.store.sqlite.database import Database
from inference.store.sqlite.undecodable import UndecodableText

LIMIT = 5000
"""Answers that are kept; those not used for longest go first."""

_PUT = """
    INSERT INTO refinements (digest, tenant, requester_id, prompt, used_at)
    SELECT :digest, :tenant, :requester, :prompt, :now
    WHERE :job IS NULL OR EXISTS (SELECT 1 FROM jobs WHERE id = :job AND forget = 0)
    ON CONFLICT (digest, tenant, requester_id)
        DO UPDATE SET prompt = excluded.prompt, used_at = excluded.used_at
"""
_PRESENT = "UPDATE refinements SET used_at = ?1 WHERE used_at > ?1"
"""Answers that were used while the clock was ahead must not outlive all others."""

_TRIM = """
    DELETE FROM refinements WHERE rowid IN (
        SELECT rowid FROM refinements ORDER BY used_at DESC, rowid DESC LIMIT -1 OFFSET ?
    )
"""
"""Index refinements_by_use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Tenant and id of the person who asks the assistant."""

    tenant: str
    requester_id: str
    job_id: str | None = None
    """The job that they are asked for, if there is one: nothing is kept of a forgotten one."""


class RefinementCache:
    """Table `refinements`: digests of questions, answers, and the people who asked.

    An answer serves everybody who asks the same; each of them has a row, so that forgetting one
    person leaves what is also another's.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._forgotten: Counter[tuple[str, str]] = Counter()

    def times_forgotten(self, asker: Asker) -> int:
        """Return how often this process erased a person's answers; see `put`."""
        return self._forgotten[asker.tenant, asker.requester_id]

    async def get(self, digest: str) -> str | None:
        """Return the cached answer, or None."""
        rows = await self._database.read(
            "SELECT prompt FROM refinements WHERE digest = ? LIMIT 1", (digest,)
        )
        found = rows[0]["prompt"] if rows else None
        sound = isinstance(found, str) and not isinstance(found, UndecodableText)
        return found if sound else None  # asked again, and put in its place

    async def put(
        self, digest: str, prompt: str, asker: Asker, *, forgotten: int | None = None
    ) -> None:
        """Store an answer for a person and mark it as just used.

        Args:
            digest: The question.
            prompt: The answer.
            asker: Whose it is.
            forgotten: `times_forgotten` of when they asked: nothing is kept of who was forgotten
                while the assistant thought.
        """

        async def work(connection: aiosqlite.Connection) -> None:
            if forgotten is not None and forgotten != self.times_forgotten(asker):
                return
            await connection.execute(
                _PUT,
                {
                    "digest": digest,
                    "tenant": asker.tenant,
                    "requester": asker.requester_id,
                    "job": asker.job_id,
                    "prompt": prompt,
                    "now": self._clock.now(),
                },
            )
            await connection.execute(_PRESENT, (self._clock.now(),))
            await connection.execute(_TRIM, (LIMIT,))

        await self._database.write("keep_refinement", work)

    async def forget(self, tenant: str, requester_id: str) -> None:
        """Delete the answers that only this person asked for."""
        self._forgotten[tenant, requester_id] += 1
        await self._database.execute(
            "forget_refinements",
            "DELETE FROM refinements WHERE tenant = ? AND requester_id = ?",
            (tenant, requester_id),
        )


async def digest(request: RefinementRequest, assistant: str) -> str:
    """Return the cache key of a question: a hash that contains no text."""
    image = None if request.image is None else await asyncio.to_thread(_checksum, request.image)
    question = [assistant, request.words, request.mode.value, request.drawn, request.advice, image]
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
