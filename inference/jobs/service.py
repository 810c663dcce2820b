"""Job service: the API of the job core for commands, buttons, control socket and terminal.

What commands, buttons, the control socket and the terminal call; nothing else changes jobs on a
person's behalf.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

from inference.assist.base import RefinementRequest
from inference.assist.cache import Asker
from inference.assist.refiner import Refiner
from inference.clock import Clock
from inference.domain.capabilities import Capabilities
from inference.domain.errors import AssistantError, UserError
from inference.domain.events import EventBus
from inference.domain.job import WAITING, Job, JobState, Order
from inference.domain.limits import Counts, QueueLimits, admit_length
from inference.domain.quota import Quota, Usage, admit_cost
from inference.domain.spec import Mode, Spec
from inference.domain.verdict import Outcome, Verdict
from inference.jobs.admission import admission, jobs_of
from inference.jobs.dispatcher import Dispatcher
from inference.jobs.erasure import Eraser
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.estimates.outlooks import Outlooks
from inference.jobs.preparation import Preparer
from inference.jobs.queue import JobQueue
from inference.jobs.reader import JobReader
from inference.safety.guard import ModerationGuard, ModeratorScope
from inference.store.artifacts import Artifacts
from inference.store.history import History
from inference.store.jobs import JobStore
from inference.store.ledger import Ledger

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


class JobService(JobReader):
    """Submits, reads, changes and cancels jobs on behalf of people."""

    def __init__(
        self,
        *,
        store: JobStore,
        history: History,
        ledger: Ledger,
        artifacts: Artifacts,
        queue: JobQueue,
        costs: DeviceCosts,
        outlooks: Outlooks,
        preparer: Preparer,
        dispatcher: Dispatcher,
        refiner: Refiner | None,
        erasure: Eraser,
        guard: ModerationGuard,
        capabilities: Callable[[str], Capabilities],
        events: EventBus,
        limits: QueueLimits,
        clock: Clock,
    ) -> None:
        super().__init__(
            store=store,
            history=history,
            ledger=ledger,
            artifacts=artifacts,
            queue=queue,
            costs=costs,
            outlooks=outlooks,
            dispatcher=dispatcher,
            capabilities=capabilities,
            events=events,
        )
        self._store = store
        self._preparer = preparer
        self._refiner = refiner
        self._erasure = erasure
        self._guard = guard
        self._limits = limits
        self._clock = clock
        self.stopping = asyncio.Event()
        """Set once the process stops: jobs in the queue are for the next one."""
        self.draining = False

    # -- asking ------------------------------------------------------------------------------

    def check_accepting(self) -> None:
        """Check that orders are taken. Raises `UserError`: `queue.draining` or `queue.stopping`."""
        if self.stopping.is_set():
            raise UserError("queue.stopping")
        if self.draining:
            raise UserError("queue.draining")

    async def submit(self, order: Order) -> Job:
        """Accept an order; once this returns, its jobs are on disk. Return the first of them.

        Raises:
            UserError: The queue is full, draining or stopping, the day's quota does not cover the
                job, or the model is unknown. `queue.fits_fewer` or `quota.fits_fewer`: of several
                jobs only the first `fits` would be taken.
            StoreError: The disk did not take it; nothing was accepted.
        """
        self.check_accepting()
        now = self._clock.now()
        cost = self.cost(order.spec)
        admit_length(cost, self._limits)
        jobs = jobs_of(order, cost=cost, now=now)
        check = admission(order, self._limits, now=now)
        # Shielded: once the jobs are on disk, they must also be prepared.
        return await asyncio.shield(self._accept(jobs, check, order.quota))

    async def _accept(
        self, jobs: list[Job], check: Callable[[Job, Counts], None], quota: Quota | None
    ) -> Job:
        accepted = await self._store.accept_all(
            jobs,
            check,
            since=None if quota is None else quota.since,
            person_since=None if quota is None else quota.person_since,
        )
        if accepted[0].id == jobs[0].id:
            for job in jobs:
                self._preparer.add(job)
        return accepted[0]

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
        """Replace the spec of a waiting job; it moves to the end of its requester's jobs.

        Args:
            job_id: The job.
            tenant: Whose it is.
            spec: What is wanted now.
            origins: Where its values came from.
            quota: What limits its requester, if anything does.
            more: GPU seconds by which others that are changed next will cost more.

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
                admit_cost(usage, quota, cost + more, now=now)

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
                self._preparer.add(job)
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
        request = RefinementRequest(words=words, mode=mode, advice=advice)
        asker = Asker(tenant=tenant, requester_id=requester_id)

        async def judge(*texts: str, scope: ModeratorScope) -> Verdict:
            return await self._guard.judge_texts(texts, tenant=tenant, flagged=flagged, scope=scope)

        verdict = await judge(words, scope=ModeratorScope.LOCAL)
        if verdict.denied:
            raise UserError("safety.prompt", reason=verdict.reasons[0].value)
        refined = await self._refiner.refine(request, asker)
        if (await judge(refined, scope=ModeratorScope.LOCAL)).denied:
            raise AssistantError("assistant.unusable")
        verdict = await judge(words, refined, scope=ModeratorScope.HOSTED)
        if verdict.denied:
            raise UserError("safety.prompt", reason=verdict.reasons[0].value)
        return refined

    async def judge(self, words: str, *, tenant: str) -> Verdict:
        """Return the verdict of all prompt checks on some words."""
        return await self._guard.judge_texts((words,), tenant=tenant, flagged=Outcome.DENY)

    async def remove(self, job_id: str, *, tenant: str) -> bool:
        """Delete a finished job's message and files.

        Returns:
            False when there is nothing to take back (any more).

        Raises:
            NotFound: `job.unknown`.
        """
        job = await self.get(job_id, tenant=tenant)
        sheets = await asyncio.to_thread(self._artifacts.sheets, await self.together(job))
        if await self._store.remove(job_id) is None:
            return False
        await asyncio.to_thread(self._artifacts.remove, job.id)
        # The delivery may have drawn them anew already, and be posting them.
        await asyncio.to_thread(self._artifacts.remove_sheets, sheets)
        return True

    async def cancel(self, job_id: str, *, tenant: str) -> CancelOutcome:
        """Cancel a job: remove it from the queue, or ask the worker to stop it.

        Raises:
            NotFound: `job.unknown`.
        """
        return await self._cancel(job_id, tenant)

    async def _cancel(self, job_id: str, tenant: str, *, removed: bool = False) -> CancelOutcome:
        # The job may be claimed or requeued between two checks, so check again.
        while (await self.get(job_id, tenant=tenant)).state in CANCELLABLE:
            if await self._store.cancel(job_id, removed=removed):
                self._queue.discard(job_id, tenant)
                return CancelOutcome.CANCELLED
            if await self._store.request_cancel(job_id):
                if removed:
                    await self._store.hide(job_id)  # before it ends
                await self._dispatcher.cancel(job_id)
                return CancelOutcome.CANCELLING
        return CancelOutcome.TOO_LATE

    async def discard(self, job_id: str, *, tenant: str) -> bool:
        """Delete a job in any state, with its files: one that is under way is stopped first.

        Returns:
            False while its file is being finished; it can be deleted a moment later.

        Raises:
            NotFound: `job.unknown`.
        """
        # Removed in the same step, so that who hears of its end finds it deleted already.
        await self._cancel(job_id, tenant, removed=True)
        if await self.remove(job_id, tenant=tenant):
            return True
        job = await self._store.hide(job_id) or await self.get(job_id, tenant=tenant)
        if job.removed_at is None:
            return False
        await asyncio.to_thread(self._artifacts.remove, job.id)
        return True

    async def release_key(self, job_id: str) -> None:
        """Let the idempotency key of a removed job make another one."""
        await self._store.release_key(job_id)

    async def withdraw(self, key: str) -> Job | None:
        """Undo the acceptance of an order completely; return its first job, if any.

        Args:
            key: `Order.key`, where it turned out that somebody else serves the request.

        Raises:
            StoreError: The disk did not take it; the job stays.
        """
        jobs = await self._store.withdraw(key)
        for job in jobs:
            self._queue.discard(job.id, job.tenant)
            if job.state is JobState.RUNNING:
                await self._dispatcher.cancel(job.id)
        return next(iter(jobs), None)

    async def forget(self, *, tenant: str, requester_id: str) -> int:
        """Erase a person: stop their jobs, delete all rows and files.

        Nothing of theirs can be read any more once this returns, whatever could not be delivered
        or is just being stopped. Return how many jobs there were.
        """
        return await self._erasure.erase(tenant, requester_id)

    async def is_erasing(self, *, tenant: str, requester_id: str) -> bool:
        """Return whether a job of a person who was erased is still being stopped."""
        return await self._store.is_erasing(tenant, requester_id)

    # -- operating ---------------------------------------------------------------------------

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
        self.stopping.set()
