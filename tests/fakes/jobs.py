"""The job service in memory: the same promises, no GPU and no disk."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from inference.domain.errors import AssistantError, NotFound, UserError
from inference.domain.events import EventBus, JobEvent
from inference.domain.job import ENDED, Job, JobState, Order
from inference.domain.quota import Quota, Usage, admit_cost, milliseconds
from inference.domain.render import Progress
from inference.domain.spec import Mode, Spec
from inference.domain.verdict import Outcome
from inference.jobs.estimates.progress import Outlook
from inference.jobs.forecast import QueuePosition
from inference.jobs.service import CancelOutcome

SECONDS_EACH = 40.0
"""Between two places in line; what 97 frames at 360p cost."""


class FakeJobs:
    """Jobs wait until a test moves them with `put`."""

    def __init__(self, *, limit: int = 5, now: float = 1_000_000.0) -> None:
        self.limit = limit
        self.now = now
        self.paused = False
        self.draining = False
        self.without_worker = False
        self.orders: list[Order] = []
        self.refined: str | None = None
        """What the assistant answers; None while it is away."""
        self.refinements: list[tuple[str, Mode, str]] = []
        self.running: dict[str, tuple[Progress, float]] = {}
        self.slots: dict[str, str] = {}
        """Running job -> its slot, where there are several."""
        self.finished: dict[str, Path] = {}
        self.kept: set[str] = set()
        """Jobs that can be extended."""
        self.being_erased: set[tuple[str, str]] = set()
        """Tenant and person of erased jobs that are still being stopped."""
        self._jobs: dict[str, Job] = {}
        self._events = EventBus()
        self._waited_for = asyncio.Event()

    def put(self, job: Job) -> Job:
        self._jobs[job.id] = job
        self._events.publish(JobEvent(job_id=job.id, tenant=job.tenant, state=job.state))
        return job

    async def waited_for(self) -> None:
        """Wait until somebody waits for a job."""
        await self._waited_for.wait()

    async def wait_past(
        self, jobs: Iterable[Job], states: Collection[JobState], *, seconds: float
    ) -> list[Job]:
        tenants = {job.id: job.tenant for job in jobs}

        async def read(job_id: str) -> Job:
            job = await self.get(job_id, tenant=tenants[job_id])
            if job.state in states:
                self._waited_for.set()
            return job

        return await self._events.wait_past(tenants, states, read=read, seconds=seconds)

    async def submit(self, order: Order) -> Job:
        if self.draining:
            raise UserError("queue.draining")
        for job in self._jobs.values():
            if order.key is not None and job.key == order.key:
                return job
        count = len(await self.waiting(order.tenant))
        if count >= self.limit:
            raise UserError("queue.full_tenant", limit=self.limit, count=count)
        if order.quota is not None:
            usage = await self._usage(order.quota, order.tenant, order.requester.id, order.person)
            admit_cost(usage, order.quota, self.cost(order.spec), now=self.now)
        self.orders.append(order)
        first = self.put(
            Job(
                id=f"JOB{len(self._jobs) + 1:07}",
                state=JobState.QUEUED,
                spec=order.spec,
                origins=order.origins,
                tenant=order.tenant,
                requester=order.requester,
                platform=order.platform,
                address=order.address,
                created_at=self.now,
                cost=self.cost(order.spec),
                key=order.key,
                parent=order.parent,
                output=order.output,
                review=order.review,
                audience=order.audience,
                person=order.person or f"{order.tenant}:{order.requester.id}",
                sequence=self._next(),
            )
        )
        if order.count == 1:
            return first
        for number in range(1, order.count + 1):
            spec = replace(first.spec, seed=first.spec.seed + number - 1)
            job_id = first.id if number == 1 else f"JOB{len(self._jobs) + 1:07}"
            made = replace(first, id=job_id, batch=first.id, number=number, spec=spec)
            self.put(made if number == 1 else replace(made, key=None, sequence=self._next()))
        return self._jobs[first.id]

    async def together(self, job: Job) -> list[Job]:
        if job.batch is None:
            return [job]
        return [each for each in self._jobs.values() if each.batch == job.batch]

    async def agree(self, job_id: str, *, tenant: str, own_words: bool) -> Job | None:
        job = await self.get(job_id, tenant=tenant)
        if job.state is not JobState.REVIEW:
            return None
        agreed = job.in_own_words() if own_words else job
        return self.put(replace(agreed, state=JobState.QUEUED))

    async def refine(
        self,
        words: str,
        *,
        mode: Mode,
        model: str,
        tenant: str,
        requester_id: str,
        flagged: Outcome = Outcome.DENY,
    ) -> str:
        if self.refined is None:
            raise AssistantError("assistant.unavailable")
        self.refinements.append((words, mode, model))
        return self.refined

    async def cancel(self, job_id: str, *, tenant: str) -> CancelOutcome:
        job = await self.get(job_id, tenant=tenant)
        if job.state is JobState.RUNNING:
            self.put(replace(job, cancel_requested_at=self.now))
            return CancelOutcome.CANCELLING
        if job.ended or job.state in {JobState.FINISHING, JobState.DELIVERING}:
            return CancelOutcome.TOO_LATE
        self.put(replace(job, state=JobState.CANCELLED, ended_at=self.now))
        return CancelOutcome.CANCELLED

    async def revise(
        self,
        job_id: str,
        *,
        tenant: str,
        spec: Spec,
        origins: dict[str, str],
        quota: Quota | None = None,
        more: float = 0.0,
    ) -> Job | None:
        job = await self.get(job_id, tenant=tenant)
        if job.state not in {JobState.QUEUED, JobState.REVIEW}:
            return None
        cost = self.cost(spec)
        if quota is not None:
            usage = await self._usage(quota, tenant, job.requester.id, job.person, without=job)
            admit_cost(usage, quota, cost + more, now=self.now)
        del self._jobs[job_id]  # it moves behind the others
        return self.put(replace(job, spec=spec, origins=origins, cost=cost, sequence=self._next()))

    async def remove(self, job_id: str, *, tenant: str) -> bool:
        job = await self.get(job_id, tenant=tenant)
        if job.state is not JobState.DONE or job.removed_at is not None:
            return False
        self.finished.pop(job_id, None)
        self.put(replace(job, removed_at=self.now))
        return True

    async def get(self, job_id: str, *, tenant: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job.tenant != tenant:
            raise NotFound("job.unknown", job=job_id)
        return job

    async def waiting(self, tenant: str) -> list[Job]:
        jobs = [job for job in self._jobs.values() if job.tenant == tenant and not job.ended]
        return sorted(jobs, key=lambda job: (job.state is not JobState.RUNNING, job.sequence))

    async def recent(self, tenant: str, requester_id: str, *, limit: int) -> list[Job]:
        jobs = [
            job
            for job in self._jobs.values()
            if job.tenant == tenant and job.requester.id == requester_id
        ]
        return sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)[:limit]

    async def history(
        self, tenant: str, requester_id: str, *, words: str = "", limit: int, offset: int = 0
    ) -> list[Job]:
        jobs = await self.recent(tenant, requester_id, limit=len(self._jobs))
        found = [job for job in jobs if _has_words(job, words)]
        return found[offset : offset + limit]

    async def usage(
        self,
        tenant: str,
        requester_id: str,
        *,
        since: float,
        person: str = "",
        person_since: float | None = None,
    ) -> Usage:
        """Count as the ledger does; all of a person's jobs are of their day."""
        ended = [job for job in self._jobs.values() if job.state is JobState.DONE]
        spent = [job for job in ended if job.tenant == tenant and job.created_at >= since]
        everywhere = [job for job in self._jobs.values() if person and job.person == person]
        line = await self.waiting(tenant)
        return Usage(
            tenant_spent=_total(spent),
            requester_spent=_total(job for job in spent if job.requester.id == requester_id),
            tenant_reserved=_total(line),
            requester_reserved=_total(job for job in line if job.requester.id == requester_id),
            person_spent=_total(
                job for job in everywhere if job.state is JobState.DONE and job.created_at >= since
            ),
            person_reserved=_total(job for job in everywhere if not job.ended),
        )

    async def _usage(
        self, quota: Quota, tenant: str, requester: str, person: str, without: Job | None = None
    ) -> Usage:
        """Return the usage that a quota is compared with, as if one job were not there."""
        taken = None if without is None else self._jobs.pop(without.id)
        try:
            return await self.usage(tenant, requester, since=quota.since, person=person)
        finally:
            if taken is not None:
                self._jobs[taken.id] = taken

    def _next(self) -> int:
        return max((job.sequence or 0 for job in self._jobs.values()), default=0) + 1

    def cost(self, spec: Spec) -> float:
        return SECONDS_EACH * spec.frames / 97 * (2 if spec.resolution == "720p" else 1)

    def position(self, job_id: str) -> QueuePosition | None:
        line = [job.id for job in self._jobs.values() if job.state is JobState.QUEUED]
        if job_id not in line:
            return None
        before = line.index(job_id)
        return QueuePosition(
            position=before + 1,
            start_in=before * SECONDS_EACH,
            ready_in=(before + 1) * SECONDS_EACH,
        )

    def waits_for_others(self, tenant: str) -> bool:
        return any(j.tenant != tenant and j.state not in ENDED for j in self._jobs.values())

    def progress(self, job_id: str) -> Progress | None:
        return self.running[job_id][0] if job_id in self.running else None

    def outlook(self, job: Job) -> Outlook | None:
        if job.id not in self.running:
            return None
        progress, left = self.running[job.id]
        return Outlook(fraction=progress.done / progress.total, seconds_left=left)

    def slot(self, job_id: str) -> str | None:
        return self.slots.get(job_id)

    def extendable(self, job: Job) -> bool:
        return job.id in self.kept

    def files(self, job: Job) -> Path | None:
        return self.finished.get(job.id) if job.state in ENDED else None

    async def forget(self, *, tenant: str, requester_id: str) -> int:
        own = await self.recent(tenant, requester_id, limit=len(self._jobs))
        for job in own:
            del self._jobs[job.id]
            self._events.publish(JobEvent(job_id=job.id, tenant=tenant, state=JobState.CANCELLED))
        return len(own)

    async def is_erasing(self, *, tenant: str, requester_id: str) -> bool:
        return (tenant, requester_id) in self.being_erased

    async def pause(self) -> None:
        self.paused = True

    async def resume(self) -> None:
        self.paused = self.draining = False

    async def drain(self) -> None:
        self.draining = True


def _total(jobs: Iterable[Job]) -> int:
    return sum(milliseconds(job.cost) for job in jobs)


def _has_words(job: Job, words: str) -> bool:
    """Whether the words of the prompt begin with all of these, as the index of the store does."""
    said = re.findall(r"\w+", f"{job.spec.own_words} {job.spec.prompt}".casefold())
    return all(
        any(word.startswith(wanted) for word in said)
        for wanted in re.findall(r"\w+", words.casefold())
    )
