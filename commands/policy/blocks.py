"""Blocked people of a guild."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from commands.policy.audit import Entry, record
from inference.clock import Clock
from inference.domain.job import Requester
from inference.store.sqlite.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Block of one person."""

    person: str
    reason: str = ""
    """Shown to them."""


class BlockStore:
    """The table `blocks`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, tenant: str, block: Block, actor: Requester) -> None:
        """Block a person, or change the reason."""

        async def work(connection: aiosqlite.Connection) -> None:
            before = await _reason(connection, tenant, block.person)
            await connection.execute(
                "INSERT OR REPLACE INTO blocks (tenant, person, reason) VALUES (?, ?, ?)",
                (tenant, block.person, block.reason),
            )
            entry = self._entry(tenant, block.person, actor, before=before, after=block.reason)
            await record(connection, entry)

        await self._database.write("block", work)

    async def lift(self, tenant: str, person: str, actor: Requester) -> bool:
        """Lift the block of a person; return whether there was one."""

        async def work(connection: aiosqlite.Connection) -> bool:
            before = await _reason(connection, tenant, person)
            await connection.execute(
                "DELETE FROM blocks WHERE tenant = ? AND person = ?", (tenant, person)
            )
            if before is None:
                return False
            entry = self._entry(tenant, person, actor, before=before, after=None)
            await record(connection, entry)
            return True

        return await self._database.write("unblock", work)

    async def of(self, tenant: str, person: str) -> Block | None:
        """Return the block of a person, if there is one."""
        rows = await self._database.read(
            "SELECT reason FROM blocks WHERE tenant = ? AND person = ?", (tenant, person)
        )
        return Block(person=person, reason=rows[0]["reason"]) if rows else None

    def _entry(
        self, tenant: str, person: str, actor: Requester, *, before: str | None, after: str | None
    ) -> Entry:
        return Entry(
            tenant=tenant,
            at=self._clock.now(),
            actor=actor,
            scope="block",
            subject=person,
            key="block",
            before=before,
            after=after,
        )


async def _reason(connection: aiosqlite.Connection, tenant: str, person: str) -> str | None:
    rows = await connection.execute_fetchall(
        "SELECT reason FROM blocks WHERE tenant = ? AND person = ?", (tenant, person)
    )
    return next((row["reason"] for row in rows), None)
