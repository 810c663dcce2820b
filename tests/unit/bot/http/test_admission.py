"""Admission of requests that make jobs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import make_mocked_request

from bot.http.access import admission
from bot.http.access.admission import Admission
from commands.results import Advice, AdvisedError
from inference.domain.errors import UserError
from inference.domain.events import EventBus, JobEvent
from inference.domain.job import JobState
from inference.domain.render import Progress, Stage
from tests.fakes.clock import ManualClock


@pytest.fixture
def events():
    return EventBus()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def gate(clock, events):
    return make_gate(clock, events)


def make_gate(clock, events):
    return Admission(clock, SimpleNamespace(events=events, jobs=Jobs()))


class Jobs:
    """A queue that takes orders."""

    draining = False

    def check_accepting(self):
        pass


def token(name, tenant=None):
    return SimpleNamespace(id=name, tenant=tenant or f"of {name}")


def a_request():
    return make_mocked_request("POST", "/v1/videos")


def works(gate):
    """Return the limits, each with what enters it."""
    return {
        "TURNS": gate.turn,
        "UPLOADS": lambda who: gate.upload(a_request(), who),
        "CHECKS": gate.check,
    }


@pytest.mark.parametrize("work", ["TURNS", "UPLOADS", "CHECKS"])
@pytest.mark.parametrize("whose", ["token", "tenant"])
async def test_a_token_and_a_tenant_leave_work_for_others(clock, events, monkeypatch, work, whose):
    limit = replace(getattr(admission, work), seconds=0.01)
    monkeypatch.setattr(admission, work, limit)
    gate = make_gate(clock, events)
    enter = works(gate)[work]
    names = itertools.count()

    def greedy():
        if whose == "token":
            return token("greedy")
        return token(f"greedy {next(names)}", "greedy")

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(getattr(limit, whose)):
            await stack.enter_async_context(enter(greedy()))
        seconds = set()
        for _ in range(3):
            with pytest.raises(UserError) as refused:
                await stack.enter_async_context(enter(greedy()))
            assert refused.value.code == "http.busy"
            seconds.add(refused.value.params["seconds"])
        assert len(seconds) == 3  # they do not come back together
        async with enter(token("modest")):
            pass
    async with enter(greedy()):
        pass


async def test_the_next_one_has_the_turn_of_one_that_ends(gate):
    entered = asyncio.Event()

    async def wait():
        async with gate.turn(token("mine")):
            entered.set()

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(admission.TURNS.token):
            await stack.enter_async_context(gate.turn(token("mine")))
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert not entered.is_set()
    await waiting
    assert entered.is_set()


async def test_a_request_is_one_upload_from_its_body_to_its_pictures(gate):
    request, mine = a_request(), token("mine")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(admission.UPLOADS.token - 1):
            await stack.enter_async_context(gate.upload(a_request(), mine))
        async with gate.upload(request, mine), gate.upload(request, mine):
            pass
        async with gate.upload(request, mine):
            pass


def test_a_full_queue_is_full_until_a_job_leaves_it_or_a_second_is_over(gate, clock, events):
    def refuse(who="mine"):
        with gate.place(token(who)):
            raise UserError("queue.full_user", limit=3, count=3)

    def ask(who="mine"):
        with gate.place(token(who)):
            pass

    for leave in (
        lambda: events.publish(a_move(JobState.RUNNING)),
        lambda: events.publish(a_move(JobState.CANCELLED)),
        lambda: clock.advance(admission.FULL_SECONDS),
    ):
        with pytest.raises(UserError):
            refuse()
        events.publish(a_move(JobState.QUEUED))
        progress = Progress(stage=Stage.RENDERING, done=1, total=2)
        events.publish(a_move(JobState.RUNNING, progress))
        with pytest.raises(UserError) as again:
            ask()
        assert (again.value.code, again.value.params["limit"]) == ("queue.full_user", 3)
        ask("somebody else")
        leave()
        ask()


def test_another_refusal_is_not_remembered(gate):
    with pytest.raises(UserError), gate.place(token("mine")):
        raise UserError("queue.cooldown", seconds=3)
    with gate.place(token("mine")):
        pass


def refuse_for_quota(gate, left, changes=None):
    error = AdvisedError(
        UserError("quota.requester", limit=60, seconds=3600.0),
        Advice("quota.nothing_fits" if changes is None else "quota.fits", {"left": left}, changes),
    )
    with pytest.raises(UserError), gate.place(token("mine")):
        raise error


def test_a_spent_quota_refuses_uploads_before_they_are_read(gate, clock):
    refuse_for_quota(gate, 9, changes={"frames": 1})
    gate.check_room(token("mine"))  # something smaller fits
    refuse_for_quota(gate, 9)
    gate.check_room(token("mine"))  # something of another kind may fit: only this one was tried
    refuse_for_quota(gate, 0)
    with pytest.raises(UserError, match="quota") as refused:
        gate.check_room(token("mine"))
    assert refused.value.params["limit"] == 60
    gate.check_room(token("somebody else"))
    with gate.place(token("mine")):  # what brings no picture is judged anew
        pass
    clock.advance(admission.FULL_SECONDS)
    gate.check_room(token("mine"))


def test_what_is_remembered_of_a_refusal_holds_nothing_of_its_request(gate):
    class Body:
        pass

    bodies = weakref.WeakSet()

    def refuse():
        bodies.add(body := Body())
        with gate.place(token("mine")):
            raise UserError("queue.full_user", limit=3, count=3)
        return body

    with pytest.raises(UserError):
        refuse()
    with pytest.raises(UserError):
        gate.check_room(token("mine"))
    gc.collect()
    assert not bodies


def a_move(state, progress=None):
    return JobEvent(job_id="7Q2FK9XDAB", tenant="a", state=state, progress=progress)
