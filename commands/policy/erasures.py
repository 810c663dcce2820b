"""Store of requested erasures, until the person is told that theirs is done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import aiosqlite
import structlog

from inference.domain.job import Requester, new_job_id
from inference.store.sqlite.database import Database
from inference.store.tombstones import secret, tombstone

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRequest:
    """The requested erasure of a person's data in one tenant."""

    id: str = field(default_factory=new_job_id)
    """The id of the final notice."""
    tenant: str
    person: Requester
    platform: str
    address: dict[str, Any]
    """The platform's address of the channel of the request."""
    locale: str
    erased: bool = False
    """Whether everything is deleted but what is still being stopped."""


class ErasureStore:
    """The table `erasures`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, erasure: ErasureRequest) -> None:
        """Store a request before anything is deleted; a repeated one replaces it."""
        await self._database.execute(
            "begin_erasure",
            "INSERT OR REPLACE INTO erasures"
            " (id, tenant, person, name, platform, address, locale)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                erasure.id,
                erasure.tenant,
                erasure.person.id,
                erasure.person.name,
                erasure.platform,
                json.dumps(erasure.address),
                erasure.locale,
            ),
        )

    async def mark_erased(self, erasure_id: str) -> None:
        """Record that everything is deleted but jobs that are still being stopped."""
        await self._database.execute(
            "erased", "UPDATE erasures SET erased = 1 WHERE id = ?", (erasure_id,)
        )

    async def settle(self, erasure_id: str) -> None:
        """Delete an erasure whose person has been told."""
        await self._database.execute(
            "settle_erasure", "DELETE FROM erasures WHERE id = ?", (erasure_id,)
        )

    async def leave_untold(self, erasure: ErasureRequest) -> None:
        """Leave the notice to the person's next command; a keyed hash is kept of them."""

        async def work(connection: aiosqlite.Connection) -> None:
            person = tombstone(await secret(connection), erasure.tenant, erasure.person.id)
            await connection.execute(
                "UPDATE OR REPLACE erasures SET person = ?, name = '', address = '{}', untold = 1"
                " WHERE id = ?",
                (person, erasure.id),
            )

        await self._database.write("erasure_untold", work)

    async def take_untold(self, tenant: str, person: str) -> bool:
        """Mark a person as told of their erasure; return whether they were still to be told."""
        if not await self._database.read("SELECT 1 FROM erasures WHERE untold = 1 LIMIT 1"):
            return False

        async def work(connection: aiosqlite.Connection) -> bool:
            whose = (tenant, tombstone(await secret(connection), tenant, person))
            deleted = await connection.execute(
                "DELETE FROM erasures WHERE untold = 1 AND tenant = ? AND person = ?", whose
            )
            return deleted.rowcount > 0

        return await self._database.write("erasure_told", work)

    async def open(self) -> list[ErasureRequest]:
        """Return the erasures whose people were not told yet."""
        rows = await self._database.read("SELECT * FROM erasures WHERE untold = 0")
        found = []
        for row in rows:
            try:
                found.append(_decode(row))
            except (ValueError, TypeError) as error:  # damaged: its person cannot be told
                _log.warning("erasure.unreadable", error=type(error).__name__)
        return found


def _decode(row: aiosqlite.Row) -> ErasureRequest:
    return ErasureRequest(
        id=row["id"],
        tenant=row["tenant"],
        person=Requester(id=row["person"], name=row["name"]),
        platform=row["platform"],
        address=dict(json.loads(row["address"])),
        locale=row["locale"],
        erased=bool(row["erased"]),
    )
