"""Admission of requests that make jobs."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from bot.http.access import admission
from bot.http.access.admission import Admission
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
    return Admission(clock, SimpleNamespace(events=events, jobs=SimpleNamespace(draining=False)))


async def test_a_token_leaves_turns_for_others(gate, monkeypatch):
    monkeypatch.setattr(admission, "TURN_SECONDS", 0.01)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(admission.PER_TOKEN):
            await stack.enter_async_context(gate.turn("greedy"))
        seconds = set()
        for _ in range(3):
            with pytest.raises(UserError) as refused:
                await stack.enter_async_context(gate.turn("greedy"))
            assert refused.value.code == "http.busy"
            seconds.add(refused.value.params["seconds"])
        assert len(seconds) == 3  # they do not come back together
        async with gate.turn("modest"):
            pass
    async with gate.turn("greedy"):
        pass


async def test_the_next_one_has_the_turn_of_one_that_ends(gate):
    entered = asyncio.Event()

    async def wait():
        async with gate.turn("mine"):
            entered.set()

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(admission.PER_TOKEN):
            await stack.enter_async_context(gate.turn("mine"))
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert not entered.is_set()
    await waiting
    assert entered.is_set()


def test_a_full_queue_is_full_until_a_job_leaves_it_or_a_second_is_over(gate, clock, events):
    def refuse(who="mine"):
        with gate.place(who):
            raise UserError("queue.full_user", limit=3, count=3)

    def ask(who="mine"):
        with gate.place(who):
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
    with pytest.raises(UserError), gate.place("mine"):
        raise UserError("queue.cooldown", seconds=3)
    with gate.place("mine"):
        pass


def a_move(state, progress=None):
    return JobEvent(job_id="7Q2FK9XDAB", tenant="a", state=state, progress=progress)
