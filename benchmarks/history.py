"""Benchmark of `/rushes queue` and `/rushes history` with 100,000 finished jobs in the database.

    python benchmarks/history.py

Prints milliseconds per call (median and worst of 50), and the query plans. Target: 20 ms.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite

from inference.clock import SystemClock
from inference.domain.events import EventBus
from inference.domain.spec import Aspect, Resolution, Spec
from inference.store.history import PAGE, SEARCH, History
from inference.store.jobs import JobStore
from inference.store.ledger import RESERVED, SPENT, Ledger
from inference.store.sqlite.database import Database, open_database

FINISHED = 100_000
PEOPLE = 100
WAITING = 20
LOOKS = 50

WORDS = ("red", "fox", "snow", "running", "city", "night", "rain", "owl", "slow", "wide")


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "rushes.sqlite3") as database:
            await _fill(database)
            store = JobStore(database, SystemClock(), EventBus())
            history, ledger = History(database), Ledger(database)
            for name, look in (
                ("queue", lambda: store.list_unfinished(tenant="guild:a")),
                ("history, busy person", lambda: history.page("guild:a", "p0", limit=11)),
                (
                    "history, page 1000",
                    lambda: history.page("guild:a", "p0", limit=11, offset=10_000),
                ),
                (
                    "search, common word",
                    lambda: history.page("guild:a", "p0", words="fox", limit=11),
                ),
                (
                    "search, two words",
                    lambda: history.page("guild:a", "p0", words="owl ra", limit=11),
                ),
                (
                    "search, no hit",
                    lambda: history.page("guild:a", "p0", words="zebra", limit=11),
                ),
                ("quota", lambda: ledger.usage("guild:a", "p0", since=FINISHED - 1000)),
            ):
                await _time(name, look)
            for sql in (PAGE, SEARCH, SPENT, RESERVED):
                await _explain(database, sql)


async def _fill(database: Database) -> None:
    """Insert jobs, half of them of one person and the rest of many."""
    draw = random.Random(1)

    async def work(connection: aiosqlite.Connection) -> None:
        jobs, charges = [], []
        for number in range(FINISHED + WAITING):
            person = f"p{0 if number % 2 else draw.randrange(PEOPLE)}"
            done = number < FINISHED
            prompt = " ".join(draw.choices(WORDS, k=8))
            jobs.append(
                (
                    f"J{number:09}",
                    "done" if done else "queued",
                    json.dumps(_spec(prompt).as_dict()),
                    person,
                    float(number),
                    float(number) if done else None,
                )
            )
            if done:
                charges.append((f"J{number:09}", person, 4200, float(number)))
        await connection.executemany(
            "INSERT INTO jobs (id, state, spec, origins, tenant, requester_id, requester_name,"
            " platform, address, created_at, cost, ended_at)"
            " VALUES (?, ?, ?, '{}', 'guild:a', ?, '', 'test', '{}', ?, 5, ?)",
            jobs,
        )
        await connection.executemany(
            "INSERT INTO ledger (job, tenant, requester_id, milliseconds, charged_at)"
            " VALUES (?, 'guild:a', ?, ?, ?)",
            charges,
        )

    await database.write("fill", work)


def _spec(prompt: str) -> Spec:
    return Spec(
        prompt=prompt,
        model="nano",
        resolution=Resolution.P360,
        aspect=Aspect.WIDE,
        frames=49,
        refine=False,
        seed=7,
        steps=30,
        cfg=7.0,
        loops=1,
    )


async def _time(name: str, look: Callable[[], Awaitable[object]]) -> None:
    await look()
    taken = []
    for _ in range(LOOKS):
        start = time.perf_counter()
        await look()
        taken.append(1000 * (time.perf_counter() - start))
    print(f"{name:22} median {statistics.median(taken):7.2f} ms   worst {max(taken):7.2f} ms")


async def _explain(database: Database, sql: str) -> None:
    values = {
        "tenant": "guild:a",
        "requester": "p0",
        "limit": 11,
        "offset": 0,
        "since": 0,
        "match": 'owner : "00" AND prompt : "fox" *',
    }
    print(" ".join(sql.split())[:70])
    for row in await database.read(f"EXPLAIN QUERY PLAN {sql}", values):
        print("   ", row["detail"])


if __name__ == "__main__":
    asyncio.run(main())
