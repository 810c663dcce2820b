"""Who pays for what the GPU does, and what is learned from it."""

from __future__ import annotations

import pytest

from inference.domain.errors import Cancelled, EngineError
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from tests.fakes.orders import JOB_SECONDS


async def share(core, tenant="guild:a"):
    return (await core.store.shares()).tenants[tenant]


async def test_the_estimate_is_charged_at_the_start_and_corrected_at_the_end(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    assert await share(core) == JOB_SECONDS

    bench.clock.advance(25)
    bench.executor.finish(load=5.0)
    await bench.reached(job.id, JobState.DELIVERING)

    assert await share(core) == pytest.approx(20)
    assert core.dispatcher._queue.shares.tenants == {"guild:a": pytest.approx(20)}


@pytest.mark.parametrize(
    ("elapsed", "paid"),
    [
        pytest.param(2.0, 2.0, id="stopped early"),
        pytest.param(50.0, JOB_SECONDS, id="hung for longer than the estimate"),
    ],
)
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(Cancelled(), id="cancelled"),
        pytest.param(EngineError("encode.failed"), id="failed"),
        pytest.param(ZeroDivisionError(), id="bug"),
    ],
)
async def test_a_job_without_a_clip_costs_what_it_used_and_never_more_than_its_estimate(
    bench, core, end, elapsed, paid
):
    bench.executor.obedient = False
    job = await bench.submit()
    await bench.executor.started()
    if isinstance(end, Cancelled):
        await bench.cancel(job)
    bench.clock.advance(elapsed)

    bench.executor.fail(end)
    await bench.reached(job.id, JobState.CANCELLED, JobState.FAILED)

    await core.dispatcher.idle()
    assert await share(core) == pytest.approx(paid)
    assert core.dispatcher._queue.shares.tenants == {"guild:a": pytest.approx(paid)}


async def test_a_lost_worker_costs_its_guild_nothing(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    await core.jobs.pause()
    bench.clock.advance(300)

    bench.executor.lose()
    await bench.reached(job.id, JobState.QUEUED)

    assert await share(core) == 0


async def test_what_renders_really_take_is_learned_without_the_time_to_load(bench, core):
    for _ in range(5):
        job = await bench.submit()
        await bench.executor.started()
        bench.clock.advance(60)
        bench.executor.finish(load=20.0)
        await bench.reached(job.id, JobState.DELIVERING)

    assert (await bench.submit()).cost == pytest.approx(40, rel=0.1)


async def test_what_was_learned_survives_a_restart(bench):
    async with bench.open() as core:
        for _ in range(5):
            job = await bench.submit()
            await bench.executor.started()
            bench.clock.advance(60)
            bench.executor.finish(load=20.0)
            await bench.reached(job.id, JobState.DELIVERING)
            await core.outbox.mark_sent(await core.outbox.get(job.id, ActKind.CLIP), {"message": 1})
    async with bench.open():
        assert (await bench.submit()).cost == pytest.approx(40, rel=0.1)
