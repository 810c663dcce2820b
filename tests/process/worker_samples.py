"""Tasks, limits and small tools shared by the tests that start real workers."""

import asyncio
import time
from pathlib import Path

import psutil

from inference.domain.spec import Aspect, Resolution, Spec
from inference.domain.watermark import WatermarkSettings
from inference.workers.local_slot import LocalSlot
from inference.workers.slot import RenderTask
from inference.workers.watchdog import WorkerLimits

ROOT = Path(__file__).parents[2]

LIMITS = WorkerLimits(
    hello_seconds=120,
    heartbeat_seconds=0.1,
    heartbeat_limit_seconds=60,
    load_limit_seconds=120,
    step_limit_seconds=120,
    cancel_grace_seconds=60,
    shutdown_grace_seconds=60,
    restart_min_seconds=0.05,
    restart_max_seconds=0.4,
)


def executor(limits=LIMITS, **testcard):
    return LocalSlot(models={"testcard": {"step_seconds": 0.01} | testcard}, limits=limits)


def spec(**changes):
    values = {
        "prompt": "a red fox running through snow",
        "model": "testcard",
        "resolution": Resolution.P360,
        "aspect": Aspect.WIDE,
        "frames": 49,
        "options": {"motion": "fair", "aesthetic": "excellent", "camera": "none", "fps": 24},
        "refine": False,
        "seed": 7,
        "steps": 3,
        "cfg": 7.0,
        "loops": 1,
    }
    return Spec(**(values | changes))


def task(directory, job_id="7Q2FK9XD", attempt=1, **changes):
    return RenderTask(
        job_id=job_id,
        attempt=attempt,
        spec=spec(**changes),
        directory=directory / job_id / str(attempt),
        image=None,
        watermark=WatermarkSettings(),
        recipe={"prompt": "a red fox running through snow", "seed": 7},
    )


class Steps(list):
    """A progress callback that remembers, and can be waited for."""

    def __init__(self):
        self._changed = asyncio.Event()

    def __call__(self, progress):
        self.append(progress)
        self._changed.set()

    async def reached(self, stage, done=0):
        while not any(step.stage is stage and step.done >= done for step in self):
            self._changed.clear()
            await self._changed.wait()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - nobody tells us, so look
        await asyncio.sleep(0.01)


def gone(pid):
    """Whether no process of that id does anything any more."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def gone_within(pid, seconds):
    end = time.monotonic() + seconds
    while not gone(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
