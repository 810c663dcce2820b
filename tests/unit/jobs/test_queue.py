from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.fairness import Head, Shares
from inference.jobs.queue import JobQueue, TenantQueue, Ticket


def ticket(name, *, tenant="guild:a", sequence=0):
    """Make a ticket of the requester who is the name's first letter."""
    head = Head(job_id=name, model="fox", cost=10.0, load_seconds=30.0, sequence=sequence)
    return Ticket(head=head, tenant=tenant, requester_id=name[0])


def queue_of(names):
    queue = TenantQueue()
    for name in names.split():
        queue.put_nowait(ticket(name))
    return queue


def drained(queue):
    return " ".join(queue.get_nowait().head.job_id for _ in range(queue.qsize()))


@pytest.mark.parametrize(
    ("joined", "served"),
    [
        ("A1 A2 A3", "A1 A2 A3"),
        ("A1 A2 A3 B1", "A1 B1 A2 A3"),
        ("A1 A2 B1 C1 C2 A3", "A1 B1 C1 A2 C2 A3"),
        ("A1 B1 C1 D1", "A1 B1 C1 D1"),
        ("B1 A1 A2 B2 B3", "B1 A1 B2 A2 B3"),
    ],
)
def test_requesters_of_a_guild_take_turns_and_each_keeps_their_own_order(joined, served):
    queue = queue_of(joined)

    assert " ".join(head.job_id for head in queue.upcoming()) == served
    assert drained(queue) == served


def test_somebody_new_waits_for_one_round_only():
    queue = queue_of("A1 A2 A3 A4")
    queue.get_nowait()

    queue.put_nowait(ticket("B1"))

    assert drained(queue) == "A2 B1 A3 A4"


def test_a_job_put_back_is_the_very_next_and_then_it_is_the_others_turn():
    queue = queue_of("A1 A2 B1 C1")
    lost = queue.get_nowait()

    queue.put_back(lost)

    assert queue.first() is lost
    assert drained(queue) == "A1 B1 C1 A2"


def test_a_job_put_back_into_an_empty_queue_is_served():
    queue = queue_of("A1")
    queue.put_back(queue.get_nowait())

    assert drained(queue) == "A1"


@pytest.mark.parametrize(
    ("gone", "served"),
    [("A1", "A2 B1"), ("A2", "A1 B1"), ("B1", "A1 A2")],
)
def test_a_discarded_job_is_never_served(gone, served):
    queue = queue_of("A1 A2 B1")

    assert queue.discard(gone)
    assert not queue.discard(gone)
    assert queue.qsize() == 2
    assert sorted(drained(queue).split()) == served.split()


async def test_a_waiting_get_is_woken_by_a_put():
    queue = TenantQueue()
    getting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.put_nowait(ticket("A1"))

    assert (await getting).head.job_id == "A1"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("ABCD")),
        st.tuples(st.just("get"), st.none()),
        st.tuples(st.just("get and put back"), st.none()),
        st.tuples(st.just("discard"), st.integers(0, 20)),
    ),
    max_size=60,
)


@given(steps)
def test_no_job_is_lost_doubled_or_overtaken_by_a_later_one_of_its_requester(steps):
    queue, waiting, joined = TenantQueue(), set(), 0
    last = dict.fromkeys("ABCD", -1)
    for action, value in steps:
        if action == "put":
            queue.put_nowait(ticket(f"{value}{joined}"))
            waiting.add(f"{value}{joined}")
            joined += 1
        elif action == "discard":
            chosen = next((name for name in waiting if name[1:] == str(value)), "A-none")
            assert queue.discard(chosen) is (chosen in waiting)
            waiting.discard(chosen)
        elif waiting:
            expected = next(iter(queue.upcoming()))
            taken = queue.get_nowait()
            assert taken.head is expected
            if action == "get":
                waiting.remove(name := taken.head.job_id)
                assert int(name[1:]) > last[name[0]]
                last[name[0]] = int(name[1:])
            else:
                queue.put_back(taken)
        assert queue.qsize() == len(waiting)
        assert queue.empty() is (not waiting)
    upcoming = [head.job_id for head in queue.upcoming()]
    assert sorted(upcoming) == sorted(waiting)
    assert drained(queue).split() == upcoming


# -- all tenants -----------------------------------------------------------------------------


def test_a_tenant_without_jobs_is_not_in_line():
    queue = JobQueue(Shares())
    queue.put(ticket("A1", tenant="guild:a"))
    queue.put(ticket("B1", tenant="guild:b"))

    queue.discard("A1", "guild:a")
    queue.discard("A1", "guild:a")
    queue.discard("B1", "guild:nobody")

    assert set(queue.queues) == {"guild:b"}
    assert len(queue) == 1


def test_taking_says_what_to_charge_and_charges_nothing_yet():
    queue = JobQueue(Shares())
    queue.put(ticket("A1"))

    taken, charge = queue.take(None)

    assert taken.head.job_id == "A1"
    assert charge.tenant_virtual_time == 10
    assert queue.shares.tenants == {}
    assert len(queue) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda queue: queue.put(ticket("A2")),
        lambda queue: queue.discard("A1", "guild:a"),
        lambda queue: queue.take(None),
        lambda queue: queue.invalidate_forecasts(),
    ],
)
def test_every_change_outdates_the_forecasts(change):
    queue = JobQueue(Shares())
    queue.put(ticket("A1"))
    before = queue.version

    change(queue)

    assert queue.version != before
