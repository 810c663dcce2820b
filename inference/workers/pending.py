"""Renders that wait for a worker or run on one, with the inbox of their caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from inference.domain.errors import WorkerLost
from inference.workers.protocol import Done, Failed, ProgressMessage, Run, Stopped, encode
from inference.workers.watchdog import Watchdog, WorkerLimits

if TYPE_CHECKING:
    from inference.workers.executor import RenderTask
    from inference.workers.spawn import Child


class PendingRender:
    """A task that waits for the worker or runs on it."""

    def __init__(self, task: RenderTask) -> None:
        self.task = task
        # Encoded here, so that a task that cannot be sent fails only its caller.
        self.frame = encode(Run(task=task))
        self.worker: ActiveWorker | None = None
        self.cancelled = False
        self.inbox: asyncio.Queue[ProgressMessage | Done | Failed | Stopped | WorkerLost] = (
            asyncio.Queue()
        )


class ActiveWorker:
    """A child process that said hello."""

    def __init__(self, child: Child, limits: WorkerLimits) -> None:
        self.child = child
        self.watchdog = Watchdog(limits)
        self.job: PendingRender | None = None

    def take_job(self) -> list[PendingRender]:
        """Take away the job that it had, if any, because it will not finish it."""
        jobs = [self.job] if self.job else []
        self.job = None
        return jobs


def tell(jobs: list[PendingRender], loss: WorkerLost) -> None:
    """Raise in the callers of jobs that their worker is lost."""
    for job in jobs:
        job.inbox.put_nowait(loss)
