from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from inference.domain.errors import UserError
from inference.domain.fairness import Charge
from inference.domain.job import MAX_ATTEMPTS, Failure, JobState
from inference.domain.outbox import ActKind
from inference.domain.render import Manifest
from inference.domain.verdict import Outcome, Reason, Verdict
from inference.store.queue import count_waiting
from tests.fakes.orders import a_job, a_spec, accept

CHARGE = Charge(tenant="guild:a", tenant_virtual_time=12.5, virtual_time=2.5)
FAILURE = Failure(code="encode.failed", params={"frames": 3})
MANIFEST = Manifest(
    name="clip.mp4", size=9, sha256="ab", width=640, height=360, frames=49, timings={"load": 1.5}
)


ROAD = {
    JobState.PREPARING: lambda store, job: store.begin_preparing(job),
    JobState.QUEUED: lambda store, job: store.enqueue(job, spec=a_spec(), verdict=Verdict()),
    JobState.RUNNING: lambda store, job: store.claim(job, CHARGE),
    JobState.FINISHING: lambda store, job: store.finish(job, MANIFEST, CHARGE),
    JobState.DELIVERING: lambda store, job: store.deliver(job, Verdict()),
}
"""The way to delivery, one step after the other."""

SIDEWAYS = {
    JobState.REFUSED: (JobState.PREPARING, lambda store, job: store.refuse(job, FAILURE)),
    JobState.FAILED: (JobState.RUNNING, lambda store, job: store.fail(job, FAILURE)),
    JobState.CANCELLED: (JobState.QUEUED, lambda store, job: store.cancel(job)),
    JobState.EXPIRED: (JobState.QUEUED, lambda store, job: store.expire(job, FAILURE)),
}
"""The other ends, and where they branch off."""


async def a_stored_job(store, state=JobState.ACCEPTED, **changes):
    job = await accept(store, a_job(**changes))
    branch, leave = SIDEWAYS.get(state, (state, None))
    for step, move in ROAD.items():
        if job.state is not branch:
            job = await move(store, job.id)
            assert job.state is step
    return await leave(store, job.id) if leave else job


STATES = [JobState.ACCEPTED, *ROAD, *SIDEWAYS]

MOVES = {
    "begin_preparing": (ROAD[JobState.PREPARING], {JobState.ACCEPTED: JobState.PREPARING}),
    "enqueue": (ROAD[JobState.QUEUED], {JobState.PREPARING: JobState.QUEUED}),
    "claim": (ROAD[JobState.RUNNING], {JobState.QUEUED: JobState.RUNNING}),
    "finish": (ROAD[JobState.FINISHING], {JobState.RUNNING: JobState.FINISHING}),
    "deliver": (ROAD[JobState.DELIVERING], {JobState.FINISHING: JobState.DELIVERING}),
    "requeue": (
        lambda store, job: store.requeue(job, CHARGE, lost=False),
        {JobState.RUNNING: JobState.QUEUED, JobState.FINISHING: JobState.QUEUED},
    ),
    "cancel": (
        lambda store, job: store.cancel(job),
        dict.fromkeys([JobState.ACCEPTED, JobState.PREPARING, JobState.QUEUED], JobState.CANCELLED),
    ),
    "cancel of a running one nobody asked for": (
        lambda store, job: store.cancel(job, running=True),
        {},
    ),
    "refuse": (
        SIDEWAYS[JobState.REFUSED][1],
        dict.fromkeys([JobState.PREPARING, JobState.FINISHING], JobState.REFUSED),
    ),
    "fail": (
        SIDEWAYS[JobState.FAILED][1],
        dict.fromkeys([JobState.ACCEPTED, *ROAD], JobState.FAILED),
    ),
    "expire": (
        SIDEWAYS[JobState.EXPIRED][1],
        dict.fromkeys(
            [JobState.ACCEPTED, JobState.PREPARING, JobState.QUEUED, JobState.RUNNING],
            JobState.EXPIRED,
        ),
    ),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.cases(4)
async def test_a_transition_happens_from_the_states_it_expects_and_from_no_other(store, name):
    move, expected = MOVES[name]
    for state in STATES:
        before = await a_stored_job(store, state, id=f"FROM{state}")

        after = await move(store, before.id)

        if state in expected:
            assert after.state is expected[state]
            assert await store.get(before.id) == after
        else:
            assert after is None, state
            assert await store.get(before.id) == before


async def test_a_job_comes_back_as_it_went_in(store):
    job = a_job(
        spec=a_spec(prompt='quotes " and \U0001f3ac', negative="rain", cfg=6.5, image="u"),
        key="click",
        parent="PARENT",
        address={"channel": 1, "thread": None, "names": ["a"]},
    )

    await accept(store, job)

    assert await store.get(job.id) == job
    assert await store.get("NOSUCHJOB") is None


async def test_every_step_writes_down_when_it_happened(store, clock):
    job = await a_stored_job(store, JobState.PREPARING)
    clock.advance(1)
    flagged = Verdict.of([Reason.GORE], Outcome.SPOILER)
    queued = await store.enqueue(job.id, spec=a_spec(prompt="refined"), verdict=flagged)
    clock.advance(1)
    running = await store.claim(job.id, CHARGE)
    clock.advance(1)
    failed = await store.fail(job.id, FAILURE)

    assert queued.spec.prompt == "refined"
    assert (await store.get(job.id)).verdict == flagged
    assert queued.queued_at == job.created_at + 1
    assert running.started_at == job.created_at + 2
    assert (failed.ended_at, failed.failure) == (job.created_at + 3, FAILURE)


async def test_whoever_enters_the_line_later_has_a_later_number(store):
    jobs = [await a_stored_job(store, JobState.QUEUED) for _ in range(3)]

    assert [job.sequence for job in jobs] == [1, 2, 3]
    await store.claim(jobs[0].id, CHARGE)
    assert (await store.requeue(jobs[0].id, CHARGE, lost=True)).sequence == 1


async def test_refusing_to_admit_stores_nothing_at_all(store, outbox):
    def refuse(_):
        raise UserError("queue.full_total")

    with pytest.raises(UserError):
        await accept(store, job := a_job(), refuse)

    assert await store.get(job.id) is None
    assert await outbox.get(job.id, ActKind.CARD) is None


async def test_admission_sees_who_waits_and_when_the_person_last_asked(store, clock):
    for state in [JobState.ACCEPTED, JobState.PREPARING, JobState.QUEUED]:
        await a_stored_job(store, state)
    for state in [JobState.RUNNING, JobState.DELIVERING, JobState.FAILED, JobState.CANCELLED]:
        await a_stored_job(store, state)
    await a_stored_job(store, requester="bob")
    await a_stored_job(store, tenant="guild:b")
    newest = await a_stored_job(store, JobState.CANCELLED, created_at=clock.now() + 5)
    seen = []

    await accept(store, a_job(), seen.append)

    [counts] = seen
    assert (counts.requester, counts.tenant, counts.total) == (3, 4, 5)
    assert counts.newest_at == newest.created_at


async def test_two_tenants_may_use_the_same_names(store):
    await a_stored_job(store, tenant="guild:a", requester="ada")
    seen = []

    await accept(store, a_job(tenant="guild:b", requester="ada"), seen.append)

    assert (seen[0].requester, seen[0].newest_at) == (0, None)


async def test_claiming_charges_and_counts_the_attempt_in_one(store):
    job = await a_stored_job(store, JobState.RUNNING)

    shares = await store.shares()

    assert job.attempt == 1
    assert (shares.virtual_time, shares.tenants) == (2.5, {"guild:a": 12.5})


@pytest.mark.parametrize("name", ["claim", "requeue", "finish"])
async def test_a_transition_that_does_not_happen_charges_nothing(store, name):
    job = await a_stored_job(store, JobState.CANCELLED)

    await MOVES[name][0](store, job.id)

    assert (await store.shares()).tenants == {}


async def test_only_one_of_many_claims_wins(store):
    job = await a_stored_job(store, JobState.QUEUED)

    claims = await asyncio.gather(*[store.claim(job.id, CHARGE) for _ in range(10)])

    assert [claim is not None for claim in claims] == [True] + [False] * 9


@pytest.mark.parametrize(
    ("losses", "attempts", "again"),
    [
        pytest.param(0, 0, True, id="never lost"),
        pytest.param(1, 0, False, id="lost once before"),
        pytest.param(0, MAX_ATTEMPTS - 2, True, id="one attempt left"),
        pytest.param(0, MAX_ATTEMPTS - 1, False, id="no attempt left"),
    ],
)
async def test_a_lost_job_goes_again_until_it_was_lost_twice_or_tried_too_often(
    store, losses, attempts, again
):
    job = await a_stored_job(store, JobState.RUNNING, losses=losses, attempt=attempts)

    queued = await store.requeue(job.id, CHARGE, lost=True)

    assert (queued is not None) is again
    if again:
        assert (queued.state, queued.losses, queued.attempt) == (
            JobState.QUEUED,
            losses + 1,
            job.attempt,
        )


async def test_a_job_that_was_finishing_goes_back_without_its_file(store):
    job = await a_stored_job(store, JobState.FINISHING)
    assert job.manifest == MANIFEST

    assert (await store.requeue(job.id, CHARGE, lost=False)).manifest is None


async def test_what_was_to_be_cancelled_neither_goes_again_nor_finishes(store, clock):
    job = await a_stored_job(store, JobState.RUNNING)
    clock.advance(1)
    asked = await store.request_cancel(job.id)
    clock.advance(1)

    assert (await store.request_cancel(job.id)).cancel_requested_at == asked.cancel_requested_at
    assert await store.requeue(job.id, CHARGE, lost=True) is None
    assert await store.finish(job.id, MANIFEST, CHARGE) is None
    assert (await store.cancel(job.id, running=True)).state is JobState.CANCELLED


@pytest.mark.parametrize("state", [state for state in STATES if state is not JobState.RUNNING])
async def test_only_a_running_job_can_be_asked_to_stop(store, state):
    job = await a_stored_job(store, state)

    assert await store.request_cancel(job.id) is None
    assert await store.get(job.id) == job


async def test_subscribers_hear_of_every_change_after_it_is_on_disk(store, events):
    with events.subscribe() as heard:
        job = await a_stored_job(store, JobState.RUNNING)
        await store.request_cancel(job.id)
        await store.claim(job.id, CHARGE)

        states = [heard.get_nowait().state for _ in range(heard.qsize())]

    assert states == ["accepted", "preparing", "queued", "running", "running"]


# -- what people are told --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        (JobState.QUEUED, {ActKind.CARD}),
        (JobState.CANCELLED, {ActKind.CARD}),
        (JobState.FINISHING, {ActKind.CARD}),
        (JobState.DELIVERING, {ActKind.CARD, ActKind.CLIP}),
        (JobState.REFUSED, {ActKind.CARD, ActKind.NOTICE}),
        (JobState.FAILED, {ActKind.CARD, ActKind.NOTICE}),
        (JobState.EXPIRED, {ActKind.CARD, ActKind.NOTICE}),
    ],
)
async def test_every_state_says_in_the_outbox_what_people_must_be_shown(
    store, outbox, state, kinds
):
    job = await a_stored_job(store, state)

    assert {kind for kind in ActKind if await outbox.get(job.id, kind)} == kinds


# -- looking ---------------------------------------------------------------------------------


async def test_unfinished_jobs_are_those_that_something_still_happens_to(store):
    jobs = [await a_stored_job(store, state) for state in STATES]
    foreign = await a_stored_job(store, tenant="guild:b")

    unfinished = {job.id for job in await store.list_unfinished()}

    assert unfinished == {job.id for job in jobs if not job.ended} | {foreign.id}
    assert [job.id for job in await store.list_unfinished(tenant="guild:b")] == [foreign.id]


async def test_the_newest_finished_jobs_come_oldest_first(store, outbox, clock):
    done = []
    for _ in range(4):
        job = await a_stored_job(store, JobState.DELIVERING)
        clock.advance(1)
        done.append(await outbox.mark_sent(await outbox.get(job.id, ActKind.CLIP), {}))

    assert [job.id for job in await store.list_finished(3)] == [job.id for job in done[1:]]


async def test_it_is_known_when_everybody_in_line_was_last_on_the_gpu(store, clock):
    await a_stored_job(store, JobState.FAILED, requester="ada")
    clock.advance(1)
    await a_stored_job(store, JobState.FAILED, requester="ada")
    await a_stored_job(store, JobState.QUEUED, requester="ada")
    await a_stored_job(store, JobState.QUEUED, requester="bob")
    await a_stored_job(store, JobState.FAILED, requester="cy")

    assert await store.read_last_served() == {("guild:a", "ada"): clock.now()}


async def test_switches_are_off_until_somebody_switches_them_on(store):
    assert not await store.is_switched_on("paused")

    await store.switch("paused", on=True)
    assert await store.is_switched_on("paused")
    assert not await store.is_switched_on("draining")

    await store.switch("paused", on=False)
    assert not await store.is_switched_on("paused")


async def test_a_forgotten_person_is_gone_at_once(store, outbox):
    waiting = await a_stored_job(store)
    ended = await a_stored_job(store, JobState.CANCELLED)
    other = await a_stored_job(store, requester="bob")

    erased = await store.forget("guild:a", "ada")
    assert (erased.unfinished, erased.ended) == ((waiting.id,), (ended.id,))
    for job in (waiting, ended):
        assert await store.get(job.id) is None
        assert await outbox.get(job.id, ActKind.CARD) is None
    assert await store.get(other.id)


async def test_files_of_jobs_long_over_or_refused_may_go(store, clock):
    over, waiting = await a_stored_job(store, JobState.CANCELLED), await a_stored_job(store)
    clock.advance(10)
    fresh = await a_stored_job(store, JobState.CANCELLED)
    refused = await a_stored_job(store, JobState.REFUSED)

    old = await store.without_files(
        clock.now() - 5, among=[over.id, waiting.id, fresh.id, refused.id, "NOSUCHJOB"]
    )

    assert sorted(old) == sorted([over.id, refused.id])
    assert await store.unknown([over.id, "NOSUCHJOB"]) == ["NOSUCHJOB"]


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (lambda store: store.list_unfinished(), "jobs_unfinished"),
        (lambda store: store.list_unfinished(tenant="guild:a"), "jobs_unfinished"),
        (lambda store: store.recent("guild:a", "ada", 5), "jobs_by_requester"),
        (lambda store: store.list_finished(5), "jobs_finished"),
        (lambda store: store.read_last_served(), "jobs_by_requester"),
    ],
)
async def test_no_look_reads_the_whole_history(store, database, look, index):
    statements = []
    await database._reader.set_trace_callback(statements.append)
    await look(store)
    await database._reader.set_trace_callback(None)

    plan = " ".join(
        row["detail"] for row in await database.read(f"EXPLAIN QUERY PLAN {statements[0]}")
    )

    assert index in plan
    assert not re.search(r"SCAN jobs(?! USING)", plan)


async def test_two_jobs_cannot_have_the_same_key_even_by_way_of_two_tenants(store):
    first = await a_stored_job(store, key="click")

    again = await accept(store, replace(a_job(key="click"), tenant="guild:b"))

    assert again.id == first.id


async def test_a_failure_that_an_older_version_stored_reads_by_its_present_name(store):
    job = await accept(store, a_job())
    await store.fail(job.id, Failure(code="worker.lied", params={"reason": "size"}))

    found = await store.get(job.id)

    assert found.failure == Failure(code="worker.bad_manifest", params={"reason": "size"})


async def test_counting_who_waits_looks_at_no_row_however_many_wait(database):
    statements = []

    async def count(connection):
        await connection.set_trace_callback(statements.append)
        asker = SimpleNamespace(tenant="guild:a", person="test:ada", created_at=1.0)
        await count_waiting(connection, asker)
        await connection.set_trace_callback(None)

    await database.write("count", count)
    [counting] = [sql for sql in statements if "AS requester" in sql]
    plan = [row["detail"] for row in await database.read(f"EXPLAIN QUERY PLAN {counting}")]
    looks = [detail for detail in plan if detail.startswith(("SEARCH", "SCAN jobs"))]
    assert len(looks) == 3
    assert all("COVERING INDEX jobs_unfinished" in detail for detail in looks), plan
