from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.domain.events import EventBus
from inference.domain.fairness import Charge
from inference.domain.job import Failure, JobState
from inference.domain.outbox import ActKind, Route
from inference.domain.render import Manifest
from inference.domain.verdict import Verdict
from inference.store.jobs import JobStore
from inference.store.outbox import OutboxStore
from inference.store.sqlite.database import open_database
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job, a_spec, accept, next_at

CHARGE = Charge(tenant="guild:a", tenant_virtual_time=1, virtual_time=0)
MANIFEST = Manifest(name="clip.mp4", size=1, sha256="0", width=2, height=2, frames=49)
RECEIPT = {"message": 1}


async def accepted(store, **changes):
    return await accept(store, a_job(**changes))


async def delivering(store):
    job = await accepted(store)
    await store.begin_preparing(job.id)
    await store.enqueue(job.id, spec=a_spec(), verdict=Verdict())
    await store.claim(job.id, CHARGE)
    await store.finish(job.id, MANIFEST, CHARGE)
    return await store.deliver(job.id, Verdict())


async def due(outbox, *, platforms=("test",), busy=(), limit=99):
    """Return what is due as (job, kind), and check that `next_at` says the same."""
    acts = await outbox.list_due(platforms, busy=busy, limit=limit)
    at = await next_at(outbox, platforms, busy)
    assert bool(acts) == (at is not None and at <= outbox._clock.now())
    return [(act.job_id, act.kind) for act in acts]


async def test_an_act_says_everything_its_delivery_needs(store, outbox, clock):
    job = await accepted(store)

    [act] = await outbox.list_due(["test"], busy=[], limit=9)

    assert (act.key, act.job_id, act.kind) == (f"{job.id}:card", job.id, ActKind.CARD)
    assert (act.platform, act.route, act.created_at) == ("test", Route.CHANNEL, clock.now())
    assert (act.wanted, act.shown, act.attempts) == (1, 0, 0)
    assert (act.sending, act.trace, act.receipt) == (False, {}, None)
    assert await outbox.get(job.id, ActKind.CARD) == act


async def test_a_clip_waits_for_its_card_and_for_no_other(store, outbox):
    job, other = await delivering(store), await delivering(store)
    assert await due(outbox) == [(job.id, ActKind.CARD), (other.id, ActKind.CARD)]

    await outbox.mark_sent(await outbox.get(other.id, ActKind.CARD), RECEIPT)

    assert await due(outbox) == [(job.id, ActKind.CARD), (other.id, ActKind.CLIP)]


async def test_a_clip_does_not_wait_for_a_card_that_was_deleted(store, outbox):
    job = await delivering(store)

    await outbox.drop(await outbox.get(job.id, ActKind.CARD))

    assert await due(outbox) == [(job.id, ActKind.CLIP)]


async def test_a_clip_does_not_wait_for_later_changes_of_its_card(store, outbox):
    job = await delivering(store)
    card = await outbox.get(job.id, ActKind.CARD)
    await outbox.mark_sent(replace(card, wanted=1), RECEIPT)

    assert await due(outbox) == [(job.id, ActKind.CARD), (job.id, ActKind.CLIP)]


async def test_a_notice_waits_for_its_card_too(store, outbox):
    job = await accepted(store)
    await store.fail(job.id, Failure(code="internal"))
    assert await due(outbox) == [(job.id, ActKind.CARD)]

    await outbox.mark_sent(await outbox.get(job.id, ActKind.CARD), RECEIPT)

    assert await due(outbox) == [(job.id, ActKind.NOTICE)]


async def test_cards_come_before_everything_else_and_the_oldest_first(store, outbox, clock):
    old = await delivering(store)
    await outbox.mark_sent(await outbox.get(old.id, ActKind.CARD), RECEIPT)
    clock.advance(1)
    new, newer = await accepted(store), None
    clock.advance(1)
    newer = await accepted(store)

    assert await due(outbox) == [
        (new.id, ActKind.CARD),
        (newer.id, ActKind.CARD),
        (old.id, ActKind.CLIP),
    ]
    assert await due(outbox, limit=1) == [(new.id, ActKind.CARD)]


async def test_only_the_platforms_that_are_there_and_the_jobs_not_yet_under_way(store, outbox):
    job, other = await accepted(store), await accepted(store, platform="elsewhere")

    assert await due(outbox, platforms=["elsewhere"]) == [(other.id, ActKind.CARD)]
    assert await due(outbox, platforms=["test", "elsewhere"], busy=[other.id]) == [
        (job.id, ActKind.CARD)
    ]
    assert await due(outbox, busy=[job.id]) == []
    assert await due(outbox, platforms=[]) == []


async def test_five_changes_while_the_platform_is_away_are_one_edit(store, outbox):
    job = await accepted(store)
    await outbox.mark_sent(await outbox.get(job.id, ActKind.CARD), RECEIPT)
    assert await due(outbox) == []

    await store.begin_preparing(job.id)
    await store.enqueue(job.id, spec=a_spec(), verdict=Verdict())
    await store.claim(job.id, CHARGE)
    await store.request_cancel(job.id)
    await store.cancel(job.id, running=True)

    [act] = await outbox.list_due(["test"], busy=[], limit=9)
    assert (act.wanted, act.shown, act.receipt) == (6, 1, RECEIPT)
    await outbox.mark_sent(act, RECEIPT)
    assert await due(outbox) == []


async def test_a_change_during_a_send_is_sent_right_after_it(store, outbox):
    job = await accepted(store)
    act = await outbox.get(job.id, ActKind.CARD)
    await outbox.begin(act)
    await store.begin_preparing(job.id)

    await outbox.mark_sent(act, RECEIPT)

    [again] = await outbox.list_due(["test"], busy=[], limit=9)
    assert (again.wanted, again.shown, again.sending) == (2, 1, False)


async def test_a_late_answer_to_an_older_send_takes_nothing_back(store, outbox):
    job = await accepted(store)
    older = await outbox.get(job.id, ActKind.CARD)
    await store.begin_preparing(job.id)
    await outbox.mark_sent(await outbox.get(job.id, ActKind.CARD), RECEIPT)

    await outbox.mark_sent(older, RECEIPT)

    assert (await outbox.get(job.id, ActKind.CARD)).shown == 2


# -- trying again ----------------------------------------------------------------------------


async def test_a_retry_comes_at_its_time_and_counts(store, outbox, clock):
    job = await accepted(store)

    for attempt in (1, 2):
        act = await outbox.get(job.id, ActKind.CARD)
        await outbox.begin(act)
        await outbox.retry(act, at=clock.now() + 30)
        assert await due(outbox) == []
        assert await next_at(outbox) == clock.now() + 30
        clock.advance(30)
        [act] = await outbox.list_due(["test"], busy=[], limit=9)
        assert (act.attempts, act.sending) == (attempt, True)

    await outbox.mark_sent(act, RECEIPT)
    assert (await outbox.get(job.id, ActKind.CARD)).attempts == 0


async def test_a_new_state_does_not_cut_a_pause_short(store, outbox, clock):
    job = await accepted(store)
    await outbox.retry(await outbox.get(job.id, ActKind.CARD), at=clock.now() + 30)

    await store.begin_preparing(job.id)

    assert await due(outbox) == []


async def test_what_a_half_done_delivery_needs_is_kept(store, outbox, clock):
    job = await accepted(store)
    act = await outbox.get(job.id, ActKind.CARD)

    await outbox.begin(act)
    await outbox.remember(act, {"file_id": "F1"})
    await outbox.retry(act, at=clock.now())

    act = await outbox.get(job.id, ActKind.CARD)
    assert (act.sending, act.trace) == (True, {"file_id": "F1", "begun": clock.now()})


async def test_another_route_begins_from_nothing_and_at_once(store, outbox, clock):
    job = await delivering(store)
    await outbox.drop(await outbox.get(job.id, ActKind.CARD))
    clip = await outbox.get(job.id, ActKind.CLIP)
    assert clip.route is Route.THREAD
    await outbox.begin(clip)
    await outbox.remember(clip, {"file_id": "F1"})
    await outbox.retry(clip, at=clock.now() + 300)

    await outbox.reroute(clip, Route.CHANNEL)

    [act] = await outbox.list_due(["test"], busy=[], limit=9)
    assert (act.route, act.attempts, act.sending, act.trace) == (Route.CHANNEL, 0, False, {})


async def test_a_dropped_act_never_comes_back(store, outbox):
    job = await accepted(store)
    await outbox.drop(await outbox.get(job.id, ActKind.CARD))

    await store.begin_preparing(job.id)

    assert await due(outbox) == []
    assert await next_at(outbox) is None


# -- the end ---------------------------------------------------------------------------------


async def test_a_posted_clip_ends_its_job_and_brings_its_card_up_to_date(
    store, outbox, clock, events
):
    job = await delivering(store)
    await outbox.mark_sent(await outbox.get(job.id, ActKind.CARD), RECEIPT)
    clock.advance(5)

    with events.subscribe() as heard:
        done = await outbox.mark_sent(await outbox.get(job.id, ActKind.CLIP), RECEIPT)
        assert heard.get_nowait().state is JobState.DONE

    assert (done.state, done.ended_at) == (JobState.DONE, clock.now())
    assert await store.get(job.id) == done
    assert await due(outbox) == [(job.id, ActKind.CARD)]


async def test_a_clip_is_posted_and_its_job_done_in_one_transaction(store, outbox, database):
    job = await delivering(store)

    async def forbid(connection):
        await connection.execute(
            "CREATE TRIGGER forbid BEFORE UPDATE OF state ON jobs"
            " BEGIN SELECT raise(ABORT, 'the disk went away'); END"
        )

    await database.write("forbid", forbid)
    with pytest.raises(Exception, match="the disk went away"):
        await outbox.mark_sent(await outbox.get(job.id, ActKind.CLIP), RECEIPT)

    clip = await outbox.get(job.id, ActKind.CLIP)
    assert (clip.shown, clip.receipt) == (0, None)
    assert (await store.get(job.id)).state is JobState.DELIVERING


async def test_a_clip_sent_twice_ends_its_job_once(store, outbox, clock):
    job = await delivering(store)
    clip = await outbox.get(job.id, ActKind.CLIP)
    done = await outbox.mark_sent(clip, RECEIPT)
    clock.advance(5)

    assert await outbox.mark_sent(clip, RECEIPT) is None
    assert await store.get(job.id) == done


async def test_a_posted_card_or_notice_ends_nothing(store, outbox):
    job = await delivering(store)

    assert await outbox.mark_sent(await outbox.get(job.id, ActKind.CARD), RECEIPT) is None
    assert (await store.get(job.id)).state is JobState.DELIVERING


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "change", "sent", "retry", "reroute", "drop", "wait"]),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=settings.default.max_examples // 8)
@given(STEPS)
async def test_whatever_happened_the_next_time_is_when_something_is_due(tmp_path_factory, steps):
    clock, events = ManualClock(), EventBus()
    path = tmp_path_factory.mktemp("outbox") / "test.sqlite3"
    async with open_database(path) as database:
        store, outbox = JobStore(database, clock, events), OutboxStore(database, clock, events)
        jobs = [await accepted(store)]
        for action, number in steps:
            job = jobs[number % len(jobs)]
            acts = await outbox.list_due(["test"], busy=[], limit=1)
            match action, acts:
                case "submit", _:
                    jobs.append(await accepted(store))
                case "change", _:
                    await store.request_cancel(job.id)
                    await store.begin_preparing(job.id)
                    await store.fail(job.id, Failure(code="internal"))
                case "wait", _:
                    clock.advance(number)
                case "sent", [act]:
                    await outbox.mark_sent(act, RECEIPT)
                case "retry", [act]:
                    await outbox.retry(act, at=clock.now() + number)
                case "reroute", [act]:
                    await outbox.reroute(act, Route.DIRECT)
                case "drop", [act]:
                    await outbox.drop(act)
            await due(outbox)
            at = await next_at(outbox)
            if at is not None and at > clock.now():
                clock.advance(at - clock.now())
                assert await due(outbox)


async def test_a_place_that_is_tried_again_is_still_asked_first(store, outbox, clock):
    job = await delivering(store)
    await outbox.begin(await outbox.get(job.id, ActKind.CLIP))
    act = await outbox.get(job.id, ActKind.CLIP)

    await outbox.reroute(act, act.route, trace=act.trace, at=clock.now() + 5)
    again = await outbox.get(job.id, ActKind.CLIP)
    assert (again.sending, again.trace) == (True, {"begun": clock.now()})

    await outbox.reroute(again, Route.CHANNEL)
    elsewhere = await outbox.get(job.id, ActKind.CLIP)
    assert (elsewhere.sending, elsewhere.trace) == (False, {})
