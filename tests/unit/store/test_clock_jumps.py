"""The wall clock may jump, also while the process is away: nothing waits longer for it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.assist.cache import Asker, RefinementCache
from inference.domain.events import EventBus
from inference.domain.outbox import ActKind
from inference.store import ledger
from inference.store.jobs import JobStore
from inference.store.ledger import Ledger
from inference.store.outbox import LONGEST_WAIT_SECONDS, OutboxStore
from inference.store.sqlite.database import open_database
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job, accept, next_at

DAY = 86_400.0
JUMPS = st.sampled_from([-400 * DAY, -DAY, -3600.0, -200.0, -1.0, 1.0, 200.0, DAY, 400 * DAY])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("jump"), JUMPS),
        st.tuples(st.just("pass"), st.floats(0, 100)),
        st.tuples(st.just("retry"), st.floats(0, LONGEST_WAIT_SECONDS)),
        st.tuples(st.just("restart"), JUMPS),
        st.tuples(st.just("submit"), st.just(0.0)),
    ),
    max_size=20,
)


async def accepted(store, **changes):
    return await accept(store, a_job(**changes))


@pytest.mark.parametrize("seconds", [-400 * DAY, -DAY, DAY, 400 * DAY])
async def test_a_retry_comes_after_its_pause_however_the_clock_is_set(
    store, outbox, clock, seconds
):
    job = await accepted(store)
    await outbox.retry(await outbox.get(job.id, ActKind.CARD), at=outbox.now() + 30)

    clock.jump(seconds)

    assert await outbox.list_due(["test"], busy=[], limit=9) == []
    clock.advance(30)
    assert len(await outbox.list_due(["test"], busy=[], limit=9)) == 1


@pytest.mark.parametrize("seconds", [-400 * DAY, 400 * DAY])
async def test_what_is_new_is_due_at_once_whatever_the_clock_says(store, outbox, clock, seconds):
    clock.jump(seconds)
    job = await accepted(store, created_at=clock.now())
    clock.jump(-seconds)

    assert [act.job_id for act in await outbox.list_due(["test"], busy=[], limit=9)] == [job.id]
    assert await next_at(outbox) <= outbox.now()


async def test_acts_keep_their_order_when_the_clock_is_set_back(store, outbox, clock):
    first = await accepted(store)
    clock.jump(-DAY)
    second = await accepted(store)

    due = await outbox.list_due(["test"], busy=[], limit=9)
    assert [act.job_id for act in due] == [first.id, second.id]


@settings(max_examples=settings.default.max_examples // 4)
@given(STEPS)
async def test_no_sequence_of_jumps_holds_an_act_longer_than_the_longest_wait(
    tmp_path_factory, steps
):
    clock = ManualClock()
    path = tmp_path_factory.mktemp("outbox") / "test.sqlite3"
    jobs = 0
    async with contextlib.AsyncExitStack() as stack:

        async def opened():
            database = await stack.enter_async_context(open_database(path))
            events = EventBus()
            outbox = OutboxStore(database, clock, events)
            await outbox.restart()
            return JobStore(database, clock, events), outbox

        store, outbox = await opened()
        for what, amount in [("submit", 0.0), *steps]:
            match what:
                case "jump":
                    clock.jump(amount)
                case "pass":
                    clock.advance(amount)
                case "retry":
                    for act in await outbox.list_due(["test"], busy=[], limit=1):
                        await outbox.retry(act, at=outbox.now() + amount)
                case "submit":
                    await accepted(store, created_at=clock.now())
                    jobs += 1
                case "restart":
                    await stack.aclose()
                    clock.jump(amount)
                    store, outbox = await opened()

        clock.advance(LONGEST_WAIT_SECONDS)

        assert len(await outbox.list_due(["test"], busy=[], limit=99)) == jobs


async def test_what_was_charged_while_the_clock_was_ahead_does_not_count_today(
    store, database, clock
):
    async def charge(job, at):
        async def work(connection):
            await ledger.charge(connection, job, at)

        await database.write("charge", work)

    today = clock.now()
    await charge(await accepted(store, cost=10.0), today)
    await charge(await accepted(store, cost=10.0), today + 300 * DAY)

    usage = await Ledger(database).usage("guild:a", "ada", today - 3600)

    assert usage.tenant_spent == usage.requester_spent == 10_000


async def test_a_job_of_the_future_starts_no_cooldown_and_hides_no_other(store, clock):
    seen = []
    await accepted(store, created_at=clock.now() + DAY)
    present = await accepted(store, created_at=clock.now() - 5)

    await accept(store, a_job(created_at=clock.now()), seen.append)

    assert seen[0].newest_at == present.created_at


async def test_answers_used_while_the_clock_was_ahead_do_not_push_out_new_ones(
    database, clock, monkeypatch
):
    monkeypatch.setattr("inference.assist.cache.LIMIT", 2)
    cache = RefinementCache(database, clock)
    asker = Asker(tenant="guild:a", requester_id="ada")
    clock.jump(DAY)
    for number in range(2):
        await cache.put(f"ahead {number}", "a fox", asker)
    clock.jump(-DAY)
    for number in range(2):
        clock.advance(1)
        await cache.put(f"now {number}", "an owl", asker)

    assert await cache.get("now 0") == await cache.get("now 1") == "an owl"
