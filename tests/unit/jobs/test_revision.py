from __future__ import annotations

from dataclasses import replace

import pytest

from inference.domain.errors import NotFound, UserError
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from inference.domain.quota import Quota
from inference.domain.reference import Prepared
from tests.fakes.orders import JOB_SECONDS

URL = "https://cdn.example/cat.gif"


@pytest.fixture
async def paused(core):
    await core.jobs.pause()


async def test_who_edits_a_waiting_job_is_the_last_of_their_own(bench, core, paused):
    first, second = await bench.queued(), await bench.queued()

    assert await bench.revise(first, prompt="an owl")
    revised = await bench.reached(first.id, JobState.QUEUED)

    assert revised.spec.prompt == "an owl"
    assert core.jobs.list_queued() == [second.id, first.id]
    assert (await core.outbox.get(first.id, ActKind.CARD)).wanted > 2


async def test_what_runs_is_not_changed_any_more(bench, core):
    job = await bench.submit()
    await bench.reached(job.id, JobState.RUNNING)

    assert await bench.revise(job, prompt="an owl") is None
    assert (await bench.now(job)).spec == job.spec


async def test_an_edited_job_keeps_the_image_that_was_fetched_for_it(bench, core, paused):
    job = await bench.queued(image=URL)

    await bench.revise(job, prompt="an owl")
    revised = await bench.reached(job.id, JobState.QUEUED)

    assert revised.spec.image == Prepared("image.png")
    assert core.artifacts.input(revised, revised.spec.image).read_bytes() == b"clean raw"
    assert bench.images.fetched == [URL]


async def test_an_edit_must_fit_into_the_quota_without_counting_the_job_twice(bench, core, paused):
    job = await bench.queued()
    tight = Quota(requester_seconds=int(JOB_SECONDS), since=0.0, until=2e9)
    none = replace(tight, requester_seconds=int(JOB_SECONDS) - 1)
    change = {"tenant": job.tenant, "spec": replace(job.spec, seed=8), "origins": job.origins}

    with pytest.raises(UserError, match=r"quota\.requester"):
        await core.jobs.revise(job.id, **change, quota=none)
    assert (await bench.now(job)).spec.seed == 7
    assert core.jobs.list_queued() == [job.id]

    assert await core.jobs.revise(job.id, **change, quota=tight)


async def test_a_stranger_cannot_edit(bench, core, paused):
    job = await bench.queued()
    with pytest.raises(NotFound):
        await core.jobs.revise(job.id, tenant="guild:b", spec=job.spec, origins={})
    with pytest.raises(NotFound):
        await core.jobs.remove(job.id, tenant="guild:b")


async def delivered(bench):
    job = await bench.submit()
    await bench.executor.started()
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    outbox = bench.core.outbox
    await outbox.mark_sent(await outbox.get(job.id, ActKind.CARD), {"message": 1})
    await outbox.mark_sent(await outbox.get(job.id, ActKind.CLIP), {"message": 2})
    return await bench.now(job)


async def test_a_file_is_taken_back_once_with_all_that_came_in(bench, core):
    job = await delivered(bench)
    assert core.jobs.files(job)

    assert await core.jobs.remove(job.id, tenant=job.tenant)

    assert core.jobs.files(job) is None
    assert job.id not in core.artifacts.job_ids()
    assert (await bench.now(job)).removed_at == bench.clock.now()
    assert [act.kind for act in await core.outbox.list_due(["test"], busy=[], limit=9)] == [
        ActKind.CARD,
        ActKind.REMOVAL,
    ]
    assert not await core.jobs.remove(job.id, tenant=job.tenant)


async def test_what_is_not_delivered_yet_cannot_be_taken_back(bench, core, paused):
    job = await bench.queued()
    assert not await core.jobs.remove(job.id, tenant=job.tenant)
    assert await core.outbox.get(job.id, ActKind.REMOVAL) is None


async def test_a_still_is_animated_from_the_file_that_was_made(bench, core):
    still = await delivered(bench)
    made = core.jobs.files(still).read_bytes()

    job = await bench.submit(image="parent:result", parent=still.id)
    animated = await bench.reached(job.id, JobState.RUNNING)

    assert animated.spec.image == Prepared("image.png")
    assert core.artifacts.input(animated, animated.spec.image).read_bytes() == made
    assert bench.images.fetched == []


async def test_a_still_of_another_guild_is_not_animated(bench, core):
    still = await delivered(bench)
    job = await bench.submit("guild:b", image="parent:result", parent=still.id)
    refused = await bench.reached(job.id, JobState.REFUSED)
    assert refused.failure.code == "image.expired"
