"""Benchmark of two slots on the CPU against one, and of fairness with both.

    python -m benchmarks.workers [--model testcard] [--model nano]

Targets on two cores, relative to the time of one slot: 40 jobs of 5 guilds with testcard in at most
0.65, and nano with one thread per slot in at most 0.7. GPU seconds of equal guilds differ by at
most 10 %.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from benchmarks.queue import NoImages
from inference.clock import SystemClock
from inference.domain.job import Job, JobState, Order, Requester
from inference.domain.limits import QueueLimits
from inference.domain.spec import Aspect, OptionValue, Resolution, Spec
from inference.domain.watermark import WatermarkSettings
from inference.engines.registry import Models
from inference.jobs.assembly import Core, open_core
from inference.safety.guard import ModerationGuard
from inference.workers.devices import device_environment, slot_names
from inference.workers.local_slot import LocalSlot
from inference.workers.media.process import MediaProcess
from inference.workers.pool import Pool

GUILDS = 5
LENGTHS = (49, 65, 81, 97, 113)
"""Frames of clips by guild; they differ, so equal GPU shares mean unequal numbers of jobs."""

JOBS = {"testcard": 40, "nano": 10}
STEPS = {"testcard": 10, "nano": 14}
OPTIONS: dict[str, dict[str, OptionValue]] = {
    "testcard": {},
    "nano": {"motion": "fair", "aesthetic": "excellent", "camera": "none", "fps": 24},
}
WANTED = {"testcard": 0.65, "nano": 0.7}
STEP_SECONDS = 0.1

SHARED_JOBS = 200
SHARED_STEP_SECONDS = 0.03

RENDERED = {JobState.FINISHING, JobState.DELIVERING, JobState.DONE}


def pool(model: str, slots: int, step_seconds: float) -> Pool:
    """Return a pool of slots on the CPU, with one thread each."""
    devices = ["cpu"] * slots
    options: dict[str, Any] = {"step_seconds": step_seconds} if model == "testcard" else {}
    return Pool(
        [
            LocalSlot(
                name,
                device="cpu",
                environment={
                    **device_environment("cpu", devices, os.environ),
                    "OMP_NUM_THREADS": "1",
                },
                models={model: options},
            )
            for name in slot_names(devices)
        ]
    )


def order(model: str, number: int) -> Order:
    guild = number % GUILDS
    return Order(
        spec=Spec(
            prompt="a red ball moving to the right in the snow",
            model=model,
            resolution=Resolution.P360,
            aspect=Aspect.WIDE,
            frames=LENGTHS[guild] if model == "testcard" else 49,
            refine=False,
            seed=number,
            steps=STEPS[model],
            cfg=4.0,
            loops=1,
            options=OPTIONS[model],
        ),
        origins={},
        tenant=f"guild:{guild}",
        requester=Requester(id="user", name="User"),
        platform="benchmark",
        address={},
    )


async def rendered(core: Core, jobs: Sequence[Job], *, all_of_a_guild: bool = False) -> float:
    """Return the seconds until all jobs are rendered, or all jobs of any one guild."""
    left = Counter(job.tenant for job in jobs)
    tenants = {job.id: job.tenant for job in jobs}
    started = time.perf_counter()
    with core.events.subscribe() as events:
        await core.jobs.resume()
        while left.total() if not all_of_a_guild else all(left.values()):
            event = await events.get()
            if event.state is JobState.FINISHING:
                left[tenants[event.job_id]] -= 1
            elif event.state is JobState.FAILED:
                raise RuntimeError(event.job_id)
    return time.perf_counter() - started


async def measured(
    model: str, slots: int, count: int, *, step_seconds: float = STEP_SECONDS, fair: bool = False
) -> tuple[float, dict[str, float]]:
    """Render `count` jobs; returns the total seconds, and the slot seconds of each guild."""
    with tempfile.TemporaryDirectory() as directory:
        workers = pool(model, slots, step_seconds)
        async with open_core(
            data_directory=Path(directory),
            pool=workers,
            cleaner=NoImages(),
            sources={},
            capabilities=Models().capabilities,
            limits=QueueLimits(per_tenant=count, per_requester=count, total=count),
            weights={},
            watermark=WatermarkSettings(),
            files_seconds=86400.0,
            assistant=None,
            guard=lambda _: ModerationGuard(extractor=MediaProcess()),
            clock=SystemClock(),
        ) as core:
            await core.jobs.pause()
            jobs = [await core.jobs.submit(order(model, number)) for number in range(count)]
            while core.jobs.position(jobs[-1].id) is None:  # noqa: ASYNC110 - the queue has no event
                await asyncio.sleep(0.05)
            for slot in workers.slots:
                await slot.ready()
            seconds = await rendered(core, jobs, all_of_a_guild=fair)
            shares: dict[str, float] = dict.fromkeys((job.tenant for job in jobs), 0.0)
            for job in jobs:
                now = await core.jobs.get(job.id, tenant=job.tenant)
                if now.state in RENDERED and now.manifest is not None:
                    shares[job.tenant] += now.manifest.timings["total"]
    return seconds, shares


async def compared(model: str) -> None:
    alone, _ = await measured(model, 1, JOBS[model])
    both, _ = await measured(model, 2, JOBS[model])
    print(
        f"{model:9}{JOBS[model]:4} jobs: one slot {alone:6.1f} s, two {both:6.1f} s,"
        f" {both / alone:.2f} of it (wanted: {WANTED[model]})",
        flush=True,
    )


async def fairness() -> None:
    seconds, shares = await measured(
        "testcard", 2, SHARED_JOBS, step_seconds=SHARED_STEP_SECONDS, fair=True
    )
    mean = sum(shares.values()) / len(shares)
    worst = max(abs(share / mean - 1) for share in shares.values())
    told = ", ".join(f"{share:.1f}" for share in shares.values())
    print(
        f"shares of {GUILDS} guilds in {seconds:.0f} s on two slots: {told} s; off by {worst:.1%}"
    )


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", choices=sorted(JOBS))
    arguments = parser.parse_args()
    for model in arguments.model or ["testcard"]:
        asyncio.run(compared(model))
    asyncio.run(fairness())


if __name__ == "__main__":
    main()
