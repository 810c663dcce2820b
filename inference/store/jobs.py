"""Jobs in SQLite: one function per transition, each guarded by the state it expects.

A transition returns the changed job, or None when the job was no longer in the expected state:
somebody else was first, and the caller drops the matter. Every transition also says in the outbox,
in the same transaction, what people must now be shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import aiosqlite

from inference.clock import Clock
from inference.domain.events import EventBus, JobEvent
from inference.domain.job import (
    MAX_ATTEMPTS,
    MAX_LOSSES,
    TRANSITIONS,
    WAITING,
    Failure,
    Job,
    JobState,
)
from inference.domain.limits import Counts
from inference.domain.outbox import ActKind
from inference.domain.quota import Usage
from inference.domain.render import Manifest
from inference.domain.scheduler import Charge
from inference.domain.spec import Spec
from inference.domain.verdict import Verdict
from inference.store import ledger
from inference.store.announcement import announce, request_act
from inference.store.erasure import Erased, erase, settle_removals
from inference.store.ledger import usage_inside
from inference.store.quarantine import decode_job
from inference.store.queries import JobQueries
from inference.store.queue import count_waiting, next_place, save_charge
from inference.store.rows import (
    dump_failure,
    dump_manifest,
    dump_verdict,
    row_from_job,
)
from inference.store.sqlite.database import Database

JobOrNone = TypeVar("JobOrNone", Job, Job | None)


class JobStore(JobQueries):
    """The table `jobs`, with shares and counters in the same transactions."""

    def __init__(self, database: Database, clock: Clock, events: EventBus) -> None:
        super().__init__(database, clock)
        self._events = events

    # -- coming in ---------------------------------------------------------------------------

    async def accept(
        self,
        job: Job,
        admit: Callable[[Counts], None],
        *,
        since: float | None = None,
        person_since: float | None = None,
    ) -> Job:
        """Persist a new job; from here on it cannot be lost. Return it, or the one with its key.

        Args:
            job: In state `accepted`.
            admit: Sees how much is waiting, inside the transaction, and raises to refuse.
            since: Also count the GPU time that was charged from then on, Unix seconds.
            person_since: The same for what the person used everywhere, if that differs.

        Raises:
            UserError: What `admit` raised; nothing was stored.
        """

        async def work(connection: aiosqlite.Connection) -> Job:
            if job.key is not None:
                rows = await connection.execute_fetchall(
                    "SELECT * FROM jobs WHERE key = ?", (job.key,)
                )
                for row in rows:
                    job_with_key = await decode_job(connection, row, self._clock.now())
                    if job_with_key is not None:
                        return job_with_key
                    await connection.execute("UPDATE jobs SET key = NULL WHERE key = ?", (job.key,))
            counts = await count_waiting(connection, job)
            if since is not None:
                counts = replace(
                    counts, usage=await usage_inside(connection, job, since, person_since)
                )
            admit(counts)
            values = row_from_job(job)
            columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
            await connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({marks})", values)
            await request_act(connection, job, ActKind.CARD, self._clock.now())
            return job

        return self._published(await self._database.write("accept", work))

    async def by_key(self, key: str) -> Job | None:
        """Return the job with an idempotency key."""
        rows = await self._database.read("SELECT * FROM jobs WHERE key = ?", (key,))
        return next(iter(await self._decoded(rows)), None)

    async def begin_preparing(self, job_id: str) -> Job | None:
        """Accepted -> preparing."""
        return await self._move("prepare", job_id, {JobState.ACCEPTED}, JobState.PREPARING)

    async def keep_refinement(self, job: Job) -> Job | None:
        """Store the refined prompt, so that a restart does not refine it again."""
        words = {name: getattr(job.spec, name) for name in ("prompt", "original", "refine")}

        async def work(connection: aiosqlite.Connection) -> Job | None:
            rows = await connection.execute_fetchall(
                "UPDATE jobs SET spec = json_patch(spec, ?), origins = ?, notes = ?"
                " WHERE id = ? AND state = 'preparing' RETURNING *",
                (json.dumps(words), json.dumps(job.origins), json.dumps(job.notes), job.id),
            )
            for row in rows:
                return await decode_job(connection, row, self._clock.now())
            return None

        return await self._database.write("refine", work)

    async def review(self, job: Job) -> Job | None:
        """Preparing -> review, with the prepared spec, image and verdict."""

        async def changes(_: aiosqlite.Connection, __: Job) -> dict[str, Any]:
            return {
                "spec": json.dumps(job.spec.as_dict()),
                "image": job.image,
                "verdict": dump_verdict(job.verdict),
            }

        return await self._move("review", job.id, {JobState.PREPARING}, JobState.REVIEW, changes)

    async def agree(self, job_id: str, *, own_words: bool) -> Job | None:
        """Review -> queued, with the refined prompt or with the requester's own."""

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any]:
            agreed = job.in_own_words() if own_words else job
            return {
                "spec": json.dumps(agreed.spec.as_dict()),
                "origins": json.dumps(agreed.origins),
                "sequence": await next_place(connection),
                "queued_at": self._clock.now(),
            }

        return await self._move("agree", job_id, {JobState.REVIEW}, JobState.QUEUED, changes)

    async def enqueue(
        self, job_id: str, *, spec: Spec, image: str | None, verdict: Verdict
    ) -> Job | None:
        """Preparing -> queued, with the prepared spec, image and sequence number.

        Args:
            job_id: The job.
            spec: As it will be rendered.
            image: Artifact name of the prepared reference image.
            verdict: What the checks said of words and image.
        """

        async def changes(connection: aiosqlite.Connection, _: Job) -> dict[str, Any]:
            return {
                "spec": json.dumps(spec.as_dict()),
                "image": image,
                "verdict": dump_verdict(verdict),
                "sequence": await next_place(connection),
                "queued_at": self._clock.now(),
            }

        return await self._move("enqueue", job_id, {JobState.PREPARING}, JobState.QUEUED, changes)

    async def revise(
        self,
        job_id: str,
        *,
        spec: Spec,
        origins: dict[str, str],
        cost: float,
        admit: Callable[[Usage], None],
        since: float | None,
        person_since: float | None = None,
    ) -> Job | None:
        """Review or queued -> preparing, to be rendered from another spec.

        Args:
            job_id: The job.
            spec: What is wanted now.
            origins: Where its values came from.
            cost: Its estimate.
            admit: Sees the usage without this job, inside the transaction, and raises to refuse.
            since: From when on to count the GPU time that was charged; None for no quota.
            person_since: The same for what the person used everywhere, if that differs.

        Raises:
            UserError: What `admit` raised; the job is as it was.
        """

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any]:
            if since is not None:
                used = await usage_inside(connection, job, since, person_since)
                admit(used.without(job.cost))
            return {
                "spec": json.dumps(spec.as_dict()),
                "origins": json.dumps(origins),
                "cost": cost,
                "notes": "[]",
            }

        states = {JobState.REVIEW, JobState.QUEUED}
        return await self._move("revise", job_id, states, JobState.PREPARING, changes)

    # -- on the GPU --------------------------------------------------------------------------

    async def claim(self, job_id: str, charge: Charge) -> Job | None:
        """Queued -> running, charging the tenant's share. The attempt counts from here."""

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any]:
            await save_charge(connection, charge)
            return {"attempt": job.attempt + 1, "started_at": self._clock.now()}

        return await self._move("claim", job_id, {JobState.QUEUED}, JobState.RUNNING, changes)

    async def requeue(self, job_id: str, charge: Charge, *, lost: bool) -> Job | None:
        """Running or finishing -> queued, at its old place; None when it may not go again.

        Args:
            job_id: The job.
            charge: Gives back what the claim charged.
            lost: Whether its worker was lost with it, which may happen `MAX_LOSSES` - 1 times.
        """

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any] | None:
            losses = job.losses + lost
            if (
                losses >= MAX_LOSSES
                or job.attempt >= MAX_ATTEMPTS
                or job.cancel_requested_at is not None
            ):
                return None
            await save_charge(connection, charge)
            return {"manifest": None, "losses": losses}

        states = {JobState.RUNNING, JobState.FINISHING}
        return await self._move("requeue", job_id, states, JobState.QUEUED, changes)

    async def unclaim(self, job_id: str, charge: Charge) -> Job | None:
        """Running -> queued, as if it had not been claimed; None when a cancel came first.

        Args:
            job_id: The job, which no worker has seen.
            charge: Gives back what the claim charged.
        """

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any] | None:
            if job.cancel_requested_at is not None:
                return None
            await save_charge(connection, charge)
            return {"attempt": job.attempt - 1}

        return await self._move("unclaim", job_id, {JobState.RUNNING}, JobState.QUEUED, changes)

    async def finish(self, job_id: str, manifest: Manifest, charge: Charge) -> Job | None:
        """Running -> finishing: the file is complete. None when a cancel came first."""

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any] | None:
            if job.cancel_requested_at is not None:
                return None
            await save_charge(connection, charge)
            return {"manifest": dump_manifest(manifest)}

        return await self._move("finish", job_id, {JobState.RUNNING}, JobState.FINISHING, changes)

    async def deliver(self, job_id: str, verdict: Verdict) -> Job | None:
        """Finishing -> delivering, with the verdict; the outbox takes over."""

        async def changes(_: aiosqlite.Connection, __: Job) -> dict[str, Any]:
            return {"verdict": dump_verdict(verdict)}

        states = {JobState.FINISHING}
        return await self._move("deliver", job_id, states, JobState.DELIVERING, changes)

    # -- ends --------------------------------------------------------------------------------

    async def request_cancel(self, job_id: str) -> Job | None:
        """Record a cancel request on a running job; its card says so."""

        async def work(connection: aiosqlite.Connection) -> Job | None:
            rows = list(
                await connection.execute_fetchall(
                    "UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, ?)"
                    " WHERE id = ? AND state = 'running' RETURNING *",
                    (self._clock.now(), job_id),
                )
            )
            if not rows:
                return None
            job = await decode_job(connection, rows[0], self._clock.now())
            if job is None:
                return None
            await request_act(connection, job, ActKind.CARD, self._clock.now())
            return job

        return self._published(await self._database.write("request_cancel", work))

    async def cancel(
        self,
        job_id: str,
        *,
        running: bool = False,
        charge: Charge | None = None,
        seconds: float = 0.0,
    ) -> Job | None:
        """Waiting -> cancelled; or running -> cancelled once the worker has stopped.

        Args:
            job_id: The job.
            running: Whether it is on the GPU; then it is only cancelled if somebody asked for it.
            charge: Corrects the charge of its claim.
            seconds: GPU time that ran, which counts towards quotas.
        """
        if not running:
            return await self._end("cancel", job_id, WAITING, JobState.CANCELLED)

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any] | None:
            if job.cancel_requested_at is None:
                return None
            if charge is not None:
                await save_charge(connection, charge)
            if seconds > 0:
                await ledger.charge(connection, job, self._clock.now(), seconds=seconds)
            return {"ended_at": self._clock.now()}

        states = {JobState.RUNNING}
        return await self._move("cancelled", job_id, states, JobState.CANCELLED, changes)

    async def fail(
        self, job_id: str, failure: Failure, *, charge: Charge | None = None
    ) -> Job | None:
        """Any unfinished state that may fail -> failed. `charge` corrects that of its claim."""
        states = {state for state, next_ in TRANSITIONS.items() if JobState.FAILED in next_}
        return await self._end(
            "fail", job_id, states, JobState.FAILED, failure=failure, charge=charge
        )

    async def refuse(self, job_id: str, failure: Failure) -> Job | None:
        """Preparing or finishing -> refused, for the image, prompt, result or policy."""
        states = {JobState.PREPARING, JobState.FINISHING}
        return await self._end("refuse", job_id, states, JobState.REFUSED, failure=failure)

    async def expire(self, job_id: str, failure: Failure) -> Job | None:
        """Waiting or running -> expired."""
        states = WAITING | {JobState.RUNNING}
        return await self._end("expire", job_id, states, JobState.EXPIRED, failure=failure)

    async def remove(self, job_id: str) -> Job | None:
        """Mark a done job as removed, and request the deletion of its message."""

        async def work(connection: aiosqlite.Connection) -> Job | None:
            rows = list(
                await connection.execute_fetchall(
                    "UPDATE jobs SET removed_at = ?"
                    " WHERE id = ? AND state = 'done' AND removed_at IS NULL RETURNING *",
                    (self._clock.now(), job_id),
                )
            )
            if not rows:
                return None
            job = await decode_job(connection, rows[0], self._clock.now())
            if job is None:
                return None
            await request_act(connection, job, ActKind.CARD, self._clock.now())
            await request_act(connection, job, ActKind.REMOVAL, self._clock.now())
            return job

        return self._published(await self._database.write("remove", work))

    # -- forgetting --------------------------------------------------------------------------

    async def forget(self, tenant: str, requester_id: str) -> Erased:
        """Erase a person's jobs; see `erase`."""

        async def work(connection: aiosqlite.Connection) -> Erased:
            return await erase(connection, tenant, requester_id, self._clock.now())

        erased = await self._database.write("forget", work)
        for job_id in erased.unfinished:
            self._events.publish(JobEvent(job_id=job_id, tenant=tenant, state=JobState.CANCELLED))
        return erased

    async def purge(self) -> None:
        """Remove erased text from the database files."""
        await self._database.purge("words")

    async def settle_removals(self, job_ids: Iterable[str]) -> None:
        """Record that the files of erased jobs are deleted."""
        settled = list(job_ids)

        async def work(connection: aiosqlite.Connection) -> None:
            await settle_removals(connection, settled)

        await self._database.write("settle_removals", work)

    async def delete(self, job_id: str) -> None:
        """Delete a job with its outbox rows."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

        await self._database.write("delete", work)

    async def withdraw(self, key: str) -> Job | None:
        """Undo the acceptance under an idempotency key.

        Returns:
            The job as it was, or None where there is none, or nothing to undo any more. One that
            is running is marked to be stopped and deleted.
        """

        async def work(connection: aiosqlite.Connection) -> Job | None:
            rows = list(
                await connection.execute_fetchall("SELECT * FROM jobs WHERE key = ?", (key,))
            )
            job = await decode_job(connection, rows[0], self._clock.now()) if rows else None
            if job is None or job.state is JobState.DONE:
                return None
            if job.state is JobState.RUNNING:
                await connection.execute(
                    "UPDATE jobs SET forget = 1,"
                    " cancel_requested_at = coalesce(cancel_requested_at, ?) WHERE id = ?",
                    (self._clock.now(), job.id),
                )
                for kind in (ActKind.CLIP, ActKind.NOTICE):  # so that they are not wanted later
                    await request_act(connection, job, kind, self._clock.now())
                await connection.execute("UPDATE outbox SET dead = 1 WHERE job_id = ?", (job.id,))
            else:
                await connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
            return job

        return await self._database.write("withdraw", work)

    async def switch(self, name: str, *, on: bool) -> None:
        """Set an operator switch, `paused` or `draining`; it survives a restart."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "UPDATE counters SET value = ? WHERE name = ?", (float(on), name)
            )

        await self._database.write(name, work)

    async def note_time(self, at: float) -> None:
        """Store a trusted wall time; see `last_seen`."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR REPLACE INTO counters (name, value) VALUES ('seen_at', ?)", (at,)
            )

        await self._database.write("note_time", work)

    # -- how ---------------------------------------------------------------------------------

    async def _end(
        self,
        name: str,
        job_id: str,
        expected: Iterable[JobState],
        to: JobState,
        *,
        failure: Failure | None = None,
        charge: Charge | None = None,
    ) -> Job | None:
        async def changes(connection: aiosqlite.Connection, _: Job) -> dict[str, Any]:
            if charge is not None:
                await save_charge(connection, charge)
            return {"ended_at": self._clock.now(), "failure": dump_failure(failure)}

        return await self._move(name, job_id, expected, to, changes)

    async def _move(
        self,
        name: str,
        job_id: str,
        expected: Iterable[JobState],
        to: JobState,
        changes: Any = None,
    ) -> Job | None:
        """Change the state if it is one of `expected`, with the columns `changes` names."""
        states = [state for state in expected if to in TRANSITIONS[state]]

        async def work(connection: aiosqlite.Connection) -> Job | None:
            marks = ", ".join("?" * len(states))
            rows = list(
                await connection.execute_fetchall(
                    f"SELECT * FROM jobs WHERE id = ? AND state IN ({marks})",
                    (job_id, *(state.value for state in states)),
                )
            )
            if not rows:
                return None
            before = await decode_job(connection, rows[0], self._clock.now())
            if before is None:
                return None
            columns = {} if changes is None else await changes(connection, before)
            if columns is None:
                return None
            assignments = ", ".join(f"{column} = ?" for column in ("state", *columns))
            [row] = await connection.execute_fetchall(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND state = ? RETURNING *",
                (to.value, *columns.values(), job_id, before.state.value),
            )
            job = await decode_job(connection, row, self._clock.now())
            if job is None:
                return None
            await announce(connection, job, self._clock.now())
            return job

        return self._published(await self._database.write(name, work))

    def _set_aside(self, job: Job) -> None:
        self._published(job)

    def _published(self, job: JobOrNone) -> JobOrNone:
        if job is not None:
            self._events.publish(JobEvent(job_id=job.id, tenant=job.tenant, state=job.state))
        return job
