"""Store of the words that each guild's admins forbid."""

from __future__ import annotations

from collections.abc import Sequence

import aiosqlite

from commands.policy.audit import Entry, record
from inference.clock import Clock
from inference.domain.job import Requester
from inference.store.sqlite.database import Database

MAXIMUM_WORDS = 200
"""The limit of one guild."""


class GuildWordStore:
    """The table `forbidden_words`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def of(self, tenant: str) -> Sequence[str]:
        """Return a guild's words in order."""
        rows = await self._database.read(
            "SELECT word FROM forbidden_words WHERE tenant = ? ORDER BY word", (tenant,)
        )
        return [row["word"] for row in rows]

    async def add(self, tenant: str, word: str, actor: Requester) -> bool:
        """Forbid a word; False when there are too many. One that is there stays."""

        async def work(connection: aiosqlite.Connection) -> bool:
            [(count, there)] = await connection.execute_fetchall(
                "SELECT count(*), coalesce(sum(word = ?), 0) FROM forbidden_words WHERE tenant = ?",
                (word, tenant),
            )
            if there:
                return True
            if count >= MAXIMUM_WORDS:
                return False
            await connection.execute(
                "INSERT INTO forbidden_words (tenant, word) VALUES (?, ?)", (tenant, word)
            )
            await record(connection, self._entry(tenant, actor, before=None, after=word))
            return True

        return await self._database.write("forbid_word", work)

    async def remove(self, tenant: str, word: str, actor: Requester) -> bool:
        """Allow a word again; return whether it was forbidden."""

        async def work(connection: aiosqlite.Connection) -> bool:
            cursor = await connection.execute(
                "DELETE FROM forbidden_words WHERE tenant = ? AND word = ?", (tenant, word)
            )
            if not cursor.rowcount:
                return False
            await record(connection, self._entry(tenant, actor, before=word, after=None))
            return True

        return await self._database.write("allow_word", work)

    def _entry(
        self, tenant: str, actor: Requester, *, before: str | None, after: str | None
    ) -> Entry:
        return Entry(
            tenant=tenant,
            at=self._clock.now(),
            actor=actor,
            scope="words",
            subject="",
            key="words",
            before=before,
            after=after,
        )
