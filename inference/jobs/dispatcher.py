"""Dispatcher: keeps every free slot busy with the next jobs of the queue.

The store's guarded claim decides; a ticket whose job is gone is simply dropped.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.capabilities import Capabilities
from inference.domain.errors import Cancelled, RushesError
from inference.domain.events import EventBus, JobEvent
from inference.domain.fairness import Charge, Head
from inference.domain.job import Job
from inference.domain.render import Progress
from inference.domain.watermark import WatermarkSettings
from inference.jobs.durable_write import end_job, failure_of
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.estimates.outlooks import Outlooks
from inference.jobs.forecast import FreeSlot
from inference.jobs.queue import JobQueue, Ticket
from inference.jobs.renders.active_render import ActiveRender
from inference.jobs.renders.charges import Charges
from inference.jobs.renders.outcome import RenderOutcomes
from inference.jobs.renders.recipe import recipe
from inference.retries import Backoff, survive
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore
from inference.workers.pool import Pool
from inference.workers.slot import RenderTask, Slot

_log = structlog.get_logger(__name__)

RUN_SECONDS_LEAST = 1800.0
"""No render is given up sooner: a first estimate may be far off on an unknown machine."""

RUN_FACTOR = 10.0
"""A render that takes this many times its estimate will never end; the step watchdog of the worker
catches the ones that hang."""

CLAIM_TRIES = 3
"""Tries to take a job out of the queue before it is ended."""


class Dispatcher:
    """Runs queued jobs on the slots of a pool, one at a time on each."""

    def __init__(
        self,
        *,
        store: JobStore,
        artifacts: Artifacts,
        queue: JobQueue,
        costs: DeviceCosts,
        outlooks: Outlooks,
        events: EventBus,
        pool: Pool,
        capabilities: Callable[[str], Capabilities],
        watermark: WatermarkSettings,
        finished: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """Wire it up.

        Args:
            store: Where the transitions happen.
            artifacts: Where the files go.
            queue: Whose turn it is.
            costs: Learns from every render.
            outlooks: Follows every render.
            events: Hears of progress.
            pool: Renders.
            capabilities: What each model can do.
            watermark: On every clip.
            finished: Called with every job whose file is complete (`ResultModerator.add`).
            clock: Measures renders, and paces the tries while the disk takes nothing.
        """
        self._store = store
        self._artifacts = artifacts
        self._queue = queue
        self._costs = costs
        self._outlooks = outlooks
        self._events = events
        self._pool = pool
        self._capabilities = capabilities
        self._watermark = watermark
        self._clock = clock
        self._charges = Charges(queue.shares, clock)
        self._outcomes = RenderOutcomes(
            store=store,
            charges=self._charges,
            costs=costs,
            capabilities=capabilities,
            finished=finished,
            enqueue=self.enqueue_or_fail,
            clock=clock,
        )
        self._active: dict[str, ActiveRender] = {}
        self._awaited: set[str] = set()
        self._unclaimed: dict[str, int] = {}
        self._paused = self._stopping = False
        self._news = asyncio.Event()
        self._ended = asyncio.Event()

    # -- what others see ---------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether no further job is started."""
        return self._paused

    @paused.setter
    def paused(self, value: bool) -> None:
        self._paused = value
        self._news.set()

    @property
    def without_worker(self) -> bool:
        """Whether jobs wait because no worker starts."""
        return self._pool.away

    @property
    def worker_restarts(self) -> int:
        """How often a worker was started again since this process started."""
        return self._pool.restarts

    @property
    def active(self) -> Sequence[ActiveRender]:
        """The renders under way, the one that was begun first at first."""
        return tuple(self._active.values())

    def progress(self, job_id: str) -> Progress | None:
        """Return the progress of a job, or None when it is not running."""
        render = self._active.get(job_id)
        return None if render is None else render.progress.latest

    def slot(self, job_id: str) -> str | None:
        """Return the name of the slot that renders a job, if there are several slots."""
        render = self._active.get(job_id)
        return None if render is None or len(self._pool.slots) == 1 else render.slot.name

    @property
    def full(self) -> bool:
        """Whether every slot that has a worker renders."""
        busy = {render.slot.name for render in self._active.values()}
        return all(slot.name in busy for slot in self._pool.slots if not slot.away)

    def free_slots(self) -> list[FreeSlot]:
        """Return when each slot is expected to be free, and with which model.

        Slots without a worker do not count, unless there are no others.
        """
        busy = {render.slot.name: render for render in self._active.values()}
        slots = [slot for slot in self._pool.slots if not slot.away] or self._pool.slots
        return [
            FreeSlot(0.0, slot.warm_model)
            if (render := busy.get(slot.name)) is None
            else FreeSlot(render.seconds_left, render.job.spec.model)
            for slot in slots
        ]

    async def cancel(self, job_id: str) -> None:
        """Ask the slot of a job to stop it; a job that has ended is ignored."""
        if (render := self._active.get(job_id)) is not None:
            render.cancelled = True
            await render.slot.cancel(job_id)

    def stop(self) -> None:
        """Start no further jobs; the running ones may finish."""
        self._stopping = True
        self._news.set()

    async def idle(self) -> None:
        """Wait until no job is running."""
        await self.settle(math.inf)

    async def settle(self, seconds: float) -> None:
        """Wait for the running jobs that are expected to be done in so many seconds."""
        while any(render.seconds_left <= seconds for render in self._active.values()):
            self._ended.clear()
            await self._ended.wait()

    # -- the queue ---------------------------------------------------------------------------

    def enqueue(self, job: Job, *, front: bool = False) -> None:
        """Queue a job; at the front if asked, or if it was on the GPU before."""
        capabilities = self._capabilities(job.spec.model)
        head = Head(
            job_id=job.id,
            model=job.spec.model,
            cost=job.cost,
            load_seconds=self._costs.load_seconds(capabilities),
            sequence=job.sequence,
        )
        ticket = Ticket(
            head=head,
            tenant=job.tenant,
            requester_id=job.requester.id,
            fits=partial(self._pool.fits, job.spec),
            expected=partial(self._costs.soonest, job, capabilities),
        )
        self._queue.put(ticket, front=front or job.attempt > 0)
        self._news.set()

    async def enqueue_or_fail(self, job: Job, *, front: bool = False) -> None:
        """Queue a job, or fail it when its model is gone."""
        try:
            self.enqueue(job, front=front)
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
            if not isinstance(error, RushesError):
                log_bug(_log, "job.bug", error, job=job.id)
            await self._fail(job.id, error)

    # -- the loop ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the queue until cancelled, which requeues the running jobs, or until `stop`."""
        backoff = Backoff(self._clock)
        async with asyncio.TaskGroup() as tasks:
            while not self._stopping:
                if await survive(partial(self._turn, tasks), name="dispatcher"):
                    backoff.reset()
                else:
                    await backoff.pause()

    async def _turn(self, tasks: asyncio.TaskGroup) -> None:
        """Start the next job on a free slot, or wait until there may be both."""
        self._news.clear()
        if not await self._start_next(tasks):
            await self._news.wait()

    async def _start_next(self, tasks: asyncio.TaskGroup) -> bool:
        """Claim the next job for a free slot; return whether one was taken out of the queue."""
        async with self._charges.turn:
            if self._paused or self._stopping or (taken := self._take(tasks)) is None:
                return False
            slot, ticket, charge = taken
            job_id = ticket.head.job_id
            try:
                claim = partial(self._store.claim, job_id, slot=slot.name)
                job = await self._charges.commit(charge, claim)
            except Exception as error:  # noqa: BLE001 - one bad job must not stop the queue
                await self._retry_claim(ticket, error)
                return True
        self._unclaimed.pop(job_id, None)
        if job is not None:
            self._begin(job, slot, tasks)
        return True

    def _take(self, tasks: asyncio.TaskGroup) -> tuple[Slot, Ticket, Charge] | None:
        """Take the next job for a free slot out of the queue, if there are both.

        Slots on which its model is warm come first, and then those where nothing is.
        """
        if not self._queue.queues or not (free := self._free_slots(tasks)):
            return None
        if len(free) > 1:
            model = self._queue.next_model()
            free.sort(key=lambda slot: (slot.warm_model != model, slot.warm_model is not None))
        for slot in free:
            if (taken := self._queue.take(slot.warm_model, slot.name)) is not None:
                return slot, *taken
        return None

    def _free_slots(self, tasks: asyncio.TaskGroup) -> list[Slot]:
        """Return the slots that may render; of several, what they are must be known first."""
        busy = {render.slot.name for render in self._active.values()}
        alone = len(self._pool.slots) == 1
        free = []
        for slot in self._pool.slots:
            if slot.away or (slot.device is None and not alone):
                if slot.name not in self._awaited:
                    self._awaited.add(slot.name)
                    tasks.create_task(self._wait_for_worker(slot), name=f"wait for {slot.name}")
            elif slot.name not in busy:
                free.append(slot)
        return free

    async def _wait_for_worker(self, slot: Slot) -> None:
        """Look again once a slot has a worker; the jobs stay in the queue until then."""
        if slot.away:
            _log.warning("queue.without_worker", slot=slot.name, waiting=len(self._queue))
        self._queue.invalidate_forecasts()
        try:
            await slot.ready()
        finally:
            self._awaited.discard(slot.name)
        self._queue.invalidate_forecasts()
        self._news.set()

    async def _retry_claim(self, ticket: Ticket, error: Exception) -> None:
        """Put a job back in the queue that could not be claimed, or end it after a few tries."""
        job_id = ticket.head.job_id
        log_bug(_log, "job.not_claimed", error, job=job_id)
        tries = self._unclaimed.pop(job_id, 0) + 1
        if tries < CLAIM_TRIES:
            self._unclaimed[job_id] = tries
            self._queue.put(ticket)
            return
        await self._fail(job_id, error)

    # -- one job -----------------------------------------------------------------------------

    def _begin(self, job: Job, slot: Slot, tasks: asyncio.TaskGroup) -> None:
        progress = self._outlooks.begin(job, slot)
        self._active[job.id] = render = ActiveRender(job=job, slot=slot, progress=progress)
        self._queue.invalidate_forecasts()
        _log.info("job.started", job=job.id, attempt=job.attempt, tenant=job.tenant, slot=slot.name)
        tasks.create_task(self._serve(render), name=f"render {job.id}")

    async def _serve(self, render: ActiveRender) -> None:
        """Bring a claimed job to its next state, whatever happens."""
        job = render.job
        try:
            await self._render(render)
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the queue
            log_bug(_log, "job.bug", error, job=job.id, attempt=job.attempt)
            await self._fail(job.id, error)
        finally:
            del self._active[job.id]
            self._ended.set()
            self._queue.invalidate_forecasts()
            self._news.set()

    async def _render(self, render: ActiveRender) -> None:
        """Render a claimed job and bring it to its next state."""
        job = render.job
        try:
            self._capabilities(job.spec.model)  # a plugin may have been taken away meanwhile
            if job.attempt > 1:
                await asyncio.to_thread(self._artifacts.remove_earlier, job)
            if render.cancelled:
                raise Cancelled  # noqa: TRY301 - as from the slot, which cannot know of it yet
            async with asyncio.timeout(_longest(render)):
                report = partial(self._report, render)
                manifest = await render.slot.render(self._task(job), report)
        except asyncio.CancelledError:
            await asyncio.shield(self._outcomes.requeue_at_stop(render))
            raise
        except Exception as error:  # noqa: BLE001 - classified in the callee
            await self._outcomes.end_without_clip(render, error)
        else:
            render.progress.mark_rendered()
            await self._outcomes.complete(render, manifest)

    def _task(self, job: Job) -> RenderTask:
        return RenderTask(
            job_id=job.id,
            attempt=job.attempt,
            spec=job.spec,
            directory=self._artifacts.attempt_directory(job),
            image=self._artifacts.input(job, job.spec.image),
            watermark=job.output.apply_to_watermark(self._watermark),
            recipe=recipe(job),
            last=self._artifacts.input(job, job.spec.last),
            latents=self._artifacts.input(job, job.spec.latents),
            pictures=self._artifacts.pictures(job),
        )

    def _report(self, render: ActiveRender, progress: Progress) -> None:
        job = render.job
        render.progress.note(progress)
        self._events.publish(
            JobEvent(job_id=job.id, tenant=job.tenant, state=job.state, progress=progress)
        )

    async def _fail(self, job_id: str, error: Exception) -> None:
        failure = failure_of(error, job_id)
        await end_job(lambda: self._store.fail(job_id, failure), job_id, self._clock)


def _longest(render: ActiveRender) -> float:
    """Return the time limit of a render in seconds."""
    return max(RUN_SECONDS_LEAST, RUN_FACTOR * max(render.job.cost, render.progress.stages.render))
