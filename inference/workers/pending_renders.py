"""Pending and active renders of a slot, with the inboxes of their callers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from inference.domain.errors import WorkerLost
from inference.workers.protocol import Done, Failed, ProgressMessage, Run, Stopped, encode
from inference.workers.watchdog import Watchdog, WorkerLimits

if TYPE_CHECKING:
    from inference.workers.slot import RenderTask
    from inference.workers.spawn import Child


class PendingRender:
    """A task that waits for a worker or runs on one."""

    def __init__(self, task: RenderTask) -> None:
        self.task = task
        # Encoded here, so that an invalid task fails in its caller only.
        self.frame = encode(Run(task=task))
        self.worker: ActiveWorker | None = None
        self.cancelled = False
        self.inbox: asyncio.Queue[ProgressMessage | Done | Failed | Stopped | WorkerLost] = (
            asyncio.Queue()
        )


class ActiveWorker:
    """A child process that has sent hello."""

    def __init__(self, child: Child, limits: WorkerLimits) -> None:
        self.child = child
        self.watchdog = Watchdog(limits)
        self.job: PendingRender | None = None

    def take_job(self) -> list[PendingRender]:
        """Remove and return the worker's unfinished job, as a list of one or none."""
        jobs = [self.job] if self.job else []
        self.job = None
        return jobs


def fail_jobs(jobs: list[PendingRender], loss: WorkerLost) -> None:
    """Fail jobs with the loss of their worker, which their callers raise."""
    for job in jobs:
        job.inbox.put_nowait(loss)
