"""Audit log of a guild's changes, written in the transaction of each change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiosqlite

from inference.domain.job import Requester
from inference.store.sqlite.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change."""

    tenant: str
    at: float
    """Unix seconds."""
    actor: Requester
    scope: str
    """Kind of the changed object: a scope of settings, `preset` or `block`."""
    subject: str
    """The channel, person or preset; empty for the guild itself."""
    key: str
    before: Any
    """JSON; None where nothing was set."""
    after: Any


class Audit:
    """The table `audit`, for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(self, tenant: str, *, limit: int) -> list[Entry]:
        """Return the newest changes in a guild, newest first."""
        rows = await self._database.read(
            "SELECT * FROM audit WHERE tenant = ? ORDER BY id DESC LIMIT ?", (tenant, limit)
        )
        return [
            Entry(
                tenant=row["tenant"],
                at=row["at"],
                actor=Requester(id=row["actor_id"], name=row["actor_name"]),
                scope=row["scope"],
                subject=row["subject"],
                key=row["key"],
                before=_load(row["before"]),
                after=_load(row["after"]),
            )
            for row in rows
        ]

    async def forget(self, tenant: str, person: str) -> None:
        """Remove a person's name from their entries; the entries stay."""
        await self._database.execute(
            "forget_audit",
            "UPDATE audit SET actor_id = '', actor_name = '' WHERE tenant = ? AND actor_id = ?",
            (tenant, person),
        )


async def record(connection: aiosqlite.Connection, entry: Entry) -> None:
    """Write an entry inside the transaction of its change."""
    await connection.execute(
        "INSERT INTO audit"
        " (tenant, at, actor_id, actor_name, scope, subject, key, before, after)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.tenant,
            entry.at,
            entry.actor.id,
            entry.actor.name,
            entry.scope,
            entry.subject,
            entry.key,
            _dump(entry.before),
            _dump(entry.after),
        ),
    )


def _dump(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _load(value: str | None) -> Any:
    """Decode a stored value; None where it cannot be read."""
    try:
        return None if value is None else json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return None
