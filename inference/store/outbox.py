"""Outbox in SQLite: messages to post, retried until the platform has them.

A card's row counts states (`wanted`) and what the platform shows (`shown`): only the newest state
is ever sent. A clip or notice is wanted once. What a message says is not stored here: it is made
from the job when it is sent.

Due times ignore jumps of the wall clock: they are `SteadyTime`, and 0 for "now".
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import aiosqlite

from inference.clock import Clock, SteadyTime
from inference.domain.events import EventBus, JobEvent
from inference.domain.job import Job, JobState
from inference.domain.outbox import Act, ActKind, Route
from inference.store.codec.quarantine import decode_job, keep, set_aside_act
from inference.store.codec.rows import act_from_row, act_repairs
from inference.store.codec.validation import fits
from inference.store.ledger import charge
from inference.store.outbox_requests import request_act, request_sheet
from inference.store.sqlite.database import Database

LONGEST_WAIT_SECONDS = 360.0
"""The longest wait between two tries that is kept over a restart."""


Room = Mapping[tuple[str, ActKind], tuple[str, int, int]]
"""By platform and kind of act: the pool it is delivered in, how many more fit there now, and how
many of them at most may be of one tenant, with what is under way."""


_OPEN = """outbox AS act WHERE act.shown < act.wanted AND act.dead = 0
    AND (act.platform, act.kind) IN (
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:kinds))
    AND act.job_id NOT IN (SELECT value FROM json_each(:busy))
    AND (act.kind = 'card' OR EXISTS (
        SELECT 1 FROM outbox AS card
        WHERE card.key IN (act.job_id || ':card',
            (SELECT batch FROM jobs WHERE id = act.job_id) || ':card')
            AND (card.shown > 0 OR card.dead = 1)))"""


_FITTING = f"""
    WITH room AS (
        SELECT json_extract(value, '$[0]') AS platform, json_extract(value, '$[1]') AS kind,
            json_extract(value, '$[2]') AS pool, json_extract(value, '$[3]') AS free,
            json_extract(value, '$[4]') AS share
        FROM json_each(:room)
    ), used AS (
        SELECT job.platform AS platform, busy.value AS pool, job.tenant AS tenant, count(*) AS jobs
        FROM json_each(:pools) AS busy JOIN jobs AS job ON job.id = busy.key GROUP BY 1, 2, 3
    ), fitting AS (
        SELECT opened.*, job.tenant AS tenant, room.pool AS pool, room.free AS free,
            room.share - coalesce(used.jobs, 0) AS left
        FROM (SELECT act.rowid AS number, act.* FROM {_OPEN}) AS opened
        JOIN room ON room.platform = opened.platform AND room.kind = opened.kind
        LEFT JOIN jobs AS job ON job.id = opened.job_id
        LEFT JOIN used ON used.platform = opened.platform AND used.pool = room.pool
            AND used.tenant = job.tenant
        WHERE room.share > coalesce(used.jobs, 0)
    )
"""
"""What is open and has room, in its pool and among what is its tenant's."""

_DUE_BY_POOL = f"""
    {_FITTING}, of_job AS (
        SELECT *, row_number() OVER (
            PARTITION BY job_id ORDER BY kind <> 'card', number) AS place
        FROM fitting WHERE next_at <= :now
    ), of_tenant AS (
        SELECT *, row_number() OVER (
            PARTITION BY platform, pool, tenant ORDER BY kind <> 'card', number) AS mine
        FROM of_job WHERE place = 1
    ), of_pool AS (
        SELECT number, free, row_number() OVER (
            PARTITION BY platform, pool ORDER BY kind <> 'card', number) AS turn
        FROM of_tenant WHERE mine <= left
    )
    SELECT * FROM outbox WHERE rowid IN (SELECT number FROM of_pool WHERE turn <= free)
    ORDER BY kind <> 'card', rowid
"""

_NEXT_BY_POOL = f"{_FITTING} SELECT min(next_at) AS at FROM fitting"


def _selection(kinds: Iterable[tuple[str, ActKind]], busy: Iterable[str]) -> dict[str, Any]:
    return {"kinds": json.dumps(list(kinds)), "busy": json.dumps(list(busy))}


def _fitting(room: Room, busy: Mapping[str, str]) -> dict[str, Any]:
    places = [(*place, *pool) for place, pool in room.items()]
    pools = {"room": json.dumps(places), "pools": json.dumps(dict(busy))}
    return {**_selection(room, busy), **pools}


class OutboxStore:
    """The table `outbox`; the posting itself is done by the delivery."""

    def __init__(self, database: Database, clock: Clock, events: EventBus) -> None:
        self._database = database
        self._clock = clock
        self._steady = SteadyTime(clock)
        self._events = events

    def now(self) -> float:
        """Return the steady time that due times refer to."""
        return self._steady.now()

    async def restart(self) -> None:
        """Limit the waits that an earlier process wrote; its clock may have differed."""
        latest = self.now() + LONGEST_WAIT_SECONDS
        await self._database.execute(
            "restart_outbox",
            "UPDATE outbox SET next_at = ?1 WHERE next_at > ?1 AND shown < wanted AND dead = 0",
            (latest,),
        )

    async def list_due(
        self, platforms: Iterable[str], *, busy: Iterable[str], limit: int
    ) -> list[Act]:
        """Return due acts, cards first, oldest first.

        A clip or notice waits until its job's card was posted: its thread hangs on that card.

        Args:
            platforms: Only theirs; the others' acts keep.
            busy: Jobs already being worked on.
            limit: At most so many.
        """
        kinds = itertools.product(platforms, ActKind)
        rows = await self._database.read(
            f"SELECT act.* FROM {_OPEN} AND act.next_at <= :now"
            " ORDER BY act.kind <> 'card', act.rowid LIMIT :limit",
            {**_selection(kinds, busy), "now": self.now(), "limit": limit},
        )
        return await self._acts(rows)

    async def list_due_by_pool(self, room: Room, *, busy: Mapping[str, str]) -> list[Act]:
        """Return acts whose time has come, as many as each pool has room for, one of each job.

        Args:
            room: The pool, how many more jobs it takes, and how many of one tenant; see `Room`.
            busy: Jobs already being worked on, each with its pool.
        """
        rows = await self._database.read(_DUE_BY_POOL, {**_fitting(room, busy), "now": self.now()})
        return await self._acts(rows)

    async def next_by_pool(self, room: Room, *, busy: Mapping[str, str]) -> float | None:
        """Return when the next act becomes due that has room, as `now` counts, or None.

        Args:
            room: As for `list_due_by_pool`.
            busy: As for `list_due_by_pool`.
        """
        [row] = await self._database.read(_NEXT_BY_POOL, _fitting(room, busy))
        at: float | None = row["at"]
        return at

    async def get(self, job_id: str, kind: ActKind) -> Act | None:
        """Return a job's act of a kind."""
        rows = await self._database.read(
            "SELECT * FROM outbox WHERE key = ?", (f"{job_id}:{kind}",)
        )
        return next(iter(await self._acts(rows)), None)

    async def begin(self, act: Act) -> None:
        """Mark an act as `sending`, before the platform sees it."""
        await self._update(
            "begin",
            act,
            "sending = 1, trace = json_set(trace, '$.begun', :value)",
            self._clock.now(),
        )

    async def mark_unsent(self, act: Act) -> None:
        """Undo `begin`: the platform certainly has not taken the act."""
        await self._update("unsent", act, "sending = 0, trace = json_remove(trace, '$.begun')")

    async def remember(self, act: Act, trace: dict[str, Any]) -> None:
        """Store the trace of a half-done delivery."""
        begun = "json_object('begun', json_extract(trace, '$.begun'))"
        await self._update(
            "remember", act, f"trace = json_patch(:value, {begun})", json.dumps(trace)
        )

    async def mark_sent(self, act: Act, receipt: dict[str, Any]) -> Job | None:
        """Record that the platform has the act as of `act.wanted`; a clip ends its job.

        Returns:
            The job that is now done, when the act was its clip.
        """
        return await self._done(act, receipt, f"sent_{act.kind}")

    async def keep(self, act: Act, note: str) -> Job | None:
        """Give up posting a clip: its job is done, and its card says why under this note."""
        return await self._done(replace(act, route=Route.KEPT), {}, f"kept_{act.kind}", note)

    async def _done(
        self, act: Act, receipt: dict[str, Any], name: str, note: str | None = None
    ) -> Job | None:
        now = self._clock.now()

        async def work(connection: aiosqlite.Connection) -> Job | None:
            await connection.execute(
                "UPDATE outbox SET shown = max(shown, ?), sending = 0, attempts = 0,"
                " receipt = ?, route = ?, trace = json_remove(trace, '$.closed', '$.failures')"
                " WHERE key = ?",
                (act.wanted, json.dumps(receipt), act.route.value, act.key),
            )
            if act.kind is ActKind.SHEET and receipt:  # the card leads to it
                for row in await connection.execute_fetchall(
                    "SELECT * FROM jobs WHERE id = ?", (act.job_id,)
                ):
                    owner = await decode_job(connection, row, now)
                    if owner is not None:
                        await request_act(connection, owner, ActKind.CARD, now)
            if act.kind is not ActKind.CLIP:
                return None
            if note is not None:
                await connection.execute(
                    "UPDATE jobs SET notes = json_insert(notes, '$[#]', ?) WHERE id = ?",
                    (note, act.job_id),
                )
            rows = await connection.execute_fetchall(
                "UPDATE jobs SET state = ?, ended_at = ? WHERE id = ? AND state = ? RETURNING *",
                (JobState.DONE.value, now, act.job_id, JobState.DELIVERING.value),
            )
            for row in rows:
                job = await decode_job(connection, row, now)
                if job is None:
                    return None
                await charge(connection, job, now)
                await request_act(connection, job, ActKind.CARD, now)
                await request_sheet(connection, job, now)
                return job
            return None

        job = await self._database.write(name, work)
        if job is not None:
            self._events.publish(JobEvent(job_id=job.id, tenant=job.tenant, state=job.state))
        return job

    async def mark_deleted(self, act: Act) -> None:
        """Record that the message of an act was deleted, so that it is posted again."""
        await self._update("taken_back", act, "receipt = NULL, sending = 0, trace = '{}'")

    async def retry(self, act: Act, *, at: float) -> None:
        """Try again at a time, as `now` counts."""
        await self._update("retry", act, "attempts = attempts + 1, next_at = :value", at)

    async def skip(self, act: Act) -> None:
        """Skip this state of an act; a later one is tried again."""
        await self._update(
            "skip",
            act,
            "shown = max(shown, :value), sending = 0, attempts = 0,"
            " trace = json_remove(trace, '$.failures')",
            act.wanted,
        )

    async def count_failure(self, act: Act) -> int:
        """Count a try that failed unexpectedly; return how many there were on this route."""
        failures = int(act.trace.get("failures", 0)) + 1
        await self._update(
            "count_failure", act, "trace = json_set(trace, '$.failures', :value)", failures
        )
        return failures

    async def reroute(
        self,
        act: Act,
        route: Route,
        *,
        trace: dict[str, Any] | None = None,
        at: float | None = None,
    ) -> None:
        """Try another route, or the same one again, with a new trace.

        Args:
            act: What is tried.
            route: The route.
            trace: Stored in place of the old one.
            at: When, as `now` counts; at once without it.
        """
        await self._update(
            "reroute",
            act,
            "route = json_extract(:value, '$.route'), attempts = 0,"
            " sending = sending AND route = json_extract(:value, '$.route'),"
            " trace = json_extract(:value, '$.trace'),"
            " next_at = coalesce(json_extract(:value, '$.at'), 0)",
            json.dumps({"route": route.value, "trace": trace or {}, "at": at}),
        )

    async def drop(self, act: Act) -> None:
        """Drop an act for good."""
        await self._update("drop", act, "dead = 1, sending = 0")

    async def _acts(self, rows: Iterable[sqlite3.Row]) -> list[Act]:
        """Return the acts of some rows; damaged ones are set aside, repaired, and due again."""
        acts = []
        for row in rows:
            if act_repairs(row):
                await self._repair(row["key"])
                continue
            act = act_from_row(row)
            if fits(Act, act):
                acts.append(act)
            else:
                await self.drop(act)
        return acts

    async def _repair(self, key: str) -> None:
        async def work(connection: aiosqlite.Connection) -> None:
            rows = await connection.execute_fetchall("SELECT * FROM outbox WHERE key = ?", (key,))
            for row in rows:
                if repairs := act_repairs(row):
                    await set_aside_act(connection, row, repairs, self._clock.now())

        await self._database.write("quarantine", work)

    async def recover(self) -> None:
        """Repair or remove open rows that cannot be read.

        Junk in a time or a count would keep a row from ever being due.
        """
        rows = await self._database.read("SELECT * FROM outbox WHERE shown < wanted AND dead = 0")
        await self._acts(rows)

        async def work(connection: aiosqlite.Connection) -> None:
            orphans = await connection.execute_fetchall(
                "SELECT * FROM outbox WHERE job_id NOT IN (SELECT id FROM jobs)"
            )
            for row in orphans:
                await keep(connection, "outbox", row["key"], "job_id", row, self._clock.now())
            await connection.execute("DELETE FROM outbox WHERE job_id NOT IN (SELECT id FROM jobs)")

        await self._database.write("orphans", work)

    async def _update(self, name: str, act: Act, assignment: str, value: Any = None) -> None:
        await self._database.execute(
            f"{name}_{act.kind}",
            f"UPDATE outbox SET {assignment} WHERE key = :key",
            {"key": act.key, "value": value},
        )
