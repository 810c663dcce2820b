"""Store of refused requests that work with a change: their buttons survive a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import aiosqlite
from pydantic import TypeAdapter

from commands.refusal import Changes
from commands.schema import Value
from inference.clock import Clock
from inference.domain.errors import NotFound
from inference.domain.job import new_job_id
from inference.store.sqlite.database import Database

KEPT_SECONDS = 86_400.0
"""A day: as long as Discord keeps the picture that came with a request."""

KEPT_OF_ONE_PERSON = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRequest:
    """A refused request, and the changes with which it works."""

    asked: str
    """The command as typed, or the id of the form."""
    text: str = ""
    """The text typed after the command."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """The options set in a form."""
    offers: tuple[Changes, ...]


_REFUSED_REQUEST = TypeAdapter(RefusedRequest)


class RefusedRequestStore:
    """The store of refused requests.

    Its table is called `drafts`, because released databases have it by that name.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def save(self, tenant: str, person: str, refused: RefusedRequest) -> str:
        """Keep a request and return its id; old ones are deleted."""
        request_id, now = new_job_id(), self._clock.now()
        # Not by the adapter, which writes neither half characters nor read-only mappings.
        kept = {each.name: getattr(refused, each.name) for each in fields(refused)}
        request = json.dumps(kept, default=dict)

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM drafts WHERE created_at < ?", (now - KEPT_SECONDS,)
            )
            await connection.execute(
                "INSERT INTO drafts (id, tenant, person, created_at, request)"
                " VALUES (?, ?, ?, ?, ?)",
                (request_id, tenant, person, now, request),
            )
            await connection.execute(
                "DELETE FROM drafts WHERE tenant = ? AND person = ? AND id NOT IN"
                " (SELECT id FROM drafts WHERE tenant = ? AND person = ?"
                " ORDER BY created_at DESC, rowid DESC LIMIT ?)",
                (tenant, person, tenant, person, KEPT_OF_ONE_PERSON),
            )

        await self._database.write("refused_request", work)
        return request_id

    async def get(self, tenant: str, person: str, request_id: str) -> RefusedRequest:
        """Return a refused request of a person.

        Raises:
            NotFound: `request.gone`: unknown, foreign, expired or damaged.
        """
        rows = await self._database.read(
            "SELECT request FROM drafts WHERE id = ? AND tenant = ? AND person = ?"
            " AND created_at >= ?",
            (request_id, tenant, person, self._clock.now() - KEPT_SECONDS),
        )
        try:
            [row] = rows
            return _REFUSED_REQUEST.validate_python(json.loads(row["request"]))
        except (ValueError, TypeError, RecursionError) as error:
            raise NotFound("request.gone") from error

    async def forget(self, tenant: str, person: str) -> None:
        """Delete the refused requests of a person."""
        await self._database.execute(
            "forget_refused_requests",
            "DELETE FROM drafts WHERE tenant = ? AND person = ?",
            (tenant, person),
        )
