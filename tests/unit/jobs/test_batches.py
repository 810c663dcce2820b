"""Several jobs of one order: accepted together, each a job of its own, one card for all."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.domain.errors import EngineError, UserError
from inference.domain.job import JobState
from inference.domain.limits import QueueLimits
from inference.domain.outbox import ActKind
from inference.domain.quota import Quota
from inference.domain.reference import Attached
from inference.domain.verdict import Reason
from tests.fakes.bench import Bench
from tests.fakes.cleaner import FakeImages
from tests.fakes.moderators import FakeModerator, a_guard
from tests.fakes.orders import JOB_SECONDS
from tests.fakes.orders import an_order as one_order


def an_order(count=1, quota=None, **given):
    return replace(one_order(**given), count=count, quota=quota)


async def test_each_has_the_next_seed_and_the_first_has_the_card(bench, core):
    await core.jobs.pause()
    first = await core.jobs.submit(an_order(seed=2**32 - 2, count=4))

    jobs = await core.jobs.together(first)

    assert [job.spec.seed for job in jobs] == [2**32 - 2, 2**32 - 1, 0, 1]
    assert [job.number for job in jobs] == [1, 2, 3, 4]
    assert jobs[0].id == first.id
    for job in jobs:
        await bench.reached(job.id, JobState.QUEUED)
    due = await core.outbox.list_due(["test"], busy=[], limit=10)
    assert [(act.job_id, act.kind) for act in due] == [(first.id, ActKind.CARD)]
    assert sorted(core.jobs.list_queued()) == sorted(job.id for job in jobs)


async def test_the_same_key_makes_them_once_however_often_it_comes(core):
    await core.jobs.pause()
    orders = [core.jobs.submit(an_order(key="click", count=3)) for _ in range(5)]

    assert len({job.id for job in await asyncio.gather(*orders)}) == 1
    assert len(await core.store.list_unfinished()) == 3


async def test_a_crash_loses_none_and_doubles_none(bench, core):
    await core.jobs.pause()
    first = await core.jobs.submit(an_order(key="click", count=4))
    made = [job.id for job in await core.jobs.together(first)]

    async with bench.crashed().open() as recovered:
        again = await recovered.jobs.submit(an_order(key="click", count=4))

        assert again.id == first.id
        assert [job.id for job in await recovered.jobs.together(again)] == made
        assert {job.id for job in await recovered.store.list_unfinished()} == set(made)


@pytest.mark.parametrize("places", [1, 3])
async def test_what_does_not_fit_whole_is_not_taken_and_says_how_many_would(bench, places):
    bench.limits = QueueLimits(per_requester=places, per_tenant=9)
    async with bench.open() as core:
        await core.jobs.pause()
        with pytest.raises(UserError, match=r"queue\.fits_fewer") as refusal:
            await core.jobs.submit(an_order(count=4))

        assert refusal.value.params == {"fits": places, "wanted": 4}
        assert await core.store.list_unfinished() == []
        await core.jobs.submit(an_order(count=places))


async def test_the_quota_counts_each(core):
    quota = Quota(requester_seconds=int(2.5 * JOB_SECONDS), since=0, until=2e9)
    with pytest.raises(UserError, match=r"quota\.fits_fewer") as refusal:
        await core.jobs.submit(an_order(count=4, quota=quota))

    assert refusal.value.params == {"fits": 2, "wanted": 4}
    assert await core.store.list_unfinished() == []


async def test_the_cooldown_is_between_orders_not_within_one(bench):
    bench.limits = QueueLimits(per_requester=9, per_tenant=9, cooldown_seconds=60)
    async with bench.open() as core:
        await core.jobs.submit(an_order(count=4))
        with pytest.raises(UserError, match=r"queue\.cooldown"):
            await core.jobs.submit(an_order())


async def test_clips_wait_for_the_card_of_the_first_and_bring_it_up_to_date(bench, core):
    first = await core.jobs.submit(an_order(count=2))
    second = (await core.jobs.together(first))[1]
    for job in (first, second):
        await bench.executor.started()
        bench.clock.advance(JOB_SECONDS)
        bench.executor.finish()
        await bench.reached(job.id, JobState.DELIVERING)
    [card] = await core.outbox.list_due(["test"], busy=[], limit=10)
    assert card.job_id == first.id

    await core.outbox.mark_sent(card, {"message": 1})
    clips = await core.outbox.list_due(["test"], busy=[], limit=10)
    assert [(act.job_id, act.kind) for act in clips] == [
        (job.id, ActKind.CLIP) for job in (first, second)
    ]
    await core.outbox.mark_sent(clips[1], {"message": 2})
    acts = await core.outbox.list_due(["test"], busy=[], limit=10)
    assert {(act.job_id, act.kind) for act in acts} == {
        (first.id, ActKind.CARD),
        (first.id, ActKind.CLIP),
    }


async def test_all_are_withdrawn_together(bench, core):
    await core.jobs.pause()
    first = await core.jobs.submit(an_order(key="click", count=3))
    for job in await core.jobs.together(first):
        await bench.reached(job.id, JobState.QUEUED)

    await core.jobs.withdraw("click")

    assert await core.store.list_unfinished() == []
    assert core.jobs.list_queued() == []


async def test_a_person_with_several_under_way_is_forgotten_whole(bench, core):
    first = await core.jobs.submit(an_order(count=3))
    await bench.executor.started()

    assert await core.jobs.forget(tenant=first.tenant, requester_id=first.requester.id) == 3

    assert await core.jobs.together(first) == []
    assert await core.outbox.list_due(["test"], busy=[], limit=10) == []


async def test_a_card_that_outlives_its_first_job_is_the_members_own(bench, core):
    await core.jobs.pause()
    first = await core.jobs.submit(an_order(count=2))
    second = (await core.jobs.together(first))[1]
    await bench.reached(second.id, JobState.QUEUED)
    await core.store.delete(first.id)

    await core.jobs.cancel(second.id, tenant=second.tenant)

    [card] = await core.outbox.list_due(["test"], busy=[], limit=10)
    assert card.job_id == second.id


async def test_an_attached_picture_is_downloaded_once_for_all(bench, core):
    await core.jobs.pause()
    first = await core.jobs.submit(an_order(count=3, image=Attached("http://a/b.png")))
    for job in await core.jobs.together(first):
        ready = await bench.reached(job.id, JobState.QUEUED)
        assert core.artifacts.input(ready, ready.spec.image).read_bytes() == b"clean raw"

    assert bench.images.fetched == ["http://a/b.png"]
    await bench.queued(image=Attached("http://a/b.png"))
    assert len(bench.images.fetched) == 2  # another request: it may be another picture by now


async def test_a_picture_that_cannot_be_used_is_tried_once_for_all(bench, core):
    bench.cleaner.error = UserError("image.unreadable")
    first = await core.jobs.submit(an_order(count=3, image=Attached("http://a/b.png")))
    for job in await core.jobs.together(first):
        refused = await bench.reached(job.id, JobState.REFUSED)
        assert refused.failure.code == "image.unreadable"

    assert len(bench.images.fetched) == 1


async def test_a_picture_is_downloaded_again_when_the_job_that_has_it_is_cancelled(bench):
    bench.guard = a_guard(texts=[moderator := FakeModerator()])
    async with bench.open() as core:
        await core.jobs.pause()
        moderator.gate = asyncio.Event()
        first = await core.jobs.submit(an_order(count=2, image=Attached("http://a/b.png")))
        await bench.reached(first.id, JobState.PREPARING)
        await core.jobs.cancel(first.id, tenant=first.tenant)
        await asyncio.to_thread(core.artifacts.remove, first.id)
        moderator.gate.set()

        second = (await core.jobs.together(first))[1]
        ready = await bench.reached(second.id, JobState.QUEUED)

        assert core.artifacts.input(ready, ready.spec.image) is not None


class FirstIsSlow(FakeImages):
    """Brings every image at once but the first, for which the test opens the gate."""

    def __init__(self):
        super().__init__()
        self.slow = asyncio.Event()

    async def fetch(self, job, image, target):
        if not self.fetched:
            self.gate = self.slow
        try:
            await super().fetch(job, image, target)
        finally:
            self.gate = None


async def test_they_are_queued_in_their_order_however_long_one_is_prepared(bench):
    bench.images = FirstIsSlow()
    async with bench.open() as core:
        await core.jobs.pause()
        first = await core.jobs.submit(an_order(count=4, image=Attached("http://a/b.png")))
        other = await bench.queued()
        assert core.jobs.list_queued() == [other.id]
        bench.images.slow.set()
        made = [job.id for job in await core.jobs.together(first)]
        for job in made:
            await bench.reached(job, JobState.QUEUED)

        assert core.jobs.list_queued() == [other.id, *made]


async def test_they_are_queued_in_their_order_after_a_crash(bench, core):
    await core.jobs.pause()
    first = await core.jobs.submit(an_order(count=4))
    made = [job.id for job in await core.jobs.together(first)]

    async with bench.crashed().open() as recovered:
        while len(recovered.jobs.list_queued()) < len(made):  # noqa: ASYNC110 - they come by and by
            await asyncio.sleep(0)
        assert recovered.jobs.list_queued() == made


async def test_what_is_refused_for_the_same_reason_is_told_once(bench):
    bench.guard = a_guard(texts=[FakeModerator(Reason.SEXUAL)])
    async with bench.open() as core:
        first = await core.jobs.submit(an_order(count=3))
        for job in await core.jobs.together(first):
            await bench.reached(job.id, JobState.REFUSED)
        [card] = await core.outbox.list_due(["test"], busy=[], limit=10)
        await core.outbox.mark_sent(card, {"message": 1})

        [notice] = await core.outbox.list_due(["test"], busy=[], limit=10)

        assert (notice.kind, notice.job_id) == (ActKind.NOTICE, first.id)


@pytest.mark.parametrize("third", ["made", "failed", "cancelled"])
async def test_the_sheet_of_stills_is_wanted_once_the_last_has_ended(bench, core, third):
    first = await core.jobs.submit(an_order(count=3, frames=1))
    made = [job.id for job in await core.jobs.together(first)]
    for job in made:
        await bench.executor.started()
        bench.clock.advance(JOB_SECONDS)
        if job != made[2] or third == "made":
            bench.executor.finish()
            await bench.reached(job, JobState.DELIVERING)
        elif third == "failed":
            bench.executor.fail(EngineError("worker.out_of_memory"))
            await bench.reached(job, JobState.FAILED)
        else:
            await core.jobs.cancel(job, tenant=first.tenant)
            await bench.reached(job, JobState.CANCELLED)
    seen = []
    while acts := await core.outbox.list_due(["test"], busy=[], limit=10):
        for act in acts:
            seen.append((act.job_id, act.kind))
            await core.outbox.mark_sent(act, {"message": len(seen)})

    assert seen.count((first.id, ActKind.SHEET)) == 1
    assert [job for job, kind in seen if kind is ActKind.CLIP] == made[
        : 3 if third == "made" else 2
    ]
    assert seen.index((first.id, ActKind.SHEET)) > seen.index((made[1], ActKind.CLIP))
    assert seen[-1] == (first.id, ActKind.CARD)  # which leads to the sheet now


async def test_a_sheet_is_replaced_when_one_of_its_stills_is_deleted(bench, core):
    first = await core.jobs.submit(an_order(count=3, frames=1))
    for job in await core.jobs.together(first):
        await bench.executor.started()
        bench.executor.finish()
        await bench.reached(job.id, JobState.DELIVERING)

    async def sent():
        seen = set()
        while acts := await core.outbox.list_due(["test"], busy=[], limit=10):
            for act in acts:
                seen.add((act.job_id, act.kind))
                await core.outbox.mark_sent(act, {"message": act.key})
        return seen

    assert (first.id, ActKind.SHEET) in await sent()
    second = (await core.jobs.together(first))[1]

    assert await core.jobs.remove(second.id, tenant=second.tenant)

    assert await sent() == {
        (first.id, ActKind.CARD),
        (first.id, ActKind.SHEET),
        (second.id, ActKind.REMOVAL),
    }


async def test_one_still_or_several_clips_have_no_sheet(bench, core):
    for order in (an_order(count=2), an_order(count=2, frames=1)):
        first = await core.jobs.submit(order)
        for job in await core.jobs.together(first):
            await bench.executor.started()
            if order.spec.frames == 1 and job.number == 1:
                await core.jobs.cancel(job.id, tenant=job.tenant)
                await bench.reached(job.id, JobState.CANCELLED)
            else:
                bench.executor.finish()
                await bench.reached(job.id, JobState.DELIVERING)
        seen = []
        while acts := await core.outbox.list_due(["test"], busy=[], limit=10):
            for act in acts:
                seen.append(act.kind)
                await core.outbox.mark_sent(act, {"message": 1})
        assert ActKind.SHEET not in seen


PEOPLE = st.sampled_from(["ada", "bob"])


@settings(max_examples=20)
@given(
    orders=st.lists(st.tuples(PEOPLE, st.integers(1, 4)), max_size=6),
    places=st.integers(1, 5),
    seconds=st.integers(0, 8),
)
async def test_each_of_several_counts_as_one_asked_for_alone(
    tmp_path_factory, orders, places, seconds
):
    """Whatever is asked for, in whatever portions: what is taken is what would be taken singly."""
    bench = Bench(directory=tmp_path_factory.mktemp("data"))
    bench.limits = QueueLimits(per_requester=places, per_tenant=9)
    quota = Quota(requester_seconds=int(seconds * JOB_SECONDS), since=0, until=2e9)
    taken = {"ada": 0, "bob": 0}
    async with bench.open() as core:
        await core.jobs.pause()
        for who, count in orders:
            room = min(places, seconds, *[9 - sum(taken.values()) + taken[who]]) - taken[who]
            order = an_order(count=count, requester=who, quota=quota)
            if room >= count:
                first = await core.jobs.submit(order)
                assert len(await core.jobs.together(first)) == count
                taken[who] += count
                continue
            with pytest.raises(UserError) as refusal:
                await core.jobs.submit(order)
            assert refusal.value.params.get("fits", 0) == max(room, 0)
        waiting = await core.store.list_unfinished()
        assert {who: sum(job.requester.id == who for job in waiting) for who in taken} == taken
