from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from inference.domain.errors import NotFound, StoreError, UserError
from inference.domain.job import JobState
from inference.domain.limits import QueueLimits
from inference.domain.outbox import ActKind
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.service import CancelOutcome
from tests.fakes.orders import JOB_SECONDS, a_spec, an_order, capabilities


async def deliver(bench, job):
    """Render the running job and post its clip."""
    await bench.executor.started()
    bench.clock.advance(JOB_SECONDS)
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    outbox = bench.core.outbox
    await outbox.mark_sent(await outbox.get(job.id, ActKind.CLIP), {"message": 1})


# -- asking ----------------------------------------------------------------------------------


async def test_an_accepted_job_is_on_disk_and_its_card_is_wanted(bench, core):
    job = await core.jobs.submit(an_order(prompt="an owl"))

    after = bench.crashed()
    async with after.open() as recovered:
        found = await recovered.jobs.get(job.id, tenant="guild:a")
        assert found.spec.prompt == "an owl"
        assert (await recovered.outbox.get(job.id, ActKind.CARD)).shown == 0


async def test_the_same_key_is_the_same_job_however_often_and_at_once_it_comes(bench, core):
    jobs = await asyncio.gather(*[core.jobs.submit(an_order(key="click-1")) for _ in range(10)])

    assert len({job.id for job in jobs}) == 1
    await deliver(bench, jobs[0])
    assert (await core.jobs.submit(an_order(key="click-1"))).state is JobState.DONE
    assert bench.executor.served == [jobs[0].id]


async def test_a_repeated_click_is_answered_although_the_line_is_full(bench):
    bench.limits = QueueLimits(per_requester=1)
    async with bench.open() as core:
        await core.jobs.pause()
        job = await core.jobs.submit(an_order(key="click-1"))

        assert (await core.jobs.submit(an_order(key="click-1"))).id == job.id
        with pytest.raises(UserError, match=r"queue\.full_user"):
            await core.jobs.submit(an_order(key="click-2"))


@pytest.mark.parametrize(
    ("limits", "order", "code", "places"),
    [
        (QueueLimits(per_requester=7, per_tenant=99), lambda _: an_order(), "queue.full_user", 7),
        (QueueLimits(per_tenant=7), lambda n: an_order(requester=f"u{n}"), "queue.full_tenant", 7),
        # Each is a guild with nothing waiting, which gets a place up to twice the cap.
        (QueueLimits(total=4), lambda n: an_order(f"guild:{n}"), "queue.full_total", 8),
    ],
)
async def test_fifty_at_once_get_exactly_as_many_places_as_there_are(
    bench, limits, order, code, places
):
    bench.limits = limits
    async with bench.open() as core:
        await core.jobs.pause()

        answers = await asyncio.gather(
            *[core.jobs.submit(order(number)) for number in range(50)], return_exceptions=True
        )

        codes = Counter(getattr(answer, "code", "accepted") for answer in answers)
        assert codes == {"accepted": places, code: 50 - places}
        assert len(await core.store.list_unfinished()) == places


async def test_the_running_job_takes_no_place_in_line(bench):
    bench.limits = QueueLimits(per_requester=1)
    async with bench.open():
        await bench.submit()
        await bench.executor.started()

        await bench.queued()
        with pytest.raises(UserError, match=r"queue\.full_user"):
            await bench.submit()


async def test_the_cooldown_is_for_one_person_and_passes(bench):
    bench.limits = QueueLimits(per_requester=9, per_tenant=9, cooldown_seconds=60)
    async with bench.open() as core:
        await core.jobs.submit(an_order())
        bench.clock.advance(20)

        with pytest.raises(UserError) as refusal:
            await core.jobs.submit(an_order())
        assert refusal.value.params == {"seconds": 40}
        await core.jobs.submit(an_order(requester="bob"))
        bench.clock.advance(40)
        await core.jobs.submit(an_order())


async def test_a_clock_set_back_a_year_locks_nobody_out(bench):
    bench.limits = QueueLimits(per_requester=9, per_tenant=9, cooldown_seconds=60)
    async with bench.open() as core:
        await core.jobs.submit(an_order())
        bench.clock.jump(-365 * 86400)

        await core.jobs.submit(an_order())


async def test_an_unknown_model_is_refused_and_nothing_is_stored(bench, core):
    with pytest.raises(UserError, match=r"model\.unknown"):
        await core.jobs.submit(an_order(model="yak"))

    assert await core.store.list_unfinished() == []


async def test_a_full_disk_accepts_nothing_and_says_so(bench, core):
    await bench.disk(full=True)

    with pytest.raises(StoreError, match=r"store\.full"):
        await core.jobs.submit(an_order(prompt="x" * 100_000))

    await bench.disk(full=False)
    assert await core.store.list_unfinished() == []
    await bench.queued()


async def test_an_order_whose_sender_hung_up_is_prepared_all_the_same(bench, core):
    async with bench.writer_held() as queued:
        sending = asyncio.create_task(core.jobs.submit(an_order()))
        await queued(1)
        sending.cancel()

    task = await bench.executor.started()
    assert sending.cancelled()
    assert (await core.store.get(task.job_id)).state is JobState.RUNNING


# -- cancelling ------------------------------------------------------------------------------


async def test_a_waiting_job_is_out_of_line_at_once(bench, core):
    await core.jobs.pause()
    job, other = await bench.queued(), await bench.queued()

    assert await bench.cancel(job) is CancelOutcome.CANCELLED

    assert core.jobs.list_queued() == [other.id]
    assert (await bench.now(job)).state is JobState.CANCELLED
    assert bench.executor.asked_to_cancel == []


async def test_a_running_job_is_cancelled_when_the_worker_has_stopped(bench, core):
    bench.executor.obedient = False
    job = await bench.submit()
    await bench.executor.started()

    assert await bench.cancel(job) is CancelOutcome.CANCELLING
    assert bench.executor.asked_to_cancel == [job.id]
    stopping = await bench.now(job)
    assert (stopping.state, stopping.cancel_requested_at) == (JobState.RUNNING, bench.clock.now())

    bench.executor.obedient = True
    await core.dispatcher.cancel(job.id)
    ended = await bench.reached(job.id, JobState.CANCELLED)
    assert await core.outbox.get(job.id, ActKind.CLIP) is None
    assert await core.outbox.get(job.id, ActKind.NOTICE) is None
    assert ended.ended_at is not None


async def test_cancelling_twice_is_no_different_from_once(bench, core):
    bench.executor.obedient = False
    running, waiting = await bench.submit(), await bench.queued()
    await bench.executor.started()

    first, again = await bench.cancel(running), await bench.cancel(running)
    assert (first, again) == (CancelOutcome.CANCELLING, CancelOutcome.CANCELLING)
    first, again = await bench.cancel(waiting), await bench.cancel(waiting)
    assert (first, again) == (CancelOutcome.CANCELLED, CancelOutcome.TOO_LATE)


async def test_a_worker_that_finished_before_it_read_the_cancel_posts_nothing(bench, core):
    bench.executor.obedient = False
    job = await bench.submit()
    await bench.executor.started()
    await bench.cancel(job)

    bench.executor.finish()

    await bench.reached(job.id, JobState.CANCELLED)
    assert await core.outbox.get(job.id, ActKind.CLIP) is None


async def test_a_finish_that_came_first_wins_and_the_clip_is_posted(bench, core):
    job = await bench.submit()
    await bench.executor.started()

    async with bench.writer_held() as queued:
        bench.executor.finish()
        await queued(1)
        cancelling = asyncio.create_task(bench.cancel(job))
        await queued(2)

    assert await cancelling is CancelOutcome.TOO_LATE
    await bench.reached(job.id, JobState.DELIVERING)
    assert await core.outbox.get(job.id, ActKind.CLIP)


async def test_a_claim_that_came_first_turns_the_cancel_into_a_stop(bench, core):
    await core.jobs.pause()
    job = await bench.queued()

    async with bench.writer_held() as queued:
        core.dispatcher.paused = False
        await queued(1)
        cancelling = asyncio.create_task(bench.cancel(job))
        await queued(2)

    assert await cancelling is CancelOutcome.CANCELLING
    await bench.reached(job.id, JobState.CANCELLED)
    assert await core.outbox.get(job.id, ActKind.CLIP) is None


async def test_a_cancel_that_came_first_leaves_the_claim_nothing(bench, core):
    await core.jobs.pause()
    job = await bench.queued()

    async with bench.writer_held() as queued:
        cancelling = asyncio.create_task(bench.cancel(job))
        await queued(1)
        core.dispatcher.paused = False
        await queued(2)

    assert await cancelling is CancelOutcome.CANCELLED
    other = await bench.submit()
    assert (await bench.executor.started()).job_id == other.id
    assert bench.executor.served == [other.id]
    assert (await core.store.shares()).tenants == {"guild:a": JOB_SECONDS}


async def test_a_job_that_goes_back_in_line_under_a_cancel_is_cancelled_there(bench, core):
    job = await bench.submit()
    await bench.executor.started()
    await core.jobs.pause()

    async with bench.writer_held() as queued:
        cancelling = asyncio.create_task(bench.cancel(job))
        await queued(1)
        bench.executor.lose()
        await queued(2)

    assert await cancelling is CancelOutcome.CANCELLED
    assert (await bench.now(job)).state is JobState.CANCELLED
    assert core.jobs.list_queued() == []


async def test_what_is_done_cannot_be_cancelled(bench, core):
    job = await bench.submit()
    await deliver(bench, job)

    assert await bench.cancel(job) is CancelOutcome.TOO_LATE
    assert (await bench.now(job)).state is JobState.DONE


async def test_a_foreign_job_is_as_unknown_as_one_that_never_was(bench, core):
    job = await bench.submit("guild:a")

    for job_id, tenant in [(job.id, "guild:b"), ("NOSUCHJOB", "guild:a")]:
        with pytest.raises(NotFound, match=r"job\.unknown"):
            await core.jobs.cancel(job_id, tenant=tenant)
        with pytest.raises(NotFound, match=r"job\.unknown"):
            await core.jobs.get(job_id, tenant=tenant)


# -- looking ---------------------------------------------------------------------------------


async def test_the_queue_shows_the_running_job_and_then_the_order_of_service(bench, core):
    bench.images.gate = asyncio.Event()
    running = await bench.submit(requester="ada")
    await bench.executor.started()
    second, third = await bench.queued(requester="ada"), await bench.queued(requester="ada")
    other = await bench.queued(requester="bob")
    preparing = await bench.submit(requester="cy", image="https://cdn.example/cat.png")
    await bench.queued("guild:b")

    waiting = [job.id for job in await core.jobs.waiting("guild:a")]

    assert waiting == [running.id, second.id, other.id, third.id, preparing.id]


async def test_a_place_in_line_counts_the_seconds_of_everybody_before(bench, core):
    await bench.submit("guild:a")
    await bench.executor.started()
    bench.executor.report(0, 10)
    first, second = await bench.queued("guild:b"), await bench.queued("guild:c")
    bench.clock.advance(4)

    place = core.jobs.position(second.id)

    assert place.position == 2
    assert place.start_in == pytest.approx(JOB_SECONDS - 4 + JOB_SECONDS, abs=0.1)
    delivery = DeviceCosts().delivery_seconds(a_spec(), capabilities("fox"), "test")
    assert place.ready_in == pytest.approx(place.start_in + JOB_SECONDS + delivery)
    assert core.jobs.position(first.id).position == 1
    assert core.jobs.position("NOSUCHJOB") is None


async def test_the_last_jobs_of_a_person_come_newest_first(bench, core):
    jobs = [await bench.submit() for _ in range(3)]
    await bench.submit(requester="bob")
    await bench.submit("guild:b")

    recent = await core.jobs.recent("guild:a", "ada", limit=2)

    assert [job.id for job in recent] == [jobs[2].id, jobs[1].id]


async def test_the_files_of_a_job_are_there_once_it_is_rendered(bench, core):
    job = await bench.submit()
    assert core.jobs.files(job) is None
    await deliver(bench, job)

    assert core.jobs.files(await bench.now(job)).name == "clip.mp4"


# -- operating -------------------------------------------------------------------------------


async def test_pausing_and_draining_hold_over_a_restart_until_resumed(bench):
    async with bench.open() as core:
        await core.jobs.pause()
        await core.jobs.drain()
    async with bench.open() as core:
        assert core.jobs.paused
        with pytest.raises(UserError, match=r"queue\.draining"):
            await bench.submit()
        await core.jobs.resume()
    async with bench.open() as core:
        assert not core.jobs.paused
        job = await bench.submit()
        assert (await bench.executor.started()).job_id == job.id


async def test_a_draining_studio_works_off_its_line(bench, core):
    running, waiting = await bench.submit(), await bench.queued()
    await core.jobs.drain()

    await deliver(bench, running)
    await deliver(bench, waiting)


async def test_a_stopping_process_accepts_nothing(bench, core):
    core.jobs.stop_accepting()

    with pytest.raises(UserError, match=r"queue\.stopping"):
        await bench.submit()
