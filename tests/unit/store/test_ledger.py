from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import crash_points
from inference.domain.errors import UserError
from inference.domain.events import EventBus
from inference.domain.fairness import Charge
from inference.domain.job import Failure, JobState
from inference.domain.outbox import ActKind
from inference.domain.quota import Quota, admit_cost, milliseconds
from inference.domain.render import Manifest
from inference.domain.verdict import Verdict
from inference.store.jobs import JobStore
from inference.store.ledger import RESERVED, SPENT, Ledger
from inference.store.outbox import OutboxStore
from inference.store.sqlite.database import open_database
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.orders import a_job, accept

HOUR = 3600.0
FREE = Charge(tenant="guild:a", tenant_virtual_time=0.0, virtual_time=0.0)
QUOTA = Quota(requester_seconds=100, tenant_seconds=150, since=NOON - HOUR, until=NOON + HOUR)

jobs = st.tuples(
    st.sampled_from(["ada", "bob", "eve"]),
    st.floats(min_value=0.01, max_value=90),
    st.floats(min_value=0.0, max_value=200),
    st.sampled_from(["delivered", "cancelled", "failed", "waiting"]),
)


class Books:
    """Job store, outbox and ledger over one file, with nobody rendering."""

    def __init__(self, database):
        self.clock = ManualClock()
        self.store = JobStore(database, self.clock, EventBus())
        self.outbox = OutboxStore(database, self.clock, EventBus())
        self.ledger = Ledger(database)

    async def accept(self, job, quota=QUOTA):
        def admit(counts):
            admit_cost(counts.usage, quota, job.cost, now=self.clock.now())

        return await accept(self.store, job, admit, since=quota.since)

    async def render(self, job, seconds):
        await self.store.begin_preparing(job.id)
        await self.store.enqueue(job.id, spec=job.spec, verdict=Verdict())
        await self.store.claim(job.id, FREE)
        manifest = Manifest(
            name="clip.mp4",
            size=1,
            sha256="",
            width=1,
            height=1,
            frames=1,
            timings={"total": seconds},
        )
        await self.store.finish(job.id, manifest, FREE)
        await self.store.deliver(job.id, Verdict())

    async def post(self, job):
        return await self.outbox.mark_sent(await self.outbox.get(job.id, ActKind.CLIP), {})

    async def usage(self, person="ada", tenant="guild:a", since=QUOTA.since):
        return await self.ledger.usage(tenant, person, since)


@pytest.fixture
async def books(tmp_path):
    async with open_database(tmp_path / "books.sqlite3") as database:
        yield Books(database)


async def test_nothing_is_charged_before_the_clip_was_posted(books):
    job = await books.accept(a_job())
    await books.render(job, 4.2)
    usage = await books.usage()
    assert (usage.requester_spent, usage.requester_reserved) == (0, 10_000)
    await books.post(job)
    usage = await books.usage()
    assert (usage.requester_spent, usage.requester_reserved) == (4_200, 0)
    assert (usage.tenant_spent, usage.tenant_reserved) == (4_200, 0)


async def test_posting_twice_charges_once(books):
    job = await books.accept(a_job())
    await books.render(job, 4.2)
    await books.post(job)
    assert await books.post(job) is None
    assert (await books.usage()).requester_spent == 4_200


async def test_an_estimate_that_was_too_low_makes_nothing_cheaper(books):
    job = await books.accept(a_job())
    await books.render(job, 99.0)
    await books.post(job)
    assert (await books.usage()).requester_spent == 99_000


@pytest.mark.parametrize("end", ["cancel", "fail", "expire"])
async def test_what_is_not_delivered_gives_everything_back(books, end):
    job = await books.accept(a_job())
    assert (await books.usage()).requester_reserved == 10_000
    failure = Failure(code="worker.gave_up")
    await (
        books.store.cancel(job.id)
        if end == "cancel"
        else getattr(books.store, end)(job.id, failure)
    )
    usage = await books.usage()
    assert (usage.requester_spent, usage.requester_reserved) == (0, 0)


async def test_ten_orders_at_once_cannot_pass_the_limit_together(books):
    answers = await asyncio.gather(
        *(books.accept(a_job(), replace(QUOTA, requester_seconds=35)) for _ in range(10)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, UserError)]
    assert len(refused) == 7
    assert (await books.usage()).requester_reserved == 30_000


async def test_other_people_and_guilds_are_counted_apart(books):
    for tenant, person in (("guild:a", "ada"), ("guild:a", "bob"), ("guild:b", "ada")):
        await books.accept(a_job(tenant, person))
    usage = await books.usage()
    assert (usage.requester_reserved, usage.tenant_reserved) == (10_000, 20_000)


async def test_a_new_day_begins_empty_but_for_what_is_still_in_line(books):
    done = await books.accept(a_job())
    await books.render(done, 10.0)
    await books.post(done)
    await books.accept(a_job())
    usage = await books.usage(since=books.clock.now() + 1)
    assert (usage.requester_spent, usage.requester_reserved) == (0, 10_000)


async def test_forgetting_keeps_the_quota_of_the_day_and_then_the_total(books):
    job = await books.accept(a_job())
    await books.render(job, 10.0)
    await books.post(job)
    rendered = await books.accept(a_job())
    await books.render(rendered, 10.0)
    await books.store.forget("guild:a", "ada")
    await books.ledger.anonymise(books.clock.now())
    assert (await books.usage()).requester_spent == 20_000

    await books.ledger.anonymise(books.clock.now() + 72 * HOUR)
    usage = await books.usage()
    assert (usage.requester_spent, usage.tenant_spent) == (0, 20_000)


@settings(max_examples=settings.default.max_examples // 8)
@given(st.lists(jobs, max_size=12))
def test_every_second_is_accounted_for_and_nothing_is_let_in_above_a_limit(orders):
    async def play(path):
        async with open_database(path) as database:
            books = Books(database)
            charged = reserved = overrun = 0
            overruns = {}
            for person, cost, seconds, end in orders:
                job = a_job(requester=person, cost=cost)
                before = await books.usage(person)
                try:
                    await books.accept(job)
                except UserError:
                    assert milliseconds(cost) > before.remaining(QUOTA)
                    assert await books.usage(person) == before
                    continue
                if end == "delivered":
                    await books.render(job, seconds)
                    await books.post(job)
                    charged += milliseconds(seconds)
                elif end == "waiting":
                    reserved += milliseconds(cost)
                else:
                    await (
                        books.store.cancel(job.id)
                        if end == "cancelled"
                        else books.store.fail(job.id, Failure(code="internal"))
                    )
                usage = await books.usage(person)
                assert (usage.tenant_spent, usage.tenant_reserved) == (charged, reserved)
                # A render may take longer than its estimate; nothing is let in above a limit.
                late = max(0, milliseconds(seconds) - milliseconds(cost))
                late = late if end == "delivered" else 0
                overrun += late
                overruns[person] = overruns.get(person, 0) + late
                assert charged + reserved <= 150_000 + overrun
                taken = usage.requester_spent + usage.requester_reserved
                assert taken <= 100_000 + overruns[person]
            everybody = [await books.usage(person) for person in ("ada", "bob", "eve")]
            assert sum(usage.requester_spent for usage in everybody) == charged
            assert sum(usage.requester_reserved for usage in everybody) == reserved

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory) / "books.sqlite3"))


@pytest.mark.parametrize(
    ("sql", "indexes"),
    [(SPENT, {"ledger_by_day", "ledger_by_person"}), (RESERVED, {"jobs_unfinished"})],
)
async def test_a_quota_is_answered_from_an_index(tmp_path, sql, indexes):
    async with open_database(tmp_path / "books.sqlite3") as database:
        values = {
            "tenant": "guild:a",
            "requester": "ada",
            "person": "test:ada",
            "since": 0,
            "person_since": 0,
        }
        values |= {"requester_hash": "#1", "person_hash": "#2"}
        plan = await database.read(f"EXPLAIN QUERY PLAN {sql}", values)
    used = [
        step["detail"] for step in plan if "ledger" in step["detail"] or "job" in step["detail"]
    ]
    assert all(any(index in step for index in indexes) for step in used)
    assert all(any(index in step for step in used) for index in indexes)


async def test_a_crash_before_the_commit_neither_ends_nor_charges_the_job(books, monkeypatch):
    job = await books.accept(a_job())
    await books.render(job, 4.2)

    def crash(name):
        if name == "before:sent_clip":
            raise OSError(name)

    monkeypatch.setattr(crash_points, "point", crash)
    with pytest.raises(OSError, match="sent_clip"):
        await books.post(job)
    monkeypatch.undo()
    assert (await books.store.get(job.id)).state is JobState.DELIVERING
    assert (await books.usage()).requester_spent == 0
    assert (await books.post(job)).state is JobState.DONE
    assert (await books.usage()).requester_spent == 4_200
