"""/rushes forget-me: when it says that it is done, nothing of the person can be found."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inference.domain.errors import UserError
from inference.domain.job import JobState
from inference.domain.limits import QueueLimits
from inference.domain.outbox import ActKind
from inference.domain.quota import Quota
from inference.domain.spec import Mode
from inference.store.maintenance import DATABASE_NAME
from tests.fakes.assistant import FakeAssistant
from tests.fakes.orders import an_order

WORDS = "zanzibarian zebra in a zeppelin"
NAME = "ada-the-very-first"


async def submit(bench, quota=None):
    bench.clock.advance(0.01)
    order = replace(an_order(requester=NAME, prompt=WORDS), quota=quota)
    return await bench.core.jobs.submit(order)


async def forget(bench, tenant="guild:a"):
    return await bench.core.jobs.forget(tenant=tenant, requester_id=NAME)


def left(directory):
    """Return in which files of the database a word of the prompt or the name can be read."""
    return [
        path.name
        for path in directory.glob(f"{DATABASE_NAME}*")
        if any(word.encode() in path.read_bytes() for word in (*WORDS.split()[:2], NAME))
    ]


@pytest.fixture
async def core(bench):
    async with bench.open() as core:
        yield core


@pytest.mark.attack("forgetting", "list prompts right after forget-me, with cards undeliverable")
async def test_prompts_are_gone_when_it_says_so_though_no_card_could_be_delivered(bench, core):
    for _ in range(4):
        await submit(bench)
    await bench.executor.started()
    other = await bench.submit(requester="bob", prompt="a quiet lake")
    assert await forget(bench) == 4

    assert await core.jobs.history("guild:a", NAME, limit=10) == []
    assert await core.jobs.history("guild:a", NAME, words="zebra", limit=10) == []
    assert [job.id for job in await core.jobs.waiting("guild:a")] == [other.id]
    assert left(bench.directory) == []


@pytest.mark.attack("forgetting", "let a running job write back after forget-me")
async def test_what_runs_is_stopped_and_writes_nothing_back(bench, core):
    bench.executor.obedient = False
    job = await submit(bench)
    task = await bench.executor.started()
    await forget(bench)
    assert bench.executor.asked_to_cancel == [job.id]
    bench.executor.finish()  # too late to be stopped
    after = await bench.queued(requester="bob")
    await bench.executor.started()

    assert await core.outbox.list_due(["test"], busy=[after.id], limit=9) == []
    await bench.clock.asleep(10.0)
    bench.clock.advance(10.0)
    await bench.clock.asleep(10.0)
    assert not task.directory.parent.exists()
    assert await core.database.read("SELECT id FROM jobs WHERE id = ?", (job.id,)) == []
    assert left(bench.directory) == []


@pytest.mark.attack("forgetting", "read a clip's prompt in the files of the database")
@pytest.mark.parametrize("state", [JobState.DELIVERING, JobState.DONE])
async def test_what_was_rendered_goes_with_its_files(bench, core, state):
    job = await submit(bench)
    await bench.executor.started()
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    if state is JobState.DONE:
        for kind in (ActKind.CARD, ActKind.CLIP):
            await core.outbox.mark_sent(await core.outbox.get(job.id, kind), {"id": 1})
    act = await core.outbox.get(job.id, ActKind.CLIP)
    await forget(bench)
    assert not core.artifacts.input_directory(job.id).parent.exists()
    await core.outbox.mark_sent(act, {"id": 2})  # the upload that was under way
    await core.outbox.retry(act, at=0.0)
    assert await core.outbox.get(job.id, ActKind.CLIP) is None
    assert left(bench.directory) == []


@pytest.mark.attack("forgetting", "crash right after forget-me")
async def test_a_crash_right_after_it_brings_nothing_back(bench, core):
    bench.executor.obedient = False
    for _ in range(3):
        await submit(bench)
    await bench.executor.started()
    await forget(bench)
    crashed = bench.crashed()
    async with crashed.open() as again:
        assert await again.jobs.history("guild:a", NAME, limit=10) == []
        assert await again.store.list_unfinished() == []
        assert not crashed.executor.rendering


@pytest.mark.attack("accounting", "get rid of a cooldown with forget-me")
async def test_the_cooldown_survives(bench):
    bench.limits = QueueLimits(cooldown_seconds=60.0)
    async with bench.open():
        await submit(bench)
        await forget(bench)
        with pytest.raises(UserError, match=r"queue\.cooldown"):
            await submit(bench)
        bench.clock.advance(60.0)
        await submit(bench)


@pytest.mark.attack("accounting", "get rid of the day's quota with forget-me")
@pytest.mark.parametrize("state", [JobState.DELIVERING, JobState.DONE])
async def test_the_quota_of_the_day_survives_as_a_hash(bench, core, state):
    now = bench.clock.now()
    quota = Quota(requester_seconds=15, since=now - 10, until=now + 80_000)
    job = await submit(bench, quota=quota)
    await bench.executor.started()
    bench.clock.advance(12.0)
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    if state is JobState.DONE:
        for kind in (ActKind.CARD, ActKind.CLIP):
            await core.outbox.mark_sent(await core.outbox.get(job.id, kind), {"id": 1})
    await forget(bench)
    usage = await core.jobs.usage("guild:a", NAME, since=quota.since)
    assert usage.requester_spent == 12_000
    with pytest.raises(UserError, match=r"quota\.requester"):
        await submit(bench, quota=quota)
    [entry] = await core.database.read("SELECT * FROM ledger")
    assert job.id not in tuple(entry)
    assert left(bench.directory) == []


@pytest.mark.attack("forgetting", "find a forgotten prompt among rows that were set aside")
async def test_quarantined_rows_of_the_person_go_too(bench, core):
    job = await submit(bench)
    await bench.executor.started()
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)

    async def damage(connection):
        await connection.execute("UPDATE jobs SET verdict = '{'")

    await core.database.write("damage", damage)
    await core.store.list_unfinished()
    assert await core.database.read("SELECT id FROM quarantine")
    await forget(bench)
    assert await core.database.read("SELECT id FROM quarantine") == []
    assert left(bench.directory) == []


@pytest.mark.attack("forgetting", "forget somebody in another guild")
async def test_others_keep_what_is_theirs(bench, core):
    same = await bench.submit("guild:b", requester=NAME, prompt="a calm sea")
    await forget(bench)
    assert (await bench.now(same)).spec.prompt == "a calm sea"
    history = await core.jobs.history("guild:b", NAME, words="calm", limit=10)
    assert [job.id for job in history] == [same.id]


@pytest.mark.attack("forgetting", "abort forget-me half-way")
async def test_a_caller_that_is_cancelled_has_still_asked(bench, core):
    job = await submit(bench)
    await bench.executor.started()
    with core.events.subscribe() as events:
        asking = asyncio.create_task(forget(bench))
        await asyncio.sleep(0)
        asking.cancel()
        async with asyncio.timeout(180):
            while (event := await events.get()).state is not JobState.CANCELLED:
                pass
    assert asking.cancelled()
    assert event.job_id == job.id
    assert await core.jobs.history("guild:a", NAME, limit=10) == []


@pytest.mark.attack("forgetting", "let the assistant answer after forget-me")
async def test_an_answer_that_is_on_its_way_is_not_kept(bench):
    assistant = bench.assistant = FakeAssistant()
    assistant.gate = asyncio.Event()
    async with bench.open() as core:
        asking = asyncio.create_task(
            core.jobs.refine(
                WORDS, mode=Mode.TEXT_TO_VIDEO, model="fox", tenant="guild:a", requester_id=NAME
            )
        )
        async with asyncio.timeout(180):
            while not assistant.requests:  # noqa: ASYNC110 - the fake tells nobody
                await asyncio.sleep(0)
        await forget(bench)
        assistant.gate.set()
        assert await asking
        assert await core.database.read("SELECT * FROM refinements") == []
