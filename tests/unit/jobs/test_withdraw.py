"""Taking an acceptance back, because somebody else serves the request."""

from __future__ import annotations

import asyncio

import pytest

from inference.domain.errors import EngineError
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from tests.fakes.orders import JOB_SECONDS, an_order


async def due(core):
    return await core.outbox.list_due(["test"], busy=[], limit=10)


async def test_a_waiting_job_is_as_if_it_had_never_been_asked_for(bench, core):
    await core.jobs.pause()
    job = await core.jobs.submit(an_order(key="click-1"))
    other = await core.jobs.submit(an_order(key="click-2"))
    await bench.reached(job.id, JobState.QUEUED)
    await bench.reached(other.id, JobState.QUEUED)

    withdrawn = await core.jobs.withdraw("click-1")

    assert withdrawn.id == job.id
    assert await core.store.get(job.id) is None
    assert core.jobs.list_queued() == [other.id]
    assert [act.job_id for act in await due(core)] == [other.id]
    again = await core.jobs.submit(an_order(key="click-1"))
    assert again.id != job.id


@pytest.mark.parametrize("end", ["cancelled", "failed", "finished"])
async def test_a_running_job_is_stopped_and_says_nothing_whatever_comes_of_it(bench, core, end):
    bench.executor.obedient = end == "cancelled"
    job = await core.jobs.submit(an_order(key="click-1"))
    await bench.executor.started()

    await core.jobs.withdraw("click-1")
    match end:
        case "failed":
            bench.executor.fail(EngineError("engine.failed"))
        case "finished":
            bench.executor.finish()
    async with asyncio.timeout(180):
        await core.dispatcher.idle()

    assert await due(core) == []
    # The expiry deletes it when it comes by.
    assert await core.store.get(job.id) is None or await core.store.forgotten() == [job.id]


async def test_a_clip_that_nobody_has_seen_is_deleted(bench, core):
    job = await core.jobs.submit(an_order(key="click-1"))
    await bench.executor.started()
    bench.clock.advance(JOB_SECONDS)
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)

    await core.jobs.withdraw("click-1")

    assert await core.store.get(job.id) is None
    assert await due(core) == []


async def test_what_was_delivered_or_never_accepted_stays_as_it_is(bench, core):
    job = await core.jobs.submit(an_order(key="click-1"))
    await bench.executor.started()
    bench.clock.advance(JOB_SECONDS)
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    await core.outbox.mark_sent(await core.outbox.get(job.id, ActKind.CLIP), {"message": 1})

    assert await core.jobs.withdraw("click-1") is None
    assert await core.jobs.withdraw("click-9") is None

    assert (await core.store.get(job.id)).state is JobState.DONE
