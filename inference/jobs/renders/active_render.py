"""A claimed job while a slot renders it."""

from __future__ import annotations

from dataclasses import dataclass

from inference.domain.job import Job
from inference.domain.render import Stage
from inference.jobs.estimates.progress import JobProgress
from inference.workers.slot import Slot


@dataclass(slots=True, kw_only=True)
class ActiveRender:
    """One job on one slot."""

    job: Job
    slot: Slot
    progress: JobProgress
    cancelled: bool = False
    """Whether a cancel came, which the slot may not have seen if it has not begun."""

    @property
    def kind(self) -> str | None:
        """Kind of the device, by name; None until the slot's first worker has said so."""
        return None if self.slot.device is None else self.slot.device.name

    @property
    def elapsed(self) -> float:
        """Seconds since the job was claimed."""
        return self.progress.elapsed

    @property
    def seconds_run(self) -> float:
        """Seconds that the job has been rendering, without model loading."""
        latest = self.progress.latest
        if latest is None or latest.stage is Stage.LOADING:
            return 0.0
        return self.progress.elapsed - self.progress.seconds_to_first

    @property
    def seconds_left(self) -> float:
        """Expected seconds until the slot is free."""
        return self.progress.until_rendered()
