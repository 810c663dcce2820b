"""Benchmark of the queue: 1,000 waiting jobs of 200 guilds, with a real database.

    python -m benchmarks.queue

The target is below 5 ms for a scheduling decision.
"""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
import tempfile
import time
from pathlib import Path

import structlog

from inference.clock import SystemClock
from inference.domain.fairness import Head, Shares
from inference.domain.job import Order, Requester
from inference.domain.limits import QueueLimits
from inference.domain.spec import Aspect, Resolution, Spec
from inference.domain.watermark import WatermarkSettings
from inference.engines.registry import Models
from inference.jobs.assembly import open_core
from inference.jobs.forecast import QueueForecast
from inference.jobs.queue import JobQueue, Ticket
from inference.safety.guard import ModerationGuard
from inference.workers.media.process import MediaProcess
from inference.workers.pool import Pool
from tests.fakes.executor import FakeSlot

JOBS = 1000
MANY = 10_000
GUILDS = 200
USERS = 3
ROUNDS = 300

SPEC = Spec(
    prompt="a red fox running through snow",
    model="testcard",
    resolution=Resolution.P720,
    aspect=Aspect.WIDE,
    frames=97,
    refine=False,
    seed=7,
    steps=30,
    cfg=7.0,
    loops=1,
)


class NoImages:
    """Image cleaner that must not be called, because no job has an image."""

    async def clean_image(self, source: Path, target: Path) -> object:
        """Unused."""
        raise NotImplementedError

    async def first_frame(self, source: Path, target: Path) -> None:
        """Unused."""
        raise NotImplementedError


def order(number: int) -> Order:
    return Order(
        spec=SPEC,
        origins={},
        tenant=f"guild:{number % GUILDS}",
        requester=Requester(id=f"user:{number // GUILDS % USERS}", name="User"),
        platform="benchmark",
        address={"channel": number},
    )


def full_queue(jobs: int = JOBS) -> JobQueue:
    """Return a queue with jobs of different cost for two models."""
    queue, chance = JobQueue(Shares()), random.Random(7)
    for number in range(jobs):
        head = Head(
            job_id=f"JOB{number:07}",
            model=chance.choice(["one", "two"]),
            cost=chance.uniform(5, 150),
            load_seconds=30,
            sequence=number,
        )
        wish = order(number)
        queue.put(Ticket(head=head, tenant=wish.tenant, requester_id=wish.requester.id))
    return queue


def decisions() -> list[float]:
    queue, milliseconds = full_queue(), []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ticket, charge = queue.take("one")
        queue.shares.apply(charge)
        milliseconds.append(1000 * (time.perf_counter() - started))
        queue.put(ticket)
    return milliseconds


def forecasts(jobs: int) -> list[float]:
    """Return the milliseconds to forecast a new job at the end of a full queue."""
    queue, milliseconds = full_queue(jobs), []
    forecast = QueueForecast(queue)
    for number in range(jobs, jobs + ROUNDS):
        wish = order(number)
        head = Head(
            job_id=f"JOB{number:07}", model="one", cost=60, load_seconds=30, sequence=number
        )
        queue.put(Ticket(head=head, tenant=wish.tenant, requester_id=wish.requester.id))
        started = time.perf_counter()
        forecast.position(head.job_id)
        milliseconds.append(1000 * (time.perf_counter() - started))
    return milliseconds


async def with_database(directory: Path) -> dict[str, list[float]]:
    """Fill a queue with a database, and return the milliseconds of users' operations on it."""
    async with open_core(
        data_directory=directory,
        pool=Pool([FakeSlot()]),
        cleaner=NoImages(),
        sources={},
        capabilities=Models().capabilities,
        limits=QueueLimits(per_tenant=JOBS, per_requester=JOBS, total=2 * JOBS),
        weights={},
        watermark=WatermarkSettings(),
        files_seconds=86400.0,
        assistant=None,
        guard=lambda _: ModerationGuard(extractor=MediaProcess()),
        clock=SystemClock(),
    ) as core:
        await core.jobs.pause()
        submits, looks = [], []
        for number in range(JOBS + ROUNDS):
            started = time.perf_counter()
            job = await core.jobs.submit(order(number))
            if number >= JOBS:
                submits.append(1000 * (time.perf_counter() - started))
        while core.jobs.position(job.id) is None:  # noqa: ASYNC110 - the queue has no event
            await asyncio.sleep(0.01)
        for number in range(ROUNDS):
            started = time.perf_counter()
            await core.jobs.waiting(f"guild:{number % GUILDS}")
            looks.append(1000 * (time.perf_counter() - started))
    return {"submit (SQLite, fsync)": submits, "waiting() of one guild": looks}


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as directory:
        measured = {
            "scheduling decision": decisions(),
            "forecast": forecasts(JOBS),
            f"forecast, {MANY:,} waiting": forecasts(MANY),
            **asyncio.run(with_database(Path(directory))),
        }
    print(f"{JOBS} jobs waiting in {GUILDS} guilds, {ROUNDS} rounds\n")
    print(f"{'':28}{'median ms':>10}{'p99 ms':>10}")
    for name, milliseconds in measured.items():
        p99 = statistics.quantiles(milliseconds, n=100)[98]
        print(f"{name:28}{statistics.median(milliseconds):>10.2f}{p99:>10.2f}")


if __name__ == "__main__":
    main()
