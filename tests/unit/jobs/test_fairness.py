from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.domain.fairness import TIE, Head, Shares
from inference.jobs.queue import JobQueue, Ticket

JOB = 10.0
LOAD = 30.0


def head(name, *, cost=JOB, model="fox", sequence=0):
    return Head(job_id=name, model=model, cost=cost, load_seconds=LOAD, sequence=sequence)


@dataclass
class Bench:
    """A line with the claim and the end of every job played at once."""

    queue: JobQueue
    arrivals: itertools.count

    def join(self, names, **changes):
        """Let jobs join; a name's first letter is its guild and its only requester."""
        for name in names.split():
            ticket = Ticket(
                head=head(name, sequence=next(self.arrivals), **changes),
                tenant=name[0],
                requester_id=name[0],
            )
            self.queue.put(ticket)

    def serve(self, *, warm=None, really=None):
        """Take, claim and finish one job; `really` are the seconds it took."""
        ticket, charge = self.queue.take(warm)
        shares = self.queue.shares
        shares.apply(charge)
        if really is not None:
            shares.apply(shares.correct(ticket.tenant, really - ticket.head.cost))
        return ticket

    def served(self, count=None, **how):
        count = len(self.queue) if count is None else count
        return " ".join(self.serve(**how).head.job_id for _ in range(count))


@pytest.fixture
def bench():
    return Bench(queue=JobQueue(Shares()), arrivals=itertools.count(1))


@pytest.mark.parametrize(
    ("joined", "served"),
    [
        ("A1 A2 A3", "A1 A2 A3"),
        ("A1 A2 B1 C1 C2 A3", "A1 B1 C1 A2 C2 A3"),
        ("A1 A2 A3 A4 A5 B1", "A1 B1 A2 A3 A4 A5"),
        ("B1 A1 A2 B2", "B1 A1 A2 B2"),
        ("C1 C2 B1 B2 A1 A2", "C1 B1 A1 C2 B2 A2"),
    ],
)
def test_guilds_with_equal_jobs_take_turns(bench, joined, served):
    bench.join(joined)

    assert bench.served() == served


def test_a_guild_with_long_jobs_gets_as_many_seconds_not_as_many_jobs(bench):
    bench.join("A1 A2 A3", cost=30)
    bench.join("B1 B2 B3 B4 B5 B6", cost=10)

    assert bench.served(4) == "A1 B1 B2 B3"
    assert bench.served() == "A2 B4 B5 B6 A3"


def test_twice_the_weight_is_twice_the_jobs(bench):
    bench.queue.shares.weights = {"A": 2.0}
    bench.join("A1 A2 A3 A4 A5 A6 B1 B2 B3")

    order = bench.served(6).split()

    assert [name[0] for name in order].count("A") == 4
    assert [name[0] for name in order].count("B") == 2


def test_whoever_was_away_banks_no_credit(bench):
    bench.join("A1 A2 A3 A4 A5 A6 A7 A8")
    bench.served(5)

    bench.join("B1 B2 B3 B4")

    assert bench.served(6) == "B1 A6 B2 A7 B3 A8"


def test_whoever_was_away_does_not_pay_for_it_either(bench):
    bench.join("A1 A2")
    bench.served()
    bench.join("B1 B2 B3 B4 B5 B6")
    bench.served(3)

    bench.join("A3 A4")

    assert bench.served(4) == "A3 B4 A4 B5"


def test_a_job_that_took_longer_than_estimated_is_paid_by_its_guild(bench):
    bench.join("A1 A2 B1 B2 B3 B4")

    assert bench.served(1, really=3 * JOB) == "A1"
    assert bench.served(really=JOB) == "B1 B2 B3 A2 B4"


def test_a_job_that_took_less_gives_the_rest_back(bench):
    bench.join("A1 A2 A3 B1 B2")

    assert bench.served(1, really=JOB / 5) == "A1"
    assert bench.served(4, really=JOB) == "B1 A2 B2 A3"


@pytest.mark.parametrize(
    ("lead", "first"),
    [
        pytest.param(0.0, "A", id="no difference"),
        pytest.param(TIE * JOB, "A", id="just a tie"),
        pytest.param(TIE * JOB * 1.01, "B", id="no tie any more"),
    ],
)
def test_start_tags_within_a_tenth_of_a_job_count_as_equal_and_the_earlier_arrival_goes_first(
    lead, first
):
    shares = Shares(tenants={"A": 100 + lead, "B": 100.0})

    assert shares.choose({"A": head("A1", sequence=1), "B": head("B1", sequence=2)}) == first


def test_the_order_in_which_guilds_are_listed_decides_nothing():
    heads = {
        "A": head("A1", cost=1.0, sequence=5),
        "B": head("B1", cost=100.0, sequence=9),
        "C": head("C1", cost=1.0, sequence=1),
    }
    shares = Shares(tenants={"C": 5.0})

    chosen = {
        shares.choose({name: heads[name] for name in order})
        for order in itertools.permutations(heads)
    }

    assert len(chosen) == 1


# -- warm models -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "first"),
    [
        pytest.param(0.0, "B", id="due at the same time"),
        pytest.param(LOAD - 1, "B", id="due less than a load later"),
        pytest.param(LOAD, "A", id="due a whole load later"),
    ],
)
def test_a_warm_model_goes_first_if_it_starts_less_than_one_load_later(ahead, first):
    shares = Shares(tenants={"A": 100.0, "B": 100.0 + ahead})
    heads = {"A": head("A1", model="owl", sequence=1), "B": head("B1", sequence=2)}

    assert shares.choose(heads, warm_model="fox") == first
    assert shares.choose(heads, warm_model=None) == "A"


def test_the_right_model_being_warm_changes_nothing():
    heads = {"A": head("A1", sequence=1), "B": head("B1", sequence=2)}

    assert Shares().choose(heads, warm_model="fox") == "A"


def test_a_cold_job_is_overtaken_for_one_load_and_no_longer(bench):
    bench.join("A1", model="owl")
    bench.join("B1 B2 B3 B4 B5 B6")

    assert bench.served(warm="fox") == "B1 B2 B3 A1 B4 B5 B6"


def test_ever_new_guilds_with_the_warm_model_cannot_keep_a_cold_job_waiting(bench):
    bench.join("A1", model="owl")
    order = []
    for newcomer in "BCDEFGHIJKLMNOP":
        bench.join(f"{newcomer}1")
        order.append(bench.serve(warm="fox").head.job_id)

    assert "A1" in order[:4]


def test_letting_the_warm_model_go_first_costs_the_one_who_waited_nothing(bench):
    bench.join("A1 A2", model="owl")
    bench.join("B1 B2 B3 B4")
    assert bench.served(1, warm="fox") == "B1"

    assert bench.served() == "A1 A2 B2 B3 B4"


# -- what holds for every line ---------------------------------------------------------------

TENANTS = "ABCDE"
weights = st.fixed_dictionaries(dict.fromkeys(TENANTS, st.sampled_from([0.5, 1.0, 2.0, 3.0])))
jobs = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.sampled_from("xyz"), st.floats(0.5, 100.0)),
    min_size=1,
    max_size=40,
)
standing = st.dictionaries(st.sampled_from(TENANTS), st.floats(0, 50))


def filled(jobs, weights, tenants, *, cold=None):
    queue = JobQueue(Shares(weights=weights, tenants=dict(tenants)))
    for number, (tenant, requester, cost) in enumerate(jobs):
        name = f"{tenant}{number}"
        model = "owl" if name == cold else "fox"
        waiting = head(name, cost=cost, sequence=number, model=model)
        queue.put(Ticket(head=waiting, tenant=tenant, requester_id=requester))
    return queue


@given(jobs=jobs, weights=weights, tenants=standing)
def test_the_forecast_is_the_order_of_service(jobs, weights, tenants):
    queue = filled(jobs, weights, tenants)
    forecast = [(tenant, waiting.job_id) for tenant, waiting in queue.forecast()]

    served = []
    while len(queue):
        ticket, charge = queue.take(None)
        queue.shares.apply(charge)
        served.append((ticket.tenant, ticket.head.job_id))

    assert served == forecast


@given(jobs=jobs, weights=weights, late=jobs, errors=st.lists(st.floats(-0.9, 1.0), max_size=80))
def test_no_backlogged_guild_is_ever_more_than_a_job_each_behind_another(
    jobs, weights, late, errors
):
    """Compare the service of every two guilds for as long as both have somebody waiting.

    Start-time fair queueing promises that it differs by one largest job of each at most; a tie
    adds its tenth. What a job took counts, not what it was estimated at.
    """
    queue, arrivals, errors = filled(jobs, weights, {}), list(late), iter(errors)
    largest = 2 * max(cost for *_, cost in jobs + late)
    served = dict.fromkeys(TENANTS, 0.0)
    since: dict[tuple[str, str], float] = {}
    while len(queue):
        both = set(itertools.permutations(queue.queues, 2))
        since = {(a, b): since.get((a, b), served[a] - served[b]) for a, b in both}

        ticket, charge = queue.take(None)
        queue.shares.apply(charge)
        extra = ticket.head.cost * next(errors, 0.0)
        queue.shares.apply(queue.shares.correct(ticket.tenant, extra))
        served[ticket.tenant] += (ticket.head.cost + extra) / weights[ticket.tenant]

        for a, b in both & set(itertools.permutations(queue.queues, 2)):
            ahead = served[a] - served[b] - since[a, b]
            assert ahead <= (1 + TIE) * largest * (1 / weights[a] + 1 / weights[b])
        if arrivals:
            tenant, requester, cost = arrivals.pop()
            late_head = head(f"{tenant}+{len(arrivals)}", cost=cost, sequence=99 - len(arrivals))
            queue.put(Ticket(head=late_head, tenant=tenant, requester_id=requester))


@given(jobs=jobs, weights=weights, tenants=standing)
def test_virtual_time_never_goes_back_and_everybody_is_served(jobs, weights, tenants):
    queue = filled(jobs, weights, tenants)
    shares, before, served = queue.shares, 0.0, 0

    while len(queue):
        ticket, charge = queue.take(None)
        shares.apply(charge)
        shares.apply(shares.correct(ticket.tenant, -1e6))
        assert shares.virtual_time >= before
        assert min(shares.tenants.values()) >= 0
        before, served = shares.virtual_time, served + 1

    assert served == len(jobs)


@given(jobs=jobs, weights=weights, tenants=standing)
@example(  # a long job makes A its tie; once it is gone, C is simply before A
    jobs=[("A", "x", 1.0), ("B", "x", LOAD), ("C", "x", 1.0)],
    weights=dict.fromkeys("ABCDE", 0.5),
    tenants={"A": 1.0},
)
def test_affinity_serves_out_of_turn_for_less_than_one_load_and_one_job(jobs, weights, tenants):
    _, first = next(filled(jobs, weights, tenants).forecast())
    queue = filled(jobs, weights, tenants, cold=first.job_id)

    out_of_turn = []
    while (taken := queue.take("fox"))[0].head.job_id != first.job_id:
        ticket, charge = taken
        out_of_turn = [*out_of_turn, ticket.head.cost] if charge.affinity_debt else []
        queue.shares.apply(charge)
        assert sum(out_of_turn[:-1]) < LOAD


@given(jobs=jobs, weights=weights, tenants=standing)
def test_affinity_is_bounded_on_each_slot(jobs, weights, tenants):
    _, first = next(filled(jobs, weights, tenants).forecast())
    queue = filled(jobs, weights, tenants, cold=first.job_id)

    out_of_turn = {"one": [], "two": []}
    for slot in itertools.cycle(out_of_turn):
        ticket, charge = queue.take("fox", slot)
        if ticket.head.job_id == first.job_id:
            return
        if charge.affinity_debt:
            out_of_turn[slot].append(ticket.head.cost)
        else:
            out_of_turn = {"one": [], "two": []}
        queue.shares.apply(charge)
        assert sum(out_of_turn[slot][:-1]) < LOAD


def test_a_guild_that_is_passed_over_on_a_slot_loses_nothing():
    queue = JobQueue(Shares(virtual_time=50.0, tenants={"A": 50.0, "B": 60.0}))
    large = Ticket(
        head=head("A1", sequence=1),
        tenant="A",
        requester_id="x",
        fits=lambda slot: slot == "large",
    )
    queue.put(large)
    for number in range(2, 8):
        waiting = head(f"B{number}", cost=20, sequence=number)
        queue.put(Ticket(head=waiting, tenant="B", requester_id="x"))

    for _ in range(4):
        ticket, charge = queue.take(None, "small")
        queue.shares.apply(charge)
        assert ticket.tenant == "B"

    assert queue.shares.virtual_time == 50
    assert queue.take(None, "large")[0] is large
    queue.put(large)
    assert [queue.take(None, "small")[0].head.job_id for _ in range(2)] == ["B6", "B7"]
    assert queue.take(None, "small") is None
    assert len(queue) == 1
