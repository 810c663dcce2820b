"""Transitions of a job in SQLite: one function each, guarded by the state it expects.

A transition returns the changed job, or None when the job was no longer in the expected state:
another transition came first, and the caller does nothing more. Every transition also writes the
outbox rows of the messages that it requires, in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import aiosqlite

from inference.clock import Clock
from inference.domain.events import EventBus, JobEvent
from inference.domain.fairness import Charge
from inference.domain.job import (
    MAX_ATTEMPTS,
    MAX_LOSSES,
    TRANSITIONS,
    WAITING,
    Failure,
    Job,
    JobState,
)
from inference.domain.outbox import ActKind
from inference.domain.quota import Usage
from inference.domain.render import Manifest
from inference.domain.spec import Spec
from inference.domain.verdict import Verdict
from inference.store import ledger
from inference.store.codec.quarantine import decode_job
from inference.store.codec.rows import dump_failure, dump_manifest, dump_verdict
from inference.store.ledger import usage_inside
from inference.store.outbox_requests import announce, request_act
from inference.store.queries import JobQueries
from inference.store.queue import next_sequence, save_charge
from inference.store.sqlite.database import Database

JobOrNone = TypeVar("JobOrNone", Job, Job | None)


class JobTransitions(JobQueries):
    """Changes jobs, with shares and counters in the same transactions."""

    def __init__(self, database: Database, clock: Clock, events: EventBus) -> None:
        super().__init__(database, clock)
        self._events = events

    # -- before the queue --------------------------------------------------------------------

    async def begin_preparing(self, job_id: str) -> Job | None:
        """Accepted -> preparing."""
        return await self._move("prepare", job_id, {JobState.ACCEPTED}, JobState.PREPARING)

    async def keep_refinement(self, job: Job) -> Job | None:
        """Store the refined prompt, so that a restart does not refine it again."""
        words = {name: getattr(job.spec, name) for name in ("prompt", "original", "refine")}
        return await self._note(
            "refine",
            job.id,
            "spec = json_patch(spec, :spec), origins = :origins, notes = :notes",
            "state = 'preparing'",
            spec=json.dumps(words),
            origins=json.dumps(job.origins),
            notes=json.dumps(job.notes),
        )

    async def review(self, job: Job) -> Job | None:
        """Preparing -> review, with the prepared spec, image and verdict."""

        async def changes(_: aiosqlite.Connection, __: Job) -> dict[str, Any]:
            return {"spec": json.dumps(job.spec.as_dict()), "verdict": dump_verdict(job.verdict)}

        return await self._move("review", job.id, {JobState.PREPARING}, JobState.REVIEW, changes)

    async def agree(self, job_id: str, *, own_words: bool) -> Job | None:
        """Review -> queued, with the refined prompt or with the requester's own."""

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any]:
            agreed = job.in_own_words() if own_words else job
            return {
                "spec": json.dumps(agreed.spec.as_dict()),
                "origins": json.dumps(agreed.origins),
                "sequence": await next_sequence(connection),
                "queued_at": self._clock.now(),
            }

        return await self._move("agree", job_id, {JobState.REVIEW}, JobState.QUEUED, changes)

    async def enqueue(self, job_id: str, *, spec: Spec, verdict: Verdict) -> Job | None:
        """Preparing -> queued, with the prepared spec, image and sequence number.

        Args:
            job_id: The job.
            spec: As it will be rendered.
            verdict: What the checks said of words and image.
        """

        async def changes(connection: aiosqlite.Connection, _: Job) -> dict[str, Any]:
            return {
                "spec": json.dumps(spec.as_dict()),
                "verdict": dump_verdict(verdict),
                "sequence": await next_sequence(connection),
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

    async def claim(self, job_id: str, charge: Charge, slot: str | None = None) -> Job | None:
        """Queued -> running, charging the tenant's share. The attempt counts from here."""

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any]:
            await save_charge(connection, charge)
            return {"attempt": job.attempt + 1, "started_at": self._clock.now(), "slot": slot}

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

    async def finish(
        self, job_id: str, manifest: Manifest, charge: Charge, device: str | None = None
    ) -> Job | None:
        """Running -> finishing: the file is complete. None when a cancel came first.

        Args:
            job_id: The job.
            manifest: Of the file.
            charge: Corrects that of the claim.
            device: What kind of device made it.
        """

        async def changes(connection: aiosqlite.Connection, job: Job) -> dict[str, Any] | None:
            if job.cancel_requested_at is not None:
                return None
            await save_charge(connection, charge)
            return {"manifest": dump_manifest(manifest), "device": device}

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
        return await self._note(
            "request_cancel",
            job_id,
            "cancel_requested_at = coalesce(cancel_requested_at, :now)",
            "state = 'running'",
            (ActKind.CARD,),
        )

    async def cancel(
        self,
        job_id: str,
        *,
        removed: bool = False,
        running: bool = False,
        charge: Charge | None = None,
        seconds: float = 0.0,
    ) -> Job | None:
        """Waiting -> cancelled; or running -> cancelled once the worker has stopped.

        Args:
            job_id: The job.
            removed: Whether it is deleted with that, so that nobody finds it cancelled; it waits.
            running: Whether it is on the GPU; then it is only cancelled if somebody asked for it.
            charge: Corrects the charge of its claim.
            seconds: GPU time that ran, which counts towards quotas.
        """
        if not running:
            return await self._end("cancel", job_id, WAITING, JobState.CANCELLED, removed=removed)

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
        removed: bool = False,
    ) -> Job | None:
        async def changes(connection: aiosqlite.Connection, _: Job) -> dict[str, Any]:
            if charge is not None:
                await save_charge(connection, charge)
            now = self._clock.now()
            gone = {"removed_at": now} if removed else {}
            return {"ended_at": now, "failure": dump_failure(failure), **gone}

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

    async def _note(
        self,
        name: str,
        job_id: str,
        assignments: str,
        condition: str,
        acts: Iterable[ActKind] = (),
        **values: object,
    ) -> Job | None:
        """Change columns of a job that meets a condition, without a change of its state."""
        now = self._clock.now()

        async def work(connection: aiosqlite.Connection) -> Job | None:
            rows = await connection.execute_fetchall(
                f"UPDATE jobs SET {assignments} WHERE id = :id AND {condition} RETURNING *",
                {"id": job_id, "now": now, **values},
            )
            for row in rows:
                job = await decode_job(connection, row, now)
                if job is not None:
                    for kind in acts:
                        await request_act(connection, job, kind, now)
                return job
            return None

        job = await self._database.write(name, work)
        return self._published(job) if acts else job

    def _set_aside(self, job: Job) -> None:
        self._published(job)

    def _published(self, job: JobOrNone) -> JobOrNone:
        if job is not None:
            self._events.publish(JobEvent(job_id=job.id, tenant=job.tenant, state=job.state))
        return job
