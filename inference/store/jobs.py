"""The store of jobs: acceptance, removal, erasure and switches, beside reads and transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import aiosqlite

from inference.domain.events import JobEvent
from inference.domain.job import Job, JobState
from inference.domain.limits import Counts
from inference.domain.outbox import ActKind
from inference.store.codec.quarantine import decode_job
from inference.store.codec.rows import row_from_job
from inference.store.erasure import Erased, erase, settle_removals
from inference.store.ledger import usage_inside
from inference.store.outbox_requests import request_act
from inference.store.queue import count_waiting
from inference.store.transitions import JobTransitions


class JobStore(JobTransitions):
    """The table `jobs`, with shares and counters in the same transactions."""

    async def accept_all(
        self,
        jobs: Sequence[Job],
        admit: Callable[[Job, Counts], None],
        *,
        since: float | None = None,
        person_since: float | None = None,
    ) -> list[Job]:
        """Persist new jobs, all or none; from here on they cannot be lost.

        Args:
            jobs: Of one order, in state `accepted`; the first has the order's key.
            admit: Sees for each job how much is waiting, those before it included, inside the
                transaction, and raises to refuse all.
            since: Also count the GPU time that was charged from then on, Unix seconds.
            person_since: The same for what the person used everywhere, if that differs.

        Returns:
            The jobs, or those that an order with the same key made before.

        Raises:
            UserError: What `admit` raised; nothing was stored.
        """

        async def work(connection: aiosqlite.Connection) -> list[Job]:
            if jobs[0].key is not None:
                made = await self._with_key(connection, jobs[0].key)
                if made:
                    return made
                await connection.execute("UPDATE jobs SET key = NULL WHERE key = ?", (jobs[0].key,))
            for job in jobs:
                counts = await count_waiting(connection, job)
                if since is not None:
                    counts = replace(
                        counts, usage=await usage_inside(connection, job, since, person_since)
                    )
                admit(job, counts)
                values = row_from_job(job)
                columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
                await connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({marks})", values)
            await request_act(connection, jobs[0], ActKind.CARD, self._clock.now())
            return list(jobs)

        accepted = await self._database.write("accept", work)
        for job in accepted:
            self._published(job)
        return accepted

    async def _with_key(self, connection: aiosqlite.Connection, key: str) -> list[Job]:
        """Return the readable jobs of the order with an idempotency key, the first one first."""
        rows = await connection.execute_fetchall(
            "SELECT * FROM jobs WHERE key = ?1"
            " OR batch = (SELECT batch FROM jobs WHERE key = ?1) ORDER BY number",
            (key,),
        )
        found = [await decode_job(connection, row, self._clock.now()) for row in rows]
        return [job for job in found if job is not None]

    async def release_key(self, job_id: str) -> None:
        """Take its idempotency key from a job that was removed."""
        await self._database.execute(
            "release_key",
            "UPDATE jobs SET key = NULL WHERE id = ? AND removed_at IS NOT NULL",
            (job_id,),
        )

    async def withdraw(self, key: str) -> list[Job]:
        """Undo the acceptance under an idempotency key.

        Returns:
            The jobs as they were, without those where nothing is to be undone any more. One that
            is running is marked to be stopped and deleted.
        """

        async def work(connection: aiosqlite.Connection) -> list[Job]:
            found = await self._with_key(connection, key)
            return [job for job in found if await undo(connection, job)]

        async def undo(connection: aiosqlite.Connection, job: Job) -> bool:
            if job.state is JobState.DONE:
                return False
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
            return True

        return await self._database.write("withdraw", work)

    async def remove(self, job_id: str) -> Job | None:
        """Mark a done job as removed, and request the deletion of its message."""
        return await self._note(
            "remove",
            job_id,
            "removed_at = :now",
            "state = 'done' AND removed_at IS NULL",
            (ActKind.CARD, ActKind.REMOVAL),
        )

    async def hide(self, job_id: str) -> Job | None:
        """Mark a job that made nothing, or is being stopped, as removed; None for any other."""

        async def work(connection: aiosqlite.Connection) -> Job | None:
            now = self._clock.now()
            rows = await connection.execute_fetchall(
                "UPDATE jobs SET removed_at = coalesce(removed_at, ?) WHERE id = ? AND"
                " state != 'done' AND (ended_at IS NOT NULL OR cancel_requested_at IS NOT NULL)"
                " RETURNING *",
                (now, job_id),
            )
            for row in rows:
                job = await decode_job(connection, row, now)
                if job is not None:
                    await request_act(connection, job, ActKind.CARD, now)
                    # What is being stopped may still write files.
                    await connection.execute(
                        "INSERT OR REPLACE INTO removals (job, at) VALUES (?, ?)", (job_id, now)
                    )
                return job
            return None

        return self._published(await self._database.write("hide", work))

    async def forget(self, tenant: str, requester_id: str) -> Erased:
        """Erase a person's jobs; see `erase`."""
        erased = await self._database.write(
            "forget", lambda connection: erase(connection, tenant, requester_id, self._clock.now())
        )
        for job_id in erased.unfinished:
            self._events.publish(JobEvent(job_id=job_id, tenant=tenant, state=JobState.CANCELLED))
        return erased

    async def purge(self) -> None:
        """Remove erased text from the database files."""
        await self._database.purge("words")

    async def settle_removals(self, job_ids: Iterable[str]) -> None:
        """Record that the files of erased jobs are deleted."""
        settled = list(job_ids)
        await self._database.write(
            "settle_removals", lambda connection: settle_removals(connection, settled)
        )

    async def delete(self, job_id: str) -> None:
        """Delete a job with its outbox rows."""
        await self._database.execute("delete", "DELETE FROM jobs WHERE id = ?", (job_id,))

    async def switch(self, name: str, *, on: bool) -> None:
        """Set an operator switch, `paused` or `draining`; it survives a restart."""
        await self._database.execute(
            name, "UPDATE counters SET value = ? WHERE name = ?", (float(on), name)
        )

    async def note_time(self, at: float) -> None:
        """Store a trusted wall time; see `last_seen`."""
        await self._database.execute(
            "note_time",
            "INSERT OR REPLACE INTO counters (name, value) VALUES ('seen_at', ?)",
            (at,),
        )
