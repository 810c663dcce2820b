from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inference.domain.errors import UserError
from inference.domain.fairness import Charge
from inference.domain.job import MAX_ATTEMPTS, JobState
from inference.domain.outbox import ActKind
from tests.fakes.bench import Bench
from tests.fakes.orders import JOB_SECONDS, capabilities

NO_CHARGE = Charge(tenant="guild:a", tenant_virtual_time=0, virtual_time=0)


async def serve_one(bench):
    """Let the GPU take one job and finish it, and stop the queue again."""
    bench.clock.advance(0.01)
    await bench.core.jobs.resume()
    task = await bench.executor.started()
    await bench.core.jobs.pause()
    bench.clock.advance(JOB_SECONDS)
    bench.executor.finish()
    await bench.reached(task.job_id, JobState.DELIVERING)


async def test_a_job_on_the_gpu_of_a_killed_process_runs_again_before_all_others(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    other = await bench.queued()

    after = bench.crashed()
    left = after.directory / "jobs" / job.id / "1" / "clip.mp4.part"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    async with after.open():
        task = await after.executor.started()
        assert (task.job_id, task.attempt) == (job.id, 2)
        assert not left.parent.exists()
        assert (await after.now(job)).losses == 0
        after.executor.finish()
        assert (await after.executor.started()).job_id == other.id


async def test_the_estimate_of_an_interrupted_job_is_not_charged_twice(bench, core):
    await bench.submit()
    await bench.executor.started()

    after = bench.crashed()
    async with after.open() as recovered:
        await after.executor.started()
        assert (await recovered.store.shares()).tenants == {"guild:a": JOB_SECONDS}


async def test_a_job_that_was_to_be_cancelled_is_not_begun_again(bench, core):
    bench.executor.obedient = False
    job = await bench.submit()
    await bench.executor.started()
    await bench.cancel(job)

    after = bench.crashed()
    async with after.open() as recovered:
        assert (await after.now(job)).state is JobState.CANCELLED
        assert await recovered.outbox.get(job.id, ActKind.CLIP) is None
        assert recovered.jobs.list_queued() == []


@pytest.mark.parametrize("intact", [True, False])
async def test_a_complete_file_is_delivered_and_a_damaged_one_made_again(bench, core, intact):
    job = await bench.submit()
    task = await bench.executor.started()
    await core.store.finish(job.id, bench.executor.write_file(), NO_CHARGE)

    after = bench.crashed()
    if not intact:
        clip = after.directory / task.directory.relative_to(bench.directory) / "clip.mp4"
        clip.write_bytes(clip.read_bytes()[:-1])
    async with after.open():
        if intact:
            await after.reached(job.id, JobState.DELIVERING)
            assert after.executor.served == []
        else:
            assert (await after.executor.started()).attempt == 2


async def test_a_finished_job_keeps_its_clip_act_and_gets_no_second_one(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)

    after = bench.crashed()
    async with after.open() as recovered:
        clip = await recovered.outbox.get(job.id, ActKind.CLIP)
        assert (clip.wanted, clip.shown) == (1, 0)
        assert (await after.now(job)).state is JobState.DELIVERING
        assert after.executor.served == []


async def test_a_card_that_was_never_posted_is_still_due(bench, core):
    job = await bench.submit()
    await bench.reached(job.id, JobState.RUNNING)

    after = bench.crashed()
    async with after.open() as recovered:
        [card] = await recovered.outbox.list_due(["test"], busy=[], limit=9)
        assert (card.job_id, card.kind) == (job.id, ActKind.CARD)


async def test_a_job_that_never_gets_through_is_not_tried_for_ever(bench):
    async with bench.open():
        job = await bench.submit()
        await bench.executor.started()
    for attempt in range(2, MAX_ATTEMPTS + 1):
        async with bench.open():
            assert (await bench.executor.started()).attempt == attempt
    async with bench.open() as core:
        failed = await bench.reached(job.id, JobState.FAILED)
        assert failed.failure.code == "worker.gave_up"
        assert core.jobs.list_queued() == []


def without_foxes(name):
    if name == "fox":
        raise UserError("model.unknown", name=name)
    return capabilities(name)


async def test_waiting_jobs_of_a_model_that_was_taken_away_fail_and_the_others_go_on(bench, core):
    await core.jobs.pause()
    gone, other = await bench.queued(model="fox"), await bench.queued(model="owl")

    after = bench.crashed()
    after.capabilities = without_foxes
    async with after.open() as recovered:
        failed = await after.now(gone)
        assert (failed.state, failed.failure.code) == (JobState.FAILED, "model.unknown")
        assert await recovered.outbox.get(gone.id, ActKind.NOTICE)
        assert recovered.jobs.list_queued() == [other.id]


async def test_past_jobs_of_a_model_that_was_taken_away_do_not_stop_the_start(bench, core):
    job = await bench.submit(model="fox")
    await bench.executor.started()
    bench.clock.advance(5)
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    await core.outbox.mark_sent(await core.outbox.get(job.id, ActKind.CLIP), {"message": 1})

    after = bench.crashed()
    after.capabilities = without_foxes
    async with after.open():
        await after.submit(model="owl")
        await after.executor.started()


JOIN = st.tuples(st.sampled_from(["guild:a", "guild:b"]), st.sampled_from(["ada", "bob", "cy"]))
SERVE = st.just("serve")


ADA, BOB = ("guild:a", "ada"), ("guild:a", "bob")


@settings(max_examples=settings.default.max_examples // 6)
@example([ADA, ADA, BOB, "serve"])
@example([ADA, BOB, "serve", ADA, BOB, "serve", ADA, BOB])
@given(st.lists(JOIN | SERVE, min_size=2, max_size=14))
def test_a_restart_changes_neither_the_order_nor_whose_turn_it_is(steps):
    async def story(directory):
        bench = Bench(directory=directory / "data")
        async with bench.open() as core:
            await core.jobs.pause()
            for step in steps:
                if step != "serve":
                    await bench.queued(*step)
                elif core.jobs.list_queued():
                    await serve_one(bench)
            order, after = core.jobs.list_queued(), bench.crashed()
        async with after.open() as recovered:
            assert recovered.jobs.list_queued() == order

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(story(Path(directory)))


async def test_a_job_given_up_after_many_kills_is_charged_to_nobody(bench):
    job = None
    for _ in range(MAX_ATTEMPTS):
        async with bench.open() as core:
            job = job or await bench.submit()
            await bench.executor.started()
            bench = bench.crashed()
    async with bench.open() as core:
        failed = await bench.reached(job.id, JobState.FAILED)
        assert failed.failure.code == "worker.gave_up"
        assert (await core.store.shares()).tenants["guild:a"] == 0


async def test_a_cancel_before_a_kill_is_charged_what_ran_until_then(bench):
    bench.executor.obedient = False
    async with bench.open():
        job = await bench.submit()
        await bench.executor.started()
        bench.clock.advance(JOB_SECONDS / 4)
        await bench.cancel(job)
        after = bench.crashed()
    async with after.open() as core:
        await after.reached(job.id, JobState.CANCELLED)
        shares = await core.store.shares()
        assert shares.tenants["guild:a"] == pytest.approx(JOB_SECONDS / 4)
