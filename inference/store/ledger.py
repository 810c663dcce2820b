"""Ledger of GPU time for quotas.

A job is charged in the transaction that ends it: with the measured time when its clip was
delivered, with what ran until then when people cancelled it, and with nothing when we failed. Until
then its estimate is reserved by its being unfinished: whatever ends it gives the reservation back
by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import aiosqlite

from inference.domain.job import Job
from inference.domain.quota import Usage, milliseconds
from inference.store.sqlite.database import Database
from inference.store.tombstones import QUERY, key_in, secret, tombstone

DAY_SECONDS_MOST = 25 * 3600.0
"""The longest day there is: what was charged later was charged while the clock was ahead."""

REQUESTER_KEPT_SECONDS = 2 * 86_400.0
"""How long an entry still names a forgotten person: their quota of the day must hold."""

UNFINISHED = "state NOT IN ('done', 'refused', 'failed', 'cancelled', 'expired')"

SPENT = f"""
    SELECT coalesce(sum(min(milliseconds, 8640000000)), 0) AS tenant,
        coalesce(sum(min(milliseconds, 8640000000))
            FILTER (WHERE requester_id IN (:requester, :requester_hash)), 0) AS requester,
        (
            SELECT coalesce(sum(min(milliseconds, 8640000000)), 0) FROM ledger
            WHERE person IN (:person, :person_hash) AND person <> ''
                AND charged_at >= :person_since
                AND charged_at < :person_since + {DAY_SECONDS_MOST}
        ) AS person
    FROM ledger WHERE tenant = :tenant
        AND charged_at >= :since AND charged_at < :since + {DAY_SECONDS_MOST}
"""
"""Answered by the indexes ledger_by_day and ledger_by_person. No entry counts more than a hundred
days: a damaged one must not make the sum too large to be a number."""

RESERVED = f"""
    SELECT cost, tenant, requester_id, person FROM jobs INDEXED BY jobs_unfinished
    WHERE {UNFINISHED}
        AND (tenant = :tenant OR (person IN (:person, :person_hash) AND person <> ''))
"""
"""Answered by the index jobs_unfinished, which holds the queue and nothing that has ended."""


class Ledger:
    """The table `ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(
        self,
        tenant: str,
        requester_id: str,
        since: float,
        *,
        person: str = "",
        person_since: float | None = None,
    ) -> Usage:
        """Return the usage since a time (Unix seconds), and what is reserved now.

        What was used everywhere counts from `person_since` on, if that is given.
        """
        key = key_in(await self._database.read(QUERY)) or b""  # lost: nobody is found by it
        values = _values(key, tenant, requester_id, person, since) | _from(person_since)
        [spent] = await self._database.read(SPENT, values)
        return _usage(spent, await self._database.read(RESERVED, values), values)

    async def anonymise(self, now: float) -> None:
        """Take forgotten people's ids out of entries that no quota needs any more."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "UPDATE ledger SET requester_id = '', person = '', forget = 0"
                " WHERE forget = 1 AND abs(charged_at - ?) > ?",
                (now, REQUESTER_KEPT_SECONDS),
            )
            await connection.execute(
                "DELETE FROM tombstones WHERE abs(forgotten_at - ?) > ?",
                (now, REQUESTER_KEPT_SECONDS),
            )

        await self._database.write("anonymise", work)


async def usage_inside(
    connection: aiosqlite.Connection, job: Job, since: float, person_since: float | None = None
) -> Usage:
    """Return the usage of a job's tenant and requester inside a transaction; see `Ledger.usage`."""
    values = _values(await secret(connection), job.tenant, job.requester.id, job.person, since)
    values |= _from(person_since)
    [spent] = await connection.execute_fetchall(SPENT, values)
    reserved = await connection.execute_fetchall(RESERVED, values)
    return _usage(spent, reserved, values)


async def charge(
    connection: aiosqlite.Connection, job: Job, at: float, *, seconds: float | None = None
) -> None:
    """Charge a job inside the transaction that ends it.

    A job that was to be forgotten is anonymous in time too.

    Args:
        connection: In the transaction.
        job: Is charged once.
        at: Unix seconds.
        seconds: What it took; None for a delivered job, whose manifest says it.
    """
    await connection.execute(
        "INSERT INTO ledger (job, tenant, requester_id, person, milliseconds, charged_at, forget)"
        " SELECT id, tenant, requester_id, person, ?, ?, forget FROM jobs WHERE id = ?",
        (compute_charge(job) if seconds is None else milliseconds(seconds), at, job.id),
    )


def compute_charge(job: Job) -> int:
    """Return the charge of a delivered job: its measured time.

    An estimate can be driven down by many small jobs, so it is no upper bound.
    """
    measured = job.manifest.timings.get("total") if job.manifest else None
    return milliseconds(job.cost if measured is None else measured)


def _values(
    key: bytes, tenant: str, requester_id: str, person: str, since: float
) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "requester": requester_id,
        "requester_hash": tombstone(key, tenant, requester_id),
        "person": person,
        "person_hash": tombstone(key, person),
        "since": since,
        "person_since": since,
    }


def _from(person_since: float | None) -> dict[str, Any]:
    return {} if person_since is None else {"person_since": person_since}


def _usage(
    spent: aiosqlite.Row, reserved: Iterable[aiosqlite.Row], values: Mapping[str, Any]
) -> Usage:
    rows = list(reserved)
    here = [row for row in rows if row["tenant"] == values["tenant"]]
    own = [
        row
        for row in here
        if row["requester_id"] in {values["requester"], values["requester_hash"]}
    ]
    person = [
        row
        for row in rows
        if row["person"] and row["person"] in {values["person"], values["person_hash"]}
    ]
    return Usage(
        tenant_spent=spent["tenant"],
        requester_spent=spent["requester"],
        person_spent=spent["person"],
        tenant_reserved=_cost(here),
        requester_reserved=_cost(own),
        person_reserved=_cost(person),
    )


def _cost(rows: Iterable[aiosqlite.Row]) -> int:
    return sum(milliseconds(row["cost"]) for row in rows)
