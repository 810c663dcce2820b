"""What the job core and its fake both promise, so that tests of commands may believe the fake."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from inference.domain.errors import AssistantError, NotFound, UserError
from inference.domain.job import JobState
from inference.domain.limits import QueueLimits
from inference.domain.outbox import ActKind
from inference.domain.quota import Quota
from inference.domain.spec import Mode
from inference.jobs.service import CancelOutcome
from tests.fakes.assistant import FakeAssistant
from tests.fakes.bench import Bench
from tests.fakes.clock import ManualClock
from tests.fakes.jobs import FakeJobs
from tests.fakes.orders import a_spec, an_order

LIMIT = 3
GUILD, OTHER = "guild:a", "guild:b"


class Service:
    """The job service over a real store, with a worker that the test plays."""

    def __init__(self, bench):
        self.bench, self.jobs, self.now = bench, bench.core.jobs, bench.clock.now

    async def queued(self, *who, **order):
        return await self.bench.queued(*who, **order)

    async def settled(self, job):
        """Wait until an accepted job waits in the queue."""
        await self.bench.reached(job.id, JobState.QUEUED)

    async def done(self, job):
        await self.jobs.resume()
        await self.bench.executor.started()
        self.bench.executor.finish()
        await self.bench.reached(job.id, JobState.DELIVERING)
        outbox = self.bench.core.outbox
        for kind in (ActKind.CARD, ActKind.CLIP):
            await outbox.mark_sent(await outbox.get(job.id, kind), {"id": 1})
        return await self.bench.reached(job.id, JobState.DONE)


class Fake:
    """The fake, moved by the test."""

    def __init__(self, directory):
        self.clock = ManualClock()
        self.jobs, self.now = FakeJobs(limit=LIMIT, now=self.clock.now()), self.clock.now
        self.directory = directory

    async def queued(self, *who, **order):
        return await self.jobs.submit(an_order(*who, **order))

    async def settled(self, job):
        """Do nothing: it does at once."""

    async def done(self, job):
        file = self.directory / f"{job.id}.mp4"
        file.write_bytes(b"clip")
        self.jobs.finished[job.id] = file
        return self.jobs.put(replace(job, state=JobState.DONE, ended_at=self.now()))


@contextlib.asynccontextmanager
async def service(directory):
    limits = QueueLimits(per_tenant=LIMIT, per_requester=100, total=100)
    assistant = FakeAssistant()
    assistant.error = AssistantError("assistant.unavailable")
    bench = Bench(directory=directory, limits=limits, assistant=assistant)
    async with bench.open() as core:
        await core.jobs.pause()
        yield Service(bench)


@contextlib.asynccontextmanager
async def fake(directory):
    made = Fake(directory)
    await made.jobs.pause()
    yield made


@pytest.fixture(params=[service, fake], ids=["service", "fake"])
async def world(request, tmp_path):
    """An implementation that accepts and starts nothing, with what moves its jobs on."""
    async with request.param(tmp_path) as made:
        yield made


@pytest.fixture
def jobs(world):
    return world.jobs


async def test_an_accepted_order_is_a_job_of_its_tenant(world, jobs):
    job = await jobs.submit(an_order(GUILD, "ada", prompt="a fox"))
    assert job.state in {JobState.ACCEPTED, JobState.QUEUED}
    assert (job.tenant, job.requester.id, job.spec.prompt) == (GUILD, "ada", "a fox")
    assert job.cost == jobs.cost(job.spec)
    assert job.person
    assert (await jobs.get(job.id, tenant=GUILD)).id == job.id
    for id_, tenant in ((job.id, OTHER), ("NOSUCHJOB", GUILD)):
        with pytest.raises(NotFound):
            await jobs.get(id_, tenant=tenant)


async def test_the_same_key_is_the_same_job(world, jobs):
    first = await jobs.submit(an_order(key="k1"))
    assert (await jobs.submit(an_order(key="k1", prompt="other"))).id == first.id
    assert [job.id for job in await jobs.waiting(GUILD)] == [first.id]


async def test_a_guild_has_so_many_waiting_jobs(world, jobs):
    for _ in range(LIMIT):
        await world.queued()
    with pytest.raises(UserError) as raised:
        await jobs.submit(an_order())
    assert raised.value.code == "queue.full_tenant"
    assert raised.value.params["limit"] == LIMIT
    await jobs.submit(an_order(OTHER))


async def test_nothing_is_accepted_while_it_drains(world, jobs):
    await jobs.drain()
    assert jobs.draining
    with pytest.raises(UserError, match=r"queue\.draining"):
        await jobs.submit(an_order())
    await jobs.pause()
    assert (jobs.paused, jobs.draining) == (True, True)
    await jobs.resume()
    assert (jobs.paused, jobs.draining) == (False, False)


async def test_jobs_wait_in_the_order_of_service(world, jobs):
    first, second = await world.queued(), await world.queued()
    assert [job.id for job in await jobs.waiting(GUILD)] == [first.id, second.id]
    assert await jobs.waiting(OTHER) == []
    places = [jobs.position(job.id) for job in (first, second)]
    assert [place.position for place in places] == [1, 2]
    assert places[0].ready_in <= places[1].ready_in
    assert jobs.position("NOSUCHJOB") is None
    assert jobs.progress(first.id) is None
    assert jobs.outlook(await jobs.get(first.id, tenant=GUILD)) is None


async def test_a_waiting_job_can_be_cancelled_once(world, jobs):
    job = await world.queued()
    for id_, tenant in ((job.id, OTHER), ("NOSUCHJOB", GUILD)):
        with pytest.raises(NotFound):
            await jobs.cancel(id_, tenant=tenant)
    assert await jobs.cancel(job.id, tenant=GUILD) is CancelOutcome.CANCELLED
    assert (await jobs.get(job.id, tenant=GUILD)).state is JobState.CANCELLED
    assert await jobs.waiting(GUILD) == []
    assert jobs.position(job.id) is None
    assert await jobs.cancel(job.id, tenant=GUILD) is CancelOutcome.TOO_LATE


async def test_a_waiting_job_can_be_changed_and_moves_behind(world, jobs):
    first, second = await world.queued(), await world.queued()
    spec = a_spec(prompt="a wolf", frames=97)
    revised = await jobs.revise(first.id, tenant=GUILD, spec=spec, origins={"prompt": "typed"})
    assert (revised.id, revised.spec, revised.cost) == (first.id, spec, jobs.cost(spec))
    assert (await jobs.get(first.id, tenant=GUILD)).spec.prompt == "a wolf"
    assert jobs.position(second.id).position == 1
    await jobs.cancel(first.id, tenant=GUILD)
    assert await jobs.revise(first.id, tenant=GUILD, spec=spec, origins={}) is None
    with pytest.raises(NotFound):
        await jobs.revise(second.id, tenant=OTHER, spec=spec, origins={})


async def test_a_quota_holds_for_new_and_for_changed_jobs(world, jobs):
    cost = jobs.cost(a_spec())
    quota = Quota(
        requester_seconds=int(1.5 * cost),
        since=world.now() - 60,
        until=world.now() + 60,
    )
    job = await jobs.submit(replace(an_order(), quota=quota))
    await world.settled(job)
    with pytest.raises(UserError) as raised:
        await jobs.submit(replace(an_order(), quota=quota))
    assert raised.value.code.startswith("quota.")
    # A changed job does not count twice: what it reserved before is free for it.
    spec = a_spec(prompt="a wolf")
    assert await jobs.revise(job.id, tenant=GUILD, spec=spec, origins={}, quota=quota)
    tight = replace(quota, requester_seconds=int(0.5 * cost))
    await world.settled(job)
    with pytest.raises(UserError) as raised:
        await jobs.revise(job.id, tenant=GUILD, spec=spec, origins={}, quota=tight)
    assert raised.value.code.startswith("quota.")


async def test_usage_tells_what_is_reserved_and_what_was_spent(world, jobs):
    before = world.now() - 60
    job = await world.queued()
    waiting = await jobs.usage(GUILD, "ada", since=before, person=job.person)
    assert waiting.requester_reserved == waiting.tenant_reserved > 0
    assert waiting.person_reserved == waiting.requester_reserved
    assert (waiting.requester_spent, waiting.person_spent) == (0, 0)
    other = await jobs.usage(OTHER, "ada", since=before)
    assert (other.tenant_reserved, other.requester_reserved) == (0, 0)
    await jobs.cancel(job.id, tenant=GUILD)
    assert (await jobs.usage(GUILD, "ada", since=before)).tenant_reserved == 0


async def test_a_job_is_waited_for_until_it_has_left_a_state(world, jobs):
    job = await world.queued()
    others = set(JobState) - {JobState.QUEUED}
    assert await jobs.wait_past([job], others, seconds=180) == [
        await jobs.get(job.id, tenant=GUILD)
    ]
    waiting = asyncio.create_task(jobs.wait_past([job], {JobState.QUEUED}, seconds=180))
    await asyncio.sleep(0)
    await jobs.cancel(job.id, tenant=GUILD)
    [left] = await waiting
    assert (left.id, left.state) == (job.id, JobState.CANCELLED)


async def test_of_several_jobs_the_last_one_is_waited_for(world, jobs):
    first, second = await world.queued(), await world.queued()
    waiting = asyncio.create_task(jobs.wait_past([first, second], {JobState.QUEUED}, seconds=180))
    await asyncio.sleep(0)
    await jobs.cancel(first.id, tenant=GUILD)
    await jobs.cancel(second.id, tenant=GUILD)
    assert [job.state for job in await waiting] == [JobState.CANCELLED] * 2


async def test_a_job_that_stays_in_a_state_is_waited_for_no_longer_than_that(world, jobs):
    job = await world.queued()
    [left] = await jobs.wait_past([job], {JobState.QUEUED}, seconds=0.01)
    assert (left.id, left.state) == (job.id, JobState.QUEUED)


async def test_a_job_that_is_forgotten_meanwhile_is_unknown(world, jobs):
    job = await world.queued(GUILD, "ada")
    waiting = asyncio.create_task(jobs.wait_past([job], {JobState.QUEUED}, seconds=180))
    await asyncio.sleep(0)
    await jobs.forget(tenant=GUILD, requester_id="ada")
    with pytest.raises(NotFound):
        await waiting


async def test_recent_jobs_and_history_are_the_persons_own_and_newest_first(world, jobs):
    old = await world.queued(GUILD, "ada", prompt="a red fox in snow")
    await world.queued(GUILD, "bob", prompt="a fox of bob's")
    new = await world.queued(GUILD, "ada", prompt="a Foxglove at night")

    def ids(found):
        return [job.id for job in found]

    assert ids(await jobs.recent(GUILD, "ada", limit=9)) == [new.id, old.id]
    assert ids(await jobs.recent(GUILD, "ada", limit=1)) == [new.id]
    assert ids(await jobs.history(GUILD, "ada", limit=9, offset=1)) == [old.id]
    assert ids(await jobs.history(GUILD, "ada", words="fox", limit=9)) == [new.id, old.id]
    assert ids(await jobs.history(GUILD, "ada", words="RED sno", limit=9)) == [old.id]
    assert ids(await jobs.history(GUILD, "ada", words="wolf", limit=9)) == []
    assert ids(await jobs.history(OTHER, "ada", limit=9)) == []


async def test_what_has_not_ended_has_no_file_and_cannot_be_taken_back(world, jobs):
    job = await world.queued()
    assert jobs.files(job) is None
    assert not jobs.extendable(job)
    assert await jobs.remove(job.id, tenant=GUILD) is False
    assert await jobs.agree(job.id, tenant=GUILD, own_words=True) is None
    with pytest.raises(NotFound):
        await jobs.remove(job.id, tenant=OTHER)


async def test_a_finished_file_can_be_taken_back_once(world, jobs):
    job = await world.done(await world.queued())
    assert jobs.files(job).is_file()
    assert await jobs.cancel(job.id, tenant=GUILD) is CancelOutcome.TOO_LATE
    assert await jobs.remove(job.id, tenant=GUILD) is True
    job = await jobs.get(job.id, tenant=GUILD)
    assert job.removed_at is not None
    assert jobs.files(job) is None
    assert await jobs.remove(job.id, tenant=GUILD) is False


async def test_what_is_forgotten_is_gone(world, jobs):
    mine = await world.queued(GUILD, "ada")
    bobs = await world.queued(GUILD, "bob")
    assert await jobs.forget(tenant=GUILD, requester_id="ada") == 1
    with pytest.raises(NotFound):
        await jobs.get(mine.id, tenant=GUILD)
    assert [job.id for job in await jobs.waiting(GUILD)] == [bobs.id]
    assert await jobs.forget(tenant=GUILD, requester_id="ada") == 0


async def test_an_assistant_that_is_away_has_no_answer(world, jobs):
    with pytest.raises(AssistantError):
        await jobs.refine(
            "a fox", mode=Mode.TEXT_TO_VIDEO, model="fox", tenant=GUILD, requester_id="ada"
        )
