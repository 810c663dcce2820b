"""Several slots: every free one is busy, and each render is known by its job."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inference.domain.device import CPU, Device
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.service import CancelOutcome
from inference.workers.pool import Pool
from tests.fakes.executor import DEVICE, FakeSlot
from tests.fakes.orders import JOB_SECONDS, LOAD_SECONDS, a_spec, capabilities

SMALL = Device(name="Small GPU", memory_bytes=8 << 30)


@pytest.fixture
def executor():
    return FakeSlot("one")


@pytest.fixture
def second():
    return FakeSlot("two")


@pytest.fixture
def bench(bench, second):
    return replace(bench, more=[second])


def seconds_left(core):
    return {render.job.id: render.seconds_left for render in core.dispatcher.active}


async def share(core, tenant="guild:a"):
    return (await core.store.shares()).tenants[tenant]


# -- who runs where --------------------------------------------------------------------------


async def test_every_free_slot_takes_a_job_and_the_next_one_waits(bench, core, second):
    jobs = [await bench.submit(), await bench.submit(), await bench.submit()]

    tasks = [await bench.executor.started(), await second.started()]

    assert {task.job_id for task in tasks} == {jobs[0].id, jobs[1].id}
    assert {render.slot.name for render in core.dispatcher.active} == {"one", "two"}
    assert (await bench.reached(jobs[2].id, JobState.QUEUED)).slot is None
    second.finish()
    assert (await second.started()).job_id == jobs[2].id
    assert bench.executor.rendering


async def test_a_guild_waits_for_others_once_no_slot_is_free(bench, core, second):
    assert not core.jobs.waits_for_others("guild:b")
    await bench.submit("guild:a")
    await bench.executor.started()
    assert not core.jobs.waits_for_others("guild:b")  # the second slot is free
    await bench.submit("guild:a")
    await second.started()
    assert core.jobs.waits_for_others("guild:b")
    assert not core.jobs.waits_for_others("guild:a")  # for itself only
    await bench.queued("guild:b")
    assert core.jobs.waits_for_others("guild:a")
    assert core.jobs.waits_for_others("guild:b")


async def test_the_row_of_a_job_keeps_its_slot_and_what_made_its_file(bench, core, second):
    second.device = SMALL
    await bench.submit()
    job = await bench.submit()
    await second.started()
    running = await bench.now(job)
    assert (running.slot, running.device) == ("two", None)

    second.finish()

    done = await bench.reached(job.id, JobState.DELIVERING)
    assert (done.slot, done.device) == ("two", "Small GPU")


async def test_a_job_goes_where_its_model_is_warm(bench, core, second):
    bench.executor.warm_model, second.warm_model = "fox", "owl"
    owl = await bench.submit(model="owl")
    assert (await second.started()).job_id == owl.id
    fox = await bench.submit(model="fox")
    assert (await bench.executor.started()).job_id == fox.id


async def test_a_new_model_goes_to_the_slot_where_nothing_is_warm(bench, core, second):
    bench.executor.warm_model = "owl"
    fox = await bench.submit(model="fox")
    assert (await second.started()).job_id == fox.id


async def test_two_models_of_two_guilds_stay_on_their_slots(bench, core, second):
    await core.jobs.pause()
    for number in range(4):
        await bench.queued(f"guild:{number % 2}", model=("fox", "owl")[number % 2])
    bench.executor.warm_model, second.warm_model = "fox", "owl"
    await core.jobs.resume()
    for slot in (bench.executor, second) * 2:
        await slot.started()
        bench.clock.advance(JOB_SECONDS)
        slot.finish()
    assert {task.spec.model for task in bench.executor.tasks} == {"fox"}
    assert {task.spec.model for task in second.tasks} == {"owl"}


async def test_a_warm_model_keeps_a_guild_waiting_on_no_slot_for_longer_than_a_load(
    bench, core, second
):
    bench.executor.warm_model = second.warm_model = "fox"
    await core.jobs.pause()
    owl = await bench.queued("guild:z", model="owl")
    for number in range(40):
        await bench.queued(f"guild:{number}", model="fox")
    await core.jobs.resume()
    before = 0
    while owl.id not in bench.executor.served + second.served:
        for slot in (bench.executor, second):
            await slot.started()
            bench.clock.advance(JOB_SECONDS / 2)
            slot.finish()
            before += 1
        await asyncio.sleep(0)
    assert before <= 2 * (LOAD_SECONDS / JOB_SECONDS + 1) + 2


def by_memory(spec, device):
    return spec.frames < 97 or device.memory_bytes > SMALL.memory_bytes


@pytest.fixture
def uneven(bench, second, monkeypatch):
    """A large GPU and a small one, that long clips do not fit."""
    second.device = SMALL
    monkeypatch.setattr("tests.fakes.bench.Pool", lambda slots: Pool(slots, by_memory))
    return bench


async def test_what_does_not_fit_a_small_gpu_waits_for_the_large_one(uneven, second):
    async with uneven.open():
        await uneven.submit(frames=97)
        large = await uneven.submit(frames=97)
        small = await uneven.submit(frames=49)

        assert (await second.started()).job_id == small.id
        assert (await uneven.now(large)).state is JobState.QUEUED
        uneven.executor.finish()
        assert (await uneven.executor.started()).job_id == large.id


async def test_what_fits_no_gpu_is_for_the_engine_to_refuse(uneven, second):
    second.device = uneven.executor.device = SMALL
    async with uneven.open():
        jobs = {(await uneven.submit(frames=97)).id, (await uneven.submit(frames=97)).id}
        assert {(await uneven.executor.started()).job_id, (await second.started()).job_id} == jobs


async def test_a_model_whose_memory_check_breaks_holds_up_nobody(bench, second, monkeypatch):
    def breaks(spec, device):
        if spec.model == "owl":
            raise RuntimeError("a bug of its own")
        return True

    second.device = SMALL
    monkeypatch.setattr("tests.fakes.bench.Pool", lambda slots: Pool(slots, breaks))
    async with bench.open():
        jobs = {(await bench.submit(model="owl")).id, (await bench.submit()).id}
        assert {(await bench.executor.started()).job_id, (await second.started()).job_id} == jobs


def test_where_there_is_a_gpu_the_cpu_takes_only_models_made_for_it():
    slots = [FakeSlot("cuda:0"), FakeSlot("cpu", device=Device(name=CPU, memory_bytes=1 << 40))]
    pool = Pool(slots, on_cpu={"fox"})
    assert pool.fits(a_spec(model="fox"), "cpu")
    assert not pool.fits(a_spec(model="owl"), "cpu")
    assert pool.fits(a_spec(model="owl"), "cuda:0")
    assert pool.device == DEVICE


# -- one of them ends ------------------------------------------------------------------------


async def test_a_cancel_reaches_the_slot_of_its_job_only(bench, core, second):
    first, other = await bench.submit(), await bench.submit()
    await bench.executor.started()
    await second.started()

    assert await bench.cancel(other) is CancelOutcome.CANCELLING
    await bench.reached(other.id, JobState.CANCELLED)

    assert bench.executor.asked_to_cancel == []
    assert bench.executor.rendering
    assert (await bench.now(first)).state is JobState.RUNNING


async def test_a_cancel_between_claim_and_render_is_not_lost(bench, core, second, monkeypatch):
    claim = core.store.claim

    async def claimed_and_cancelled(job_id, charge, slot=None):
        job = await claim(job_id, charge, slot)
        await core.store.request_cancel(job_id)
        asyncio.get_running_loop().call_soon(
            lambda: asyncio.ensure_future(core.dispatcher.cancel(job_id))
        )
        return job

    monkeypatch.setattr(core.store, "claim", claimed_and_cancelled)
    job = await bench.submit()
    await bench.reached(job.id, JobState.CANCELLED)


async def test_a_lost_worker_costs_the_other_slots_nothing(bench, core, second):
    first, other = await bench.submit(), await bench.submit()
    await bench.executor.started()
    await second.started()
    second.lose()

    again = await second.started()

    assert (again.job_id, again.attempt) == (other.id, 2)
    assert (await bench.now(first)).attempt == 1
    assert bench.executor.rendering


async def test_a_slot_without_a_worker_takes_nothing_and_the_others_go_on(bench, second):
    second.away = True
    async with bench.open() as core:
        jobs = [await bench.submit(), await bench.submit()]
        for job in jobs:
            assert (await bench.executor.started()).job_id == job.id
            assert not core.jobs.without_worker
            assert second.tasks == []
            bench.executor.finish()
            await bench.reached(job.id, JobState.DELIVERING)
        bench.executor.automatic = False
        await bench.submit()
        await bench.executor.started()
        job = await bench.queued()
        second.away = False
        assert (await second.started()).job_id == job.id


async def test_jobs_wait_when_no_slot_has_a_worker(bench, second):
    bench.executor.away = second.away = True
    async with bench.open() as core:
        await bench.queued()
        assert core.jobs.without_worker
        second.away = False
        await second.started()
        assert not core.jobs.without_worker


async def test_renders_of_one_guild_that_end_at_once_are_both_charged(bench, core, second):
    first, other = await bench.submit(), await bench.submit()
    await bench.executor.started()
    await second.started()
    assert await share(core) == 2 * JOB_SECONDS
    bench.clock.advance(25)

    async with bench.writer_held() as queued:
        bench.executor.finish()
        second.finish()
        await queued(1)

    await bench.reached(first.id, JobState.DELIVERING)
    await bench.reached(other.id, JobState.DELIVERING)
    assert await share(core) == pytest.approx(50)
    assert core.dispatcher._queue.shares.tenants == {"guild:a": pytest.approx(50)}


# -- all of them -----------------------------------------------------------------------------


async def test_a_pause_ends_no_render_and_starts_none(bench, core, second):
    await bench.submit()
    await bench.executor.started()
    await core.jobs.pause()
    job = await bench.queued()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not second.rendering
    assert bench.executor.rendering
    await core.jobs.resume()
    assert (await second.started()).job_id == job.id


async def test_a_stop_waits_for_the_renders_that_are_nearly_done(bench, core, second):
    first, other = await bench.submit(), await bench.submit()
    await bench.executor.started()
    await second.started()
    bench.executor.report(0, 100)
    second.report(0, 100)
    bench.clock.advance(20)
    bench.executor.report(90, 100)
    second.report(10, 100)
    core.dispatcher.stop()
    settled = asyncio.create_task(core.dispatcher.settle(30))
    await asyncio.sleep(0)
    assert not settled.done()

    bench.executor.finish()

    await asyncio.wait_for(settled, 60)
    await bench.reached(first.id, JobState.DELIVERING)
    assert second.rendering
    assert (await bench.now(other)).state is JobState.RUNNING


async def test_a_stop_and_a_start_keep_the_order_of_what_was_running(bench, second):
    async with bench.open() as core:
        jobs = [await bench.submit() for _ in range(3)]
        await bench.executor.started()
        await second.started()
        await bench.reached(jobs[2].id, JobState.QUEUED)
        await core.store.switch("paused", on=True)
    async with bench.open() as core:
        assert core.jobs.list_queued() == [job.id for job in jobs]
        assert await share(core) == 0


async def test_a_crash_loses_and_doubles_nothing(bench, core, second):
    jobs = [await bench.submit() for _ in range(3)]
    await bench.executor.started()
    await second.started()
    crashed = bench.crashed()
    crashed.more = [FakeSlot("two", automatic=True)]
    crashed.executor = FakeSlot("one", automatic=True)

    async with crashed.open() as again:
        for job in jobs:
            assert (await crashed.reached(job.id, JobState.DELIVERING)).losses == 0
            assert await again.outbox.get(job.id, ActKind.CLIP)
    served = [task.job_id for slot in (crashed.executor, *crashed.more) for task in slot.tasks]
    assert sorted(served) == sorted(job.id for job in jobs)


# -- what people see -------------------------------------------------------------------------


async def test_progress_and_time_left_are_those_of_each_job(bench, core, second):
    first, other = await bench.submit(), await bench.submit()
    await bench.executor.started()
    await second.started()
    bench.executor.report(0, 10)
    second.report(0, 10)
    bench.clock.advance(10)
    bench.executor.report(5, 10)
    second.report(8, 10)

    assert (core.jobs.progress(first.id).done, core.jobs.progress(other.id).done) == (5, 8)
    assert seconds_left(core) == {first.id: pytest.approx(10), other.id: pytest.approx(2.5)}


async def test_a_waiting_job_is_told_when_the_first_slot_is_free_for_it(bench, core, second):
    running = [await bench.submit(), await bench.submit()]
    await bench.executor.started()
    await second.started()
    bench.executor.report(0, 10)
    second.report(0, 10)
    bench.clock.advance(4)
    waiting = [await bench.queued() for _ in range(3)]
    assert seconds_left(core) == pytest.approx({job.id: 6 for job in running}, abs=0.1)

    told = [core.jobs.position(job.id) for job in waiting]

    assert [place.position for place in told] == [1, 2, 3]
    assert [place.start_in for place in told] == pytest.approx([6, 6, 16], abs=0.1)
    delivery = DeviceCosts().delivery_seconds(a_spec(), capabilities("fox"), "test")
    assert told[2].ready_in == pytest.approx(26 + delivery, abs=0.1)


async def test_a_slot_without_a_worker_makes_nobody_hope(bench, second):
    second.away = True
    async with bench.open() as core:
        await bench.submit()
        await bench.executor.started()
        bench.executor.report(0, 10)
        waiting = [await bench.queued() for _ in range(2)]
        starts = [core.jobs.position(job.id).start_in for job in waiting]
        assert starts == pytest.approx([10, 20], abs=0.1)


async def test_far_behind_the_front_all_slots_share_what_comes_before(bench, core, monkeypatch):
    monkeypatch.setattr("inference.jobs.forecast.EXACT", 2)
    await core.jobs.pause()
    jobs = [await bench.queued() for _ in range(9)]
    assert core.jobs.position(jobs[8].id).start_in == pytest.approx(8 * JOB_SECONDS / 2)


async def test_each_kind_of_device_teaches_its_own_estimate(bench, second):
    second.device = SMALL
    async with bench.open() as core:
        for seconds, slot in ((20, bench.executor), (60, second)) * 4:
            second.away, bench.executor.away = slot is not second, slot is second
            job = await bench.submit()
            await slot.started()
            bench.clock.advance(seconds)
            slot.finish()
            await bench.reached(job.id, JobState.DELIVERING)
        bench.executor.away = second.away = False
        assert core.jobs.cost(a_spec()) == pytest.approx(20, rel=0.1)
        first, other = await bench.submit(), await bench.submit()
        await bench.executor.started()
        await second.started()
        jobs = [await bench.now(first), await bench.now(other)]
        left = {job.slot: seconds_left(core)[job.id] for job in jobs}
        assert left == {"one": pytest.approx(20, rel=0.1), "two": pytest.approx(60, rel=0.1)}
