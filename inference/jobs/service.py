"""Job service: the API of the job core for commands, buttons, control socket and terminal.

What commands, buttons, the control socket and the terminal call; nothing else changes jobs on a
person's behalf.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import structlog

from inference.assist.base import Draft
from inference.assist.cache import Asker, RefinementCache
from inference.assist.refiner import Refiner
from inference.clock import Clock
from inference.domain.errors import AssistantError, NotFound, StoreError, UserError
from inference.domain.job import WAITING, Job, JobState, Order, new_job_id
from inference.domain.limits import Counts, QueueLimits, admit, admit_length
from inference.domain.quota import Quota, Usage, admit_cost
from inference.domain.render import Progress
from inference.domain.spec import Mode, Spec
from inference.domain.verdict import Outcome, Verdict
from inference.engines.base import Capabilities
from inference.jobs.dispatcher import Dispatcher
from inference.jobs.estimate import CostModel
from inference.jobs.forecast import QueueForecast, QueuePosition
from inference.jobs.preparation import Preparer
from inference.jobs.queue import JobQueue
from inference.safety.guard import Guard, ModeratorScope
from inference.store.artifacts import Artifacts
from inference.store.history import History
from inference.store.jobs import JobStore
from inference.store.ledger import Ledger

_log = structlog.get_logger(__name__)

CANCELLABLE = WAITING | {JobState.RUNNING}
"""States in which changing one's mind still helps."""


class CancelOutcome(StrEnum):
    """Result of a cancel request."""

    CANCELLED = "cancelled"
    """It was waiting and is out of the queue; nothing will be posted."""
    CANCELLING = "cancelling"
    """It is running and stops at its next step."""
    TOO_LATE = "too_late"
    """It had already finished, failed or been cancelled."""


class JobService:
    """Submits, reads, changes and cancels jobs on behalf of people."""

    def __init__(
        self,
        *,
        store: JobStore,
        history: History,
        ledger: Ledger,
        artifacts: Artifacts,
        queue: JobQueue,
        costs: CostModel,
        preparer: Preparer,
        dispatcher: Dispatcher,
        refiner: Refiner | None,
        refinements: RefinementCache,
        guard: Guard,
        capabilities: Callable[[str], Capabilities],
        limits: QueueLimits,
        clock: Clock,
    ) -> None:
        self._store = store
        self._history = history
        self._ledger = ledger
        self._artifacts = artifacts
        self._queue = queue
        self._costs = costs
        self._preparer = preparer
        self._dispatcher = dispatcher
        self._refiner = refiner
        self._refinements = refinements
        self._guard = guard
        self._capabilities = capabilities
        self._limits = limits
        self._clock = clock
        self._forecast = QueueForecast(queue)
        self._stopping = False
        self.draining = False

    # -- asking ------------------------------------------------------------------------------

    async def submit(self, order: Order) -> Job:
        """Accept an order; once this returns, the job is on disk.

        Raises:
            UserError: The queue is full, draining or stopping, the day's quota does not cover the
                job, or the model is unknown.
            StoreError: The disk did not take it; nothing was accepted.
        """
        if self._stopping:
            raise UserError("queue.stopping")
        if self.draining:
            raise UserError("queue.draining")
        now = self._clock.now()
        job = Job(
            id=new_job_id(),
            state=JobState.ACCEPTED,
            spec=order.spec,
            origins=order.origins,
            tenant=order.tenant,
            requester=order.requester,
            platform=order.platform,
            address=order.address,
            created_at=now,
            cost=self.cost(order.spec),
            key=order.key,
            parent=order.parent,
            output=order.output,
            review=order.review,
            audience=order.audience,
            # Without a name across tenants, the requester counts by tenant.
            person=order.person or f"{order.tenant}:{order.requester.id}",
        )
        admit_length(job.cost, self._limits)
        quota = order.quota

        def check(counts: Counts) -> None:
            admit(counts, self._limits, now=now)
            if quota is not None:
                admit_cost(counts.usage, quota, job.cost, now=now)

        # Shielded: once the job is on disk, it must also be prepared.
        return await asyncio.shield(self._accept(job, check, quota))

    async def _accept(self, job: Job, check: Callable[[Counts], None], quota: Quota | None) -> Job:
        accepted = await self._store.accept(
            job,
            check,
            since=None if quota is None else quota.since,
            person_since=None if quota is None else quota.person_since,
        )
        if accepted.id == job.id:
            self._preparer.add(job.id)
        return accepted

    async def revise(
        self,
        job_id: str,
        *,
        tenant: str,
        spec: Spec,
        origins: dict[str, str],
        quota: Quota | None = None,
    ) -> Job | None:
        """Replace the spec of a waiting job; it moves to the end of its requester's jobs.

        Returns:
            The changed job, being prepared anew, or None when it no longer waits.

        Raises:
            NotFound: `job.unknown`.
            UserError: The day's quota does not cover the change, or it would take too long; the
                job is as it was.
        """
        await self.get(job_id, tenant=tenant)
        now = self._clock.now()
        cost = self.cost(spec)
        admit_length(cost, self._limits)

        def check(usage: Usage) -> None:
            if quota is not None:
                admit_cost(usage, quota, cost, now=now)

        async def work() -> Job | None:
            job = await self._store.revise(
                job_id,
                spec=spec,
                origins=origins,
                cost=cost,
                admit=check,
                since=None if quota is None else quota.since,
                person_since=None if quota is None else quota.person_since,
            )
            if job is not None:
                self._queue.discard(job_id, tenant)
                self._preparer.add(job_id)
            return job

        # Shielded, as in `submit`.
        return await asyncio.shield(work())

    async def agree(self, job_id: str, *, tenant: str, own_words: bool) -> Job | None:
        """Queue a job after its requester approved the prompt.

        Args:
            job_id: The job.
            tenant: Whose it is.
            own_words: Whether it is rendered from what its requester wrote, not from what the
                assistant made of it.

        Returns:
            The job in the queue, or None when it no longer waited for a word.

        Raises:
            NotFound: `job.unknown`.
            UserError: `model.unknown`: its model was taken away meanwhile.
        """
        waiting = await self.get(job_id, tenant=tenant)
        self._capabilities(waiting.spec.model)

        async def work() -> Job | None:
            job = await self._store.agree(job_id, own_words=own_words)
            if job is not None:
                await self._dispatcher.enqueue_or_fail(job)
            return job

        # Shielded, as in `submit`.
        return await asyncio.shield(work())

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
        """Return the refined prompt without making a job.

        The checks of this machine come before the assistant, and hosted ones after it.

        Args:
            words: The prompt.
            mode: What it is for.
            model: Name of the model.
            tenant: Whose own words count.
            requester_id: Who asks.
            flagged: What the guild wants for things that are not out of the question.

        Raises:
            UserError: `assistant.none`: there is no assistant; `model.unknown`; `safety.prompt`.
            AssistantError: It has no usable answer now, or the person has asked too often.
        """
        if self._refiner is None:
            raise UserError("assistant.none")
        advice = self._capabilities(model).prompt_advice
        draft = Draft(words=words, mode=mode, advice=advice)
        asker = Asker(tenant=tenant, requester_id=requester_id)

        async def judged(*texts: str, scope: ModeratorScope) -> Verdict:
            return await self._guard.judge_texts(texts, tenant=tenant, flagged=flagged, scope=scope)

        verdict = await judged(words, scope=ModeratorScope.LOCAL)
        if verdict.denied:
            raise UserError("safety.prompt", reason=verdict.reasons[0].value)
        refined = await self._refiner.refine(draft, asker)
        if (await judged(refined, scope=ModeratorScope.LOCAL)).denied:
            raise AssistantError("assistant.unusable")
        verdict = await judged(words, refined, scope=ModeratorScope.HOSTED)
        if verdict.denied:
            raise UserError("safety.prompt", reason=verdict.reasons[0].value)
        return refined

    async def remove(self, job_id: str, *, tenant: str) -> bool:
        """Delete a finished job's message and files.

        Returns:
            False when there is nothing to take back (any more).

        Raises:
            NotFound: `job.unknown`.
        """
        await self.get(job_id, tenant=tenant)
        if await self._store.remove(job_id) is None:
            return False
        await asyncio.to_thread(self._artifacts.remove, job_id)
        return True

    async def cancel(self, job_id: str, *, tenant: str) -> CancelOutcome:
        """Cancel a job: remove it from the queue, or ask the worker to stop it.

        Raises:
            NotFound: `job.unknown`.
        """
        # The job may be claimed or requeued between two checks, so check again.
        while (await self.get(job_id, tenant=tenant)).state in CANCELLABLE:
            if await self._store.cancel(job_id):
                self._queue.discard(job_id, tenant)
                return CancelOutcome.CANCELLED
            if await self._store.request_cancel(job_id):
                await self._dispatcher.cancel(job_id)
                return CancelOutcome.CANCELLING
        return CancelOutcome.TOO_LATE

    async def withdraw(self, key: str) -> Job | None:
        """Undo the acceptance of an order completely; return its job, if any.

        Args:
            key: `Order.key`, where it turned out that somebody else serves the request.

        Raises:
            StoreError: The disk did not take it; the job stays.
        """
        job = await self._store.withdraw(key)
        if job is not None:
            self._queue.discard(job.id, job.tenant)
            if job.state is JobState.RUNNING:
                await self._dispatcher.cancel(job.id)
        return job

    async def forget(self, *, tenant: str, requester_id: str) -> int:
        """Erase a person: stop their jobs, delete all rows and files.

        Nothing of theirs can be read any more once this returns, whatever could not be delivered
        or is just being stopped. Return how many jobs there were.
        """
        # Shielded: a started erasure must finish.
        return await asyncio.shield(self._forget(tenant, requester_id))

    async def _forget(self, tenant: str, requester_id: str) -> int:
        # First, so that no pending answer is cached after the erasure.
        await self._refinements.forget(tenant, requester_id)
        erased = await self._store.forget(tenant, requester_id)
        for job_id in erased.unfinished:
            self._queue.discard(job_id, tenant)
        for job_id in erased.running:
            await self._dispatcher.cancel(job_id)
        for job_id in erased.unfinished:  # more may come: expiry removes them for a while
            await asyncio.to_thread(self._artifacts.remove, job_id)
        gone = [
            job_id
            for job_id in erased.ended
            if await asyncio.to_thread(self._artifacts.remove, job_id)
        ]
        try:
            await self._store.settle_removals(gone)
            await self._store.purge()
        except StoreError as error:  # the rows are gone; only free pages may still hold words
            _log.error("store.not_purged", code=error.code)
        return erased.count

    # -- looking -----------------------------------------------------------------------------

    async def get(self, job_id: str, *, tenant: str) -> Job:
        """Return a job of this tenant.

        Raises:
            NotFound: `job.unknown`; a foreign job is as unknown as one that never was.
        """
        job = await self._store.get(job_id)
        if job is None or job.tenant != tenant:
            raise NotFound("job.unknown", job=job_id)
        return job

    async def by_key(self, key: str, *, tenant: str) -> Job | None:
        """Return the tenant's job that a request made, by the request's idempotency key."""
        job = await self._store.by_key(key)
        return job if job is not None and job.tenant == tenant else None

    async def waiting(self, tenant: str) -> list[Job]:
        """Return the tenant's unfinished jobs: the running one, then in order of service."""
        jobs = await self._store.unfinished(tenant=tenant)
        places = self._forecast.in_tenant(tenant)
        last = len(places)

        def order(job: Job) -> tuple[int, float]:
            if job.state in {JobState.RUNNING, JobState.FINISHING, JobState.DELIVERING}:
                return (0, job.created_at)
            return (1 + places.get(job.id, last), job.created_at)

        return sorted(jobs, key=order)

    async def recent(self, tenant: str, requester_id: str, *, limit: int) -> list[Job]:
        """Return a person's newest jobs, newest first."""
        return await self._store.recent(tenant, requester_id, limit)

    async def history(
        self, tenant: str, requester_id: str, *, words: str = "", limit: int, offset: int = 0
    ) -> list[Job]:
        """Return a page of a person's jobs, newest first; see `History.page`."""
        return await self._history.page(
            tenant, requester_id, words=words, limit=limit, offset=offset
        )

    async def usage(
        self,
        tenant: str,
        requester_id: str,
        *,
        since: float,
        person: str = "",
        person_since: float | None = None,
    ) -> Usage:
        """Return the GPU time charged since a time (Unix seconds), and what is reserved now."""
        return await self._ledger.usage(
            tenant, requester_id, since, person=person, person_since=person_since
        )

    def cost(self, spec: Spec) -> float:
        """Return the GPU seconds that a render is expected to take.

        Raises:
            UserError: `model.unknown`.
        """
        return self._costs.seconds(spec, self._capabilities(spec.model))

    def position(self, job_id: str) -> QueuePosition | None:
        """Return the queue position of a job, or None when it is not queued."""
        found = self._forecast.position(job_id)
        if found is None:
            return None
        start_in = self._dispatcher.seconds_left() + found.before
        return QueuePosition(
            position=found.position, start_in=start_in, ready_in=start_in + found.cost
        )

    def front(self) -> list[str]:
        """Return the ids of the first queued jobs, in the expected order of service."""
        return list(self._forecast.front())

    def queued_ids(self) -> list[str]:
        """Return the ids of all queued jobs, in the expected order of service."""
        return [head.job_id for _, head in self._queue.forecast()]

    def progress(self, job_id: str) -> Progress | None:
        """Return the progress of a running job."""
        return self._dispatcher.progress(job_id)

    def seconds_left(self, job_id: str) -> float | None:
        """Return the expected seconds until a running job is done."""
        if self._dispatcher.progress(job_id) is None:
            return None
        return self._dispatcher.seconds_left()

    def extendable(self, job: Job) -> bool:
        """Return whether the latents for extending the clip are still kept."""
        return self._artifacts.latents(job) is not None

    def files(self, job: Job) -> Path | None:
        """Return the finished file while it is kept."""
        return self._artifacts.finished(job)

    # -- operating ---------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether no further job is started."""
        return self._dispatcher.paused

    @property
    def without_worker(self) -> bool:
        """Whether jobs wait because no worker starts."""
        return self._dispatcher.without_worker

    async def pause(self) -> None:
        """Finish the running job and start no other, also after a restart."""
        await self._store.switch("paused", on=True)
        self._dispatcher.paused = True

    async def drain(self) -> None:
        """Accept no new jobs and work off the queue."""
        await self._store.switch("draining", on=True)
        self.draining = True

    async def resume(self) -> None:
        """Undo `pause` and `drain`."""
        await self._store.switch("paused", on=False)
        await self._store.switch("draining", on=False)
        self._dispatcher.paused = False
        self.draining = False

    def stop_accepting(self) -> None:
        """Refuse all further orders, because the process is stopping."""
        self._stopping = True
