"""Job reader: jobs, the queue and its forecasts, for display."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from inference.domain.capabilities import Capabilities
from inference.domain.errors import NotFound
from inference.domain.events import EventBus
from inference.domain.job import Job, JobState
from inference.domain.quota import Usage
from inference.domain.render import Progress
from inference.domain.spec import Spec
from inference.jobs.dispatcher import Dispatcher
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.estimates.outlooks import Outlooks
from inference.jobs.estimates.progress import Outlook
from inference.jobs.forecast import QueueForecast, QueuePosition
from inference.jobs.queue import JobQueue
from inference.store.artifacts import Artifacts
from inference.store.history import History
from inference.store.ledger import Ledger
from inference.store.queries import JobQueries


class JobReader:
    """Reads jobs of a tenant, with queue position and progress."""

    def __init__(
        self,
        *,
        store: JobQueries,
        history: History,
        ledger: Ledger,
        artifacts: Artifacts,
        queue: JobQueue,
        costs: DeviceCosts,
        outlooks: Outlooks,
        dispatcher: Dispatcher,
        capabilities: Callable[[str], Capabilities],
        events: EventBus,
    ) -> None:
        self._jobs = store
        self._history = history
        self._ledger = ledger
        self._artifacts = artifacts
        self._queue = queue
        self._costs = costs
        self._outlooks = outlooks
        self._dispatcher = dispatcher
        self._capabilities = capabilities
        self._events = events
        self._forecast = QueueForecast(queue)

    async def get(self, job_id: str, *, tenant: str) -> Job:
        """Return a job of this tenant.

        Raises:
            NotFound: `job.unknown`; a foreign job is as unknown as one that never was.
        """
        job = await self._jobs.get(job_id)
        if job is None or job.tenant != tenant:
            raise NotFound("job.unknown", job=job_id)
        return job

    async def together(self, job: Job) -> list[Job]:
        """Return the jobs of a job's batch, itself among them, in their order."""
        return [job] if job.batch is None else await self._jobs.batch(job.batch)

    async def wait_past(
        self, jobs: Iterable[Job], states: Collection[JobState], *, seconds: float
    ) -> list[Job]:
        """Return jobs as they are once none is in one of these states, or when time is up.

        Raises:
            NotFound: `job.unknown`: one was deleted.
        """
        tenants = {job.id: job.tenant for job in jobs}

        async def read(job_id: str) -> Job:
            return await self.get(job_id, tenant=tenants[job_id])

        return await self._events.wait_past(tenants, states, read=read, seconds=seconds)

    async def by_key(self, key: str, *, tenant: str) -> Job | None:
        """Return the tenant's job that a request made, by the request's idempotency key."""
        job = await self._jobs.by_key(key)
        return job if job is not None and job.tenant == tenant else None

    async def waiting(self, tenant: str) -> list[Job]:
        """Return the tenant's unfinished jobs: the running one, then in order of service."""
        jobs = await self._jobs.list_unfinished(tenant=tenant)
        positions = self._forecast.in_tenant(tenant)
        last = len(positions)

        def order(job: Job) -> tuple[int, float]:
            if job.state in {JobState.RUNNING, JobState.FINISHING, JobState.DELIVERING}:
                return (0, job.created_at)
            return (1 + positions.get(job.id, last), job.created_at)

        return sorted(jobs, key=order)

    async def recent(self, tenant: str, requester_id: str, *, limit: int) -> list[Job]:
        """Return a person's newest jobs, newest first."""
        return await self._jobs.recent(tenant, requester_id, limit)

    async def history(
        self, tenant: str, requester_id: str, *, words: str = "", limit: int, offset: int = 0
    ) -> list[Job]:
        """Return a page of a person's jobs, newest first; see `History.page`."""
        return await self._history.page(
            tenant, requester_id, words=words, limit=limit, offset=offset
        )

    async def after(
        self, tenant: str, requester_id: str, job_id: str | None, *, oldest_first: bool, limit: int
    ) -> list[Job]:
        """Return a person's jobs that come after one of them; see `History.after`."""
        return await self._history.after(
            tenant, requester_id, job_id, oldest_first=oldest_first, limit=limit
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
        return self._forecast.times(job_id, self._dispatcher.free_slots())

    def waits_for_others(self, tenant: str) -> bool:
        """Return whether jobs of other tenants keep a new one of this tenant from starting now."""
        there = {*self._queue.queues, *(render.job.tenant for render in self._dispatcher.active)}
        return bool(there - {tenant}) and (len(self._queue) > 0 or self._dispatcher.full)

    def next_start_in(self, tenant: str) -> float | None:
        """Return the seconds until the next job of a tenant starts; None if unknown."""
        if self.paused:
            return None
        first = next(iter(self._forecast.in_tenant(tenant)), None)
        position = None if first is None else self.position(first)
        return None if position is None else position.start_in

    def front(self) -> list[str]:
        """Return the ids of the first queued jobs, in the expected order of service."""
        return list(self._forecast.front())

    def list_queued(self) -> list[str]:
        """Return the ids of all queued jobs, in the expected order of service."""
        return [head.job_id for _, head in self._queue.forecast()]

    def progress(self, job_id: str) -> Progress | None:
        """Return the progress of a running job."""
        return self._dispatcher.progress(job_id)

    def outlook(self, job: Job) -> Outlook | None:
        """Return the progress of a job that is being rendered or delivered, with its time left."""
        return self._outlooks.outlook(job)

    def slot(self, job_id: str) -> str | None:
        """Return the name of the slot that renders a job; None where there is only one slot."""
        return self._dispatcher.slot(job_id)

    def extendable(self, job: Job) -> bool:
        """Return whether the latents for extending the clip are still kept."""
        return self._artifacts.latents(job) is not None

    def files(self, job: Job) -> Path | None:
        """Return the finished file while it is kept."""
        return self._artifacts.find_finished(job)

    @property
    def paused(self) -> bool:
        """Whether no further job is started."""
        return self._dispatcher.paused

    @property
    def without_worker(self) -> bool:
        """Whether jobs wait because no worker starts."""
        return self._dispatcher.without_worker

    @property
    def worker_restarts(self) -> int:
        """How often a worker was started again since this process started."""
        return self._dispatcher.worker_restarts
