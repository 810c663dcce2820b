from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from inference.domain.errors import Cancelled, EngineError, UserError, WorkerLost
from inference.domain.fairness import Charge
from inference.domain.job import MAX_ATTEMPTS, JobState
from inference.domain.outbox import ActKind
from inference.domain.render import Stage
from inference.jobs.service import CancelOutcome
from tests.fakes.orders import JOB_SECONDS, LOAD_SECONDS

LARGE = {f"stage-{number}": 1.0 for number in range(3000)}
"""Timings that do not fit into what the database file has left."""


async def share(core, tenant="guild:a"):
    return (await core.store.shares()).tenants[tenant]


async def test_a_job_goes_from_the_line_over_the_gpu_to_the_outbox(bench, core):
    job = await bench.submit(prompt="an owl")

    task = await bench.executor.started()
    assert (task.job_id, task.attempt, task.spec.prompt) == (job.id, 1, "an owl")
    assert task.recipe["job"] == job.id
    assert task.directory == bench.directory / "jobs" / job.id / "1"
    assert [render.job.id for render in core.dispatcher.active] == [job.id]

    bench.executor.finish()
    delivering = await bench.reached(job.id, JobState.DELIVERING)
    assert core.artifacts.find_finished(delivering).is_file()
    assert await core.outbox.get(job.id, ActKind.CLIP)


async def test_guilds_and_people_are_served_in_fair_order(bench, core):
    await core.jobs.pause()
    names = {}
    for name in ["A1", "A2", "B1", "C1", "C2", "A3"]:
        job = await bench.queued(f"guild:{name[0]}")
        names[job.id] = name
    expected = [names[job_id] for job_id in core.jobs.list_queued()]

    await core.jobs.resume()
    for _ in names:
        task = await bench.executor.started()
        bench.clock.advance(JOB_SECONDS)
        bench.executor.finish()
        await bench.reached(task.job_id, JobState.DELIVERING)

    assert [names[job_id] for job_id in bench.executor.served] == expected
    assert expected == ["A1", "B1", "C1", "A2", "C2", "A3"]


async def test_a_ticket_whose_job_was_cancelled_behind_the_lines_back_is_dropped(bench, core):
    await core.jobs.pause()
    gone, other = await bench.queued(), await bench.queued()
    await core.store.cancel(gone.id)

    await core.jobs.resume()

    assert (await bench.executor.started()).job_id == other.id
    assert bench.executor.served == [other.id]


async def test_nothing_is_started_while_the_line_is_paused(bench, core):
    running = await bench.submit()
    await bench.executor.started()
    await core.jobs.pause()
    waiting = await bench.queued()

    bench.executor.finish()
    await bench.reached(running.id, JobState.DELIVERING)
    await core.dispatcher.idle()
    assert (await bench.now(waiting)).state is JobState.QUEUED

    await core.jobs.resume()
    assert (await bench.executor.started()).job_id == waiting.id


async def test_a_forecast_made_during_a_claim_is_not_kept(bench, core):
    await core.jobs.pause()
    _, second = await bench.queued("guild:a"), await bench.queued("guild:a")
    other = await bench.queued("guild:b")

    async with bench.writer_held() as queued:
        core.dispatcher.paused = False
        await queued(1)
        core.jobs.list_queued()
    await bench.executor.started()

    assert core.jobs.list_queued() == [other.id, second.id]


# -- when the worker fails -------------------------------------------------------------------


async def test_a_job_whose_worker_died_is_tried_again_before_all_others(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    other = await bench.queued()

    bench.executor.lose()
    again = await bench.executor.started()

    assert (again.job_id, again.attempt) == (job.id, 2)
    assert again.directory.name == "2"
    bench.executor.finish()
    assert (await bench.executor.started()).job_id == other.id


async def test_a_job_that_took_the_worker_down_twice_fails_and_the_next_one_runs(bench, core):
    job, other = await bench.submit(), await bench.submit()
    bench.executor.script += [WorkerLost("worker.died"), WorkerLost("worker.hung")]

    failed = await bench.reached(job.id, JobState.FAILED)

    assert failed.failure.code == "worker.gave_up"
    assert await core.outbox.get(job.id, ActKind.NOTICE)
    assert (await bench.executor.started()).job_id == other.id
    assert bench.executor.served == [job.id, job.id, other.id]


async def test_a_worker_that_is_being_closed_is_not_the_jobs_fault(bench, core):
    bench.executor.script += [WorkerLost("worker.closed")] * 3

    job = await bench.submit()

    await bench.executor.started()
    running = await bench.now(job)
    assert (running.attempt, running.losses) == (4, 0)


async def test_a_worker_that_never_speaks_costs_the_job_nothing_and_keeps_its_place(bench, core):
    bench.executor.script += [WorkerLost("worker.silent")] * (MAX_ATTEMPTS + 1)
    await core.jobs.pause()
    job, other = await bench.queued(), await bench.queued()
    await core.jobs.resume()

    started = await bench.executor.started()

    running = await bench.now(job)
    assert started.job_id == job.id
    assert (running.state, running.attempt, running.losses) == (JobState.RUNNING, 1, 0)
    assert (await bench.now(other)).state is JobState.QUEUED
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)


async def test_a_cancel_is_kept_when_the_worker_never_spoke(bench, core):
    bench.executor.obedient = False
    job = await bench.submit()
    await bench.executor.started()
    await bench.cancel(job)

    bench.executor.lose("worker.silent")

    await bench.reached(job.id, JobState.CANCELLED)


async def test_jobs_wait_in_the_queue_while_no_worker_starts_and_the_queue_knows(bench):
    bench.executor.away = True
    async with bench.open() as core:
        job = await bench.queued()
        assert core.jobs.without_worker
        assert (await bench.now(job)).attempt == 0
        await bench.cancel(job)
        other = await bench.queued()

        bench.executor.away = False

        assert (await bench.executor.started()).job_id == other.id
        assert not core.jobs.without_worker


@pytest.mark.parametrize("code", ["worker.device_failed", "worker.not_finite"])
async def test_a_device_that_fails_twice_fails_the_job_and_charges_nobody(bench, core, code):
    bench.executor.script += [EngineError(code, transient=True)] * 2
    job = await bench.submit()

    failed = await bench.reached(job.id, JobState.FAILED)

    assert (failed.failure.code, failed.attempt, failed.losses) == (code, 2, 1)
    assert await share(core) == 0
    assert core.artifacts.latents(failed) is None


async def test_a_passing_engine_error_is_tried_once_more(bench, core):
    bench.executor.script.append(EngineError("worker.out_of_memory", transient=True))
    job = await bench.submit()

    assert (await bench.executor.started()).attempt == 2
    bench.executor.finish()

    assert (await bench.reached(job.id, JobState.DELIVERING)).attempt == 2


@pytest.mark.parametrize(
    ("errors", "code", "params"),
    [
        pytest.param(
            [EngineError("worker.out_of_memory", transient=True, gigabytes=31)] * 2,
            "worker.out_of_memory",
            {"gigabytes": 31},
            id="a passing error that did not pass",
        ),
        pytest.param(
            [EngineError("encode.no_frames", frames=0)],
            "encode.no_frames",
            {"frames": 0},
            id="an error that stays",
        ),
        pytest.param(
            [UserError("model.unknown", name="yak")],
            "model.unknown",
            {"name": "yak"},
            id="something the person can put right",
        ),
    ],
)
async def test_a_failed_render_fails_its_job_with_the_engines_own_words(
    bench, core, errors, code, params
):
    bench.executor.script += errors
    job, other = await bench.submit(), await bench.submit()

    failed = await bench.reached(job.id, JobState.FAILED)

    assert (failed.failure.code, failed.failure.params) == (code, params)
    assert (await bench.executor.started()).job_id == other.id
    assert bench.executor.served == [job.id] * len(errors) + [other.id]


async def test_a_bug_fails_its_job_with_a_reference_and_the_line_goes_on(bench, core):
    with capture_logs() as log:
        bench.executor.script.append(ZeroDivisionError("a secret prompt"))
        job, other = await bench.submit(), await bench.submit()

        failed = await bench.reached(job.id, JobState.FAILED)

        assert (failed.failure.code, failed.failure.params) == ("internal", {"job": job.id})
        assert (await bench.executor.started()).job_id == other.id
    assert [entry["job"] for entry in log if entry["event"] == "job.bug"] == [job.id]


async def test_a_render_that_stops_though_nobody_asked_is_tried_again(bench, core):
    bench.executor.script.append(Cancelled())

    job = await bench.submit()

    assert (await bench.executor.started()).attempt == 2
    assert (await bench.now(job)).state is JobState.RUNNING


# -- when the process stops ------------------------------------------------------------------


async def test_the_job_on_the_gpu_goes_back_in_line_when_the_process_stops(bench):
    async with bench.open() as core:
        job = await bench.submit()
        await bench.executor.started()
        await core.jobs.pause()
    async with bench.open() as core:
        waiting = await bench.now(job)

        assert (waiting.state, waiting.attempt, waiting.losses) == (JobState.QUEUED, 1, 0)
        assert core.jobs.list_queued() == [job.id]
        assert await share(core) == 0


async def test_a_full_disk_does_not_keep_the_process_from_stopping(bench):
    async with asyncio.timeout(180):
        async with bench.open() as core:
            job = await bench.submit()
            await bench.executor.started()
            await core.store._database._writer.execute("PRAGMA query_only = ON")
        async with bench.open():
            assert (await bench.executor.started()).job_id == job.id


# -- when the disk is full -------------------------------------------------------------------


async def test_a_finished_file_is_written_down_as_soon_as_the_disk_takes_it(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    await bench.disk(full=True)

    bench.executor.finish(**LARGE)
    for pause in (0.5, 1.0, 2.0):
        await bench.clock.asleep(pause)
        assert (await bench.now(job)).state is JobState.RUNNING
        bench.clock.advance(pause)
    await bench.clock.asleep(4.0)
    await bench.disk(full=False)
    bench.clock.advance(4.0)

    delivering = await bench.reached(job.id, JobState.DELIVERING)
    assert delivering.attempt == 1
    assert bench.executor.served == [job.id]


# -- what people see meanwhile ---------------------------------------------------------------


async def test_progress_is_known_for_the_running_job_only(bench, core):
    job, other = await bench.submit(), await bench.submit()
    await bench.executor.started()
    assert core.jobs.progress(job.id) is None

    with core.events.subscribe() as events:
        bench.executor.report(3, 10)
        event = events.get_nowait()

    assert (event.job_id, event.progress.done) == (job.id, 3)
    assert core.jobs.progress(job.id).done == 3
    assert core.jobs.progress(other.id) is None


async def test_the_time_left_trusts_the_pace_more_the_further_the_render_is(bench, core):
    await bench.submit()
    await bench.executor.started()
    assert core.dispatcher.free_slots()[0].after == LOAD_SECONDS + JOB_SECONDS

    bench.executor.report(0, 10)
    assert core.dispatcher.free_slots()[0].after == JOB_SECONDS
    bench.clock.advance(4)
    assert core.dispatcher.free_slots()[0].after == JOB_SECONDS - 4
    bench.executor.report(1, 10)
    assert core.dispatcher.free_slots()[0].after == pytest.approx(0.25 * 2 * 9)

    bench.clock.advance(24)
    bench.executor.report(9, 10)
    assert core.dispatcher.free_slots()[0].after == pytest.approx(3, rel=0.01)

    bench.executor.report(0, 4, stage=Stage.FINISHING)
    bench.clock.advance(1)
    bench.executor.report(1, 4, stage=Stage.FINISHING)
    assert 0 < core.dispatcher.free_slots()[0].after < 3


async def test_a_render_that_takes_far_longer_than_estimated_says_so_after_a_few_steps(bench, core):
    await bench.submit()
    await bench.executor.started()
    bench.clock.advance(20)  # loading the model is no sign of how fast it draws
    bench.executor.report(0, 30)
    bench.clock.advance(40)
    bench.executor.report(4, 30)
    assert core.dispatcher.free_slots()[0].after == pytest.approx(260)


async def test_a_dispatcher_that_was_stopped_claims_nothing_more(bench, core):
    first, second = await bench.submit(), await bench.submit()
    await bench.executor.started()
    core.dispatcher.stop()
    bench.executor.finish()
    await bench.reached(first.id, JobState.DELIVERING)
    assert (await core.store.get(second.id)).state is JobState.QUEUED
    assert not core.jobs.paused


async def test_an_idle_gpu_has_nothing_left_to_do(bench, core):
    assert [slot.after for slot in core.dispatcher.free_slots()] == [0]
    assert core.dispatcher.active == ()
    await asyncio.wait_for(core.dispatcher.idle(), 60)


async def test_a_cancel_that_loses_against_the_finished_file_deletes_nothing(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    charge = Charge(tenant="guild:a", tenant_virtual_time=1, virtual_time=0)
    await core.store.finish(job.id, bench.executor.write_file(), charge)

    assert await bench.cancel(job) is CancelOutcome.TOO_LATE
    assert (await bench.now(job)).state is JobState.FINISHING


async def test_a_render_that_never_ends_expires_and_the_next_one_runs(bench, core, monkeypatch):
    monkeypatch.setattr("inference.jobs.dispatcher.RUN_SECONDS_LEAST", 0.01)
    monkeypatch.setattr("inference.jobs.dispatcher.RUN_FACTOR", 0.0)

    job = await bench.submit()

    expired = await bench.reached(job.id, JobState.EXPIRED)
    assert expired.failure.code == "job.ran_too_long"
    assert await core.outbox.get(job.id, ActKind.NOTICE)
    other = await bench.submit()
    await bench.reached(other.id, JobState.RUNNING)
