"""Where a refused message goes, and when: a pure decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.delivery import fallback
from inference.domain.errors import DeliveryError
from inference.domain.outbox import Act, ActKind, Route


def act(route=Route.THREAD, kind=ActKind.CLIP, receipt=None, **trace):
    return Act(
        key="J:clip",
        job_id="J",
        kind=kind,
        platform="test",
        wanted=1,
        shown=0,
        route=route,
        sending=False,
        attempts=0,
        created_at=0.0,
        trace=trace,
        receipt=receipt,
    )


def refused(code="delivery.closed", **more):
    return DeliveryError(code, transient=False, **more)


@pytest.mark.parametrize(
    ("tried", "passing", "route", "later"),
    [
        (act(), False, Route.CHANNEL, False),
        (act(), True, Route.THREAD, True),
        (act(closed={"at": 950.0}), True, Route.CHANNEL, False),
        (act(closed={"at": 950.0, "channel_at": 980.0}), True, Route.THREAD, True),
        (act(closed={"at": 500.0, "channel_at": 600.0}), True, Route.CHANNEL, False),
        (act(Route.CHANNEL, closed={"at": 950.0}), True, Route.THREAD, True),
        (act(Route.CHANNEL, closed={"at": -2700.0}), True, Route.DIRECT, False),
        (act(Route.CHANNEL), False, Route.DIRECT, False),
        (act(Route.CHANNEL, ActKind.CARD), True, Route.CHANNEL, True),
        (act(Route.DIRECT), True, Route.KEPT, False),
        (act(receipt={"message": 1}, closed={"at": 500.0}), True, Route.THREAD, True),
    ],
)
def test_a_refusal_is_waited_out_or_the_next_route_is_taken(tried, passing, route, later):
    step = fallback.after(tried, refused(passing=passing), 1000.0)
    assert (step.route, step.at is not None) == (route, later)


@pytest.mark.parametrize("tried", [act(receipt={"message": 1}), act(kind=ActKind.REMOVAL)])
def test_what_is_there_and_was_refused_for_good_is_given_up(tried):
    assert fallback.after(tried, refused(), 1000.0) is None


def test_a_clock_that_was_set_back_waits_no_longer():
    step = fallback.after(act(closed={"at": 9e9}), refused(passing=True), 1000.0)
    assert step.trace["closed"]["at"] == 1000.0


def test_what_may_be_there_is_sent_nowhere_else():
    step = fallback.after(act(), refused(fallback.UNSEEN), 1000.0)
    assert step.route is Route.KEPT


@pytest.mark.parametrize("route", [Route.THREAD, Route.CHANNEL])
def test_what_may_be_in_a_closed_place_waits_for_that_place_and_no_other(route):
    tried = replace(act(route, closed={"at": 500.0}), sending=True)
    assert fallback.after(tried, refused(passing=True), 1000.0).route is route
    assert fallback.after(tried, refused(passing=True), 9000.0).route is Route.KEPT
    assert fallback.after(tried, refused(), 1000.0).route is Route(route + 1)


def test_the_newest_reason_is_told_and_an_older_one_kept():
    first = fallback.after(act(), refused(why="new"), 1000.0)
    assert first.trace["why"] == "new"
    second = fallback.after(act(Route.CHANNEL, why="old"), refused(), 1000.0)
    assert second.trace["why"] == "old"
