from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.fairness import Head, Shares
from inference.jobs import forecast
from inference.jobs.forecast import QueueForecast
from inference.jobs.queue import JobQueue, Ticket

TENANTS = "ABCDE"

waiting = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.sampled_from("xyz"), st.floats(1.0, 200.0)), max_size=60
)


def ticket(number, tenant, requester, cost):
    head = Head(
        job_id=f"{tenant}{number}", model="fox", cost=cost, load_seconds=30, sequence=number
    )
    return Ticket(head=head, tenant=tenant, requester_id=requester)


def filled(jobs):
    queue = JobQueue(Shares(weights={"A": 2.0}, tenants={"B": 40.0}))
    for number, (tenant, requester, cost) in enumerate(jobs):
        queue.put(ticket(number, tenant, requester, cost))
    return queue


@given(waiting)
def test_the_front_is_the_order_of_service_with_the_seconds_before(jobs):
    queue = filled(jobs)
    expected, before = [], 0.0
    for _, head in queue.forecast():
        expected.append((head.job_id, before, head.cost))
        before += head.cost
    found = QueueForecast(queue)
    positions = {job_id: found.position(job_id) for job_id, *_ in expected}
    assert [(job_id, place.before, place.cost) for job_id, place in positions.items()] == expected
    assert [place.position for place in positions.values()] == list(range(1, len(jobs) + 1))
    assert found.position("NOSUCHJOB") is None


@given(waiting, st.integers(0, 10))
def test_behind_the_front_a_position_is_nearly_exact(jobs, front):
    queue = filled(jobs)
    order = [head.job_id for _, head in queue.forecast()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecast, "EXACT", front)
        found = QueueForecast(queue)
        for number, job_id in enumerate(order, 1):
            place = found.position(job_id)
            # A tie may turn each tenant's neighbours around, no more.
            assert abs(place.position - number) <= len(TENANTS)
            assert (place.position <= front) == (number <= front)


@given(waiting, st.lists(st.sampled_from(["take", "leave", "join", "back"]), max_size=30))
def test_every_change_is_seen_at_once(jobs, changes):
    """A forecast that lives through changes says the same as a new one."""
    queue, chance = filled(jobs), random.Random(7)
    kept, taken = QueueForecast(queue), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecast, "EXACT", 5)
        for number, change in enumerate(changes, 1000):
            ids = sorted(one.head.job_id for one in queue.tickets())
            match change:
                case "join":
                    queue.put(ticket(number, chance.choice(TENANTS), "x", 5.0))
                case "take" if ids:
                    one, charge = queue.take(None)
                    queue.shares.apply(charge)
                    taken.append(one)
                case "leave" if ids:
                    gone = chance.choice(ids)
                    queue.discard(gone, queue.tenant_of(gone))
                    assert kept.position(gone) is None
                case "back" if taken:
                    queue.put(taken.pop(), front=True)
            fresh = QueueForecast(queue)
            for one in queue.tickets():
                assert kept.position(one.head.job_id) == fresh.position(one.head.job_id)
