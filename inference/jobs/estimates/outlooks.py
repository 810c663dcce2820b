"""Outlooks of all claimed jobs, until their files are posted; measured times update the costs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from inference.clock import Clock
from inference.domain.capabilities import Capabilities
from inference.domain.events import EventBus
from inference.domain.job import Job, JobState
from inference.jobs.estimates.cost_model import Stages
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.estimates.progress import JobProgress, Outlook
from inference.retries import repeat
from inference.store.queries import JobQueries
from inference.workers.slot import Slot

FOLLOWED = 200
"""Jobs whose progress is known at once: those on slots and those that are being delivered."""

_UNDER_WAY = frozenset({JobState.RUNNING, JobState.FINISHING, JobState.DELIVERING})


class Outlooks:
    """Outlooks of claimed jobs."""

    def __init__(
        self, costs: DeviceCosts, capabilities: Callable[[str], Capabilities], clock: Clock
    ) -> None:
        self._costs = costs
        self._capabilities = capabilities
        self._clock = clock
        self._followed: OrderedDict[str, JobProgress] = OrderedDict()

    def begin(self, job: Job, slot: Slot) -> JobProgress:
        """Start the outlook of a job that a slot begins to render."""
        kind = None if slot.device is None else slot.device.name
        return self._follow(job, kind, warm=slot.warm_model == job.spec.model)

    def outlook(self, job: Job) -> Outlook | None:
        """Return the progress of a claimed job until its file is posted; None before and after."""
        if job.state not in _UNDER_WAY:
            return None
        found = self._followed.get(job.id)
        if found is None and job.state is not JobState.RUNNING:
            # Another process rendered it: only its delivery is left.
            found = self._follow(job, job.device, warm=True)
            timings = job.manifest.timings if job.manifest is not None else {}
            found.mark_rendered(after=timings.get("total", 0.0))
        return None if found is None else found.outlook()

    async def learn(self, events: EventBus, store: JobQueries) -> None:
        """Learn how long deliveries take, until cancelled."""
        with events.subscribe() as moves:

            async def turn() -> None:
                event = await moves.get()
                if event.state in _UNDER_WAY:
                    return
                followed = self._followed.pop(event.job_id, None)
                if followed is None or event.state is not JobState.DONE:
                    return
                job = await store.get(event.job_id)
                if job is not None:
                    self._costs.learn_delivery(job, self._capabilities(job.spec.model))

            await repeat(turn, name="outlooks", clock=self._clock)

    def _follow(self, job: Job, kind: str | None, *, warm: bool) -> JobProgress:
        progress = JobProgress(self._stages(job, kind, warm=warm), self._clock)
        self._followed[job.id] = progress
        self._followed.move_to_end(job.id)
        if len(self._followed) > FOLLOWED:
            self._followed.popitem(last=False)
        return progress

    def _stages(self, job: Job, kind: str | None, *, warm: bool) -> Stages:
        """Return the expected seconds of each stage of a job on a kind of device."""
        try:
            return self._costs.stages(job, self._capabilities(job.spec.model), kind, warm=warm)
        except Exception:  # noqa: BLE001 - the model is gone; others still need an estimate
            return Stages(load=0.0, text=0.0, sample=job.cost, rest=0.0)
