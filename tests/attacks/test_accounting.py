"""People who try to get GPU time without paying for it, or to take it from everybody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from commands.specs.extension import (
    carry_over,
    extend_clip,
    longest_clip,
)
from inference.domain.capabilities import Cost
from inference.domain.errors import Cancelled, EngineError, UserError
from inference.domain.job import JobState
from inference.domain.limits import QueueLimits
from inference.domain.outbox import ActKind
from inference.domain.quota import Quota
from inference.domain.render import Manifest, Stage
from inference.domain.spec import Mode
from inference.jobs.estimates.cost_model import CostModel
from tests.fakes.models import MODELS
from tests.fakes.orders import JOB_SECONDS, a_job, a_spec, an_order, capabilities

attack = pytest.mark.attack


async def spent(core, person="ada", tenant="guild:a"):
    since = core.jobs._clock.now() - 3600.0
    return (await core.jobs.usage(tenant, person, since=since)).requester_spent / 1000


async def posted(core, job):
    await core.outbox.mark_sent(await core.outbox.get(job.id, ActKind.CLIP), {"message": 1})


async def rendering(bench, **order):
    """Return a job that has begun to render on a warm model."""
    bench.executor.obedient = False
    job = await bench.submit(**order)
    await bench.executor.started()
    bench.executor.report(0, 10)
    return job


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(1.0, marks=attack("accounting", "cancels at the first step")),
        pytest.param(JOB_SECONDS - 0.1, marks=attack("accounting", "cancels at 99 %")),
        pytest.param(5 * JOB_SECONDS, marks=attack("accounting", "cancels after the estimate")),
    ],
)
async def test_a_cancelled_job_costs_what_ran(bench, core, seconds):
    job = await rendering(bench)
    bench.clock.advance(seconds)
    await bench.cancel(job)
    bench.executor.fail(Cancelled())
    await bench.reached(job.id, JobState.CANCELLED)
    await core.dispatcher.idle()
    assert await spent(core) == pytest.approx(seconds)
    assert (await core.store.shares()).tenants["guild:a"] == pytest.approx(seconds)


@attack("accounting", "cancels when the file is there, but nobody has been told")
async def test_a_cancel_between_file_and_report_costs_what_ran(bench, core):
    job = await rendering(bench)
    bench.clock.advance(9.0)
    await bench.cancel(job)
    bench.executor.finish()
    await bench.reached(job.id, JobState.CANCELLED)
    assert await spent(core) == pytest.approx(9.0)


@attack("accounting", "cancels while the process is stopped")
async def test_a_cancel_at_a_stop_costs_what_ran(bench):
    async with bench.open():
        job = await rendering(bench)
        bench.clock.advance(7.0)
        await bench.cancel(job)
    async with bench.open() as core:
        assert (await bench.now(job)).state is JobState.CANCELLED
        assert await spent(core) == pytest.approx(7.0)


async def test_loading_the_model_is_not_charged_to_who_cancels(bench, core):
    bench.executor.obedient = False
    job = await bench.submit()
    await bench.executor.started()
    bench.executor.report(10, 100, stage=Stage.LOADING)
    bench.clock.advance(60.0)
    bench.executor.obedient = True
    await bench.cancel(job)
    await bench.reached(job.id, JobState.CANCELLED)
    assert await spent(core) == 0


@pytest.mark.parametrize("end", [EngineError("encode.failed"), ZeroDivisionError()])
async def test_our_failures_never_cost_anything(bench, core, end):
    job = await rendering(bench)
    bench.clock.advance(8.0)
    bench.executor.fail(end)
    await bench.reached(job.id, JobState.FAILED)
    assert await spent(core) == 0


async def test_a_worker_that_dies_after_a_cancel_is_our_failure(bench, core):
    job = await rendering(bench)
    bench.clock.advance(8.0)
    await bench.cancel(job)
    bench.clock.advance(300.0)
    bench.executor.lose()
    await bench.reached(job.id, JobState.CANCELLED)
    assert await spent(core) == 0


@attack("accounting", "teaches a low estimate, then renders something long")
async def test_the_charge_is_the_measured_time_and_not_the_estimate(bench, core):
    job = await rendering(bench)
    bench.clock.advance(4 * JOB_SECONDS)
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    await posted(core, job)
    assert await spent(core) == pytest.approx(4 * JOB_SECONDS)


@pytest.mark.parametrize(
    "small",
    [
        pytest.param(
            {"frames": 1, "steps": 1},
            marks=attack("accounting", "makes 50 images of one step before a clip"),
        ),
        pytest.param({"frames": 1}, marks=attack("accounting", "makes 50 images before a clip")),
        pytest.param(
            {"steps": 1}, marks=attack("accounting", "makes 50 clips of one step before a clip")
        ),
        pytest.param(
            {"image": "image.png", "steps": 1},
            marks=attack("accounting", "animates 50 pictures in one step before a clip"),
        ),
    ],
)
def test_small_jobs_do_not_make_a_large_one_cheap(small):
    fox = capabilities("fox")

    def truth(spec):
        """What a machine takes that is three times as slow as the first guess says."""
        fixed = 0.2 if spec.mode is Mode.TEXT_TO_IMAGE else 2.0
        rate = fox.cost.seconds_per_megapixel_frame_step * 3
        size = fox.sizes[spec.resolution, spec.aspect]
        sampling = rate * size.width * size.height / 1e6 * spec.frames * spec.steps
        return {"sample": sampling, "total": fixed + sampling}

    clip, costs = a_spec(steps=30), CostModel()
    for _ in range(10):
        costs.learn(clip, fox, truth(clip))
    for _ in range(50):
        costs.learn(a_spec(**small), fox, truth(a_spec(**small)))
    assert costs.seconds(clip, fox) >= 0.8 * truth(clip)["total"]


def slow(name):
    """A model that takes about as long as a large one on a GPU."""
    cost = Cost(load_seconds=30, fixed_seconds=1, seconds_per_megapixel_frame_step=0.05)
    return replace(capabilities(name), cost=cost)


@attack("accounting", "asks for one job of many hours")
async def test_a_job_of_hours_is_not_accepted(bench):
    bench.limits, bench.capabilities = QueueLimits(job_seconds=1800.0), slow
    async with bench.open() as core:
        with pytest.raises(UserError) as caught:
            await bench.submit(steps=200, loops=20, frames=113)
        assert caught.value.code == "queue.job_too_long"
        assert await core.jobs.waiting("guild:a") == []


@attack("accounting", "edits a waiting job into one of many hours")
async def test_a_waiting_job_does_not_become_one_of_hours(bench):
    bench.limits, bench.capabilities = QueueLimits(job_seconds=1800.0), slow
    async with bench.open() as core:
        await core.jobs.pause()
        job = await bench.queued()
        with pytest.raises(UserError) as caught:
            await bench.revise(job, steps=200, loops=20, frames=113)
        assert caught.value.code == "queue.job_too_long"
        assert (await bench.now(job)).spec == job.spec


@attack("accounting", "extends a clip, then edits the extension to have many loops")
def test_an_edited_extension_does_not_pass_the_longest_clip():
    manifest = Manifest(
        name="clip.mp4",
        size=1,
        sha256="0" * 64,
        width=640,
        height=360,
        frames=17 + 18 * 32,
        latents_sha256="0" * 64,
    )
    model = replace(MODELS.capabilities("testcard"), extends=True)
    done = a_job(spec=a_spec(model="testcard", loops=18), manifest=manifest)
    extension = replace(done, spec=extend_clip(done, model))
    edited = replace(extension.spec, latents=None, after_frames=0, loops=20)
    with pytest.raises(UserError) as caught:
        carry_over(edited, extension)
    assert caught.value.code == "extend.too_long"
    assert caught.value.params["longest"] == longest_clip(edited)


@attack("accounting", "begins a new day with a guild's time zone, against the operator's quota")
async def test_no_time_zone_gives_back_what_the_operator_counts(bench, core):
    bench.executor.obedient = False
    own = replace(an_order("guild:a"), person="test:ada")
    job = await core.jobs.submit(own)
    await bench.executor.started()
    bench.executor.report(0, 10)
    bench.clock.advance(9.0)
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    await posted(core, job)
    now = bench.clock.now()
    quota = Quota(person_seconds=15, since=now, until=now + 9, person_since=now - 60)
    with pytest.raises(UserError, match=r"quota\.requester"):
        await core.jobs.submit(replace(own, tenant="guild:own", quota=quota))
