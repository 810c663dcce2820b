from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.api.rate_limits import TIER_3, TIER_4, Bucket, Limiter, rate_of
from inference.domain.errors import DeliveryError

ALLOWED = {TIER_3: 50, TIER_4: 100}
"""Calls in a minute at Slack."""

steps = st.lists(
    st.tuples(
        st.floats(min_value=0, max_value=30, allow_nan=False),
        st.integers(min_value=1, max_value=60),
        st.booleans(),
    ),
    max_size=40,
)
"""Seconds that pass, calls that are wanted then, and whether the process restarts before."""


@pytest.fixture
def limiter(clock):
    """A limiter of a process that did nothing for long."""
    return Limiter(clock, since=clock.monotonic() - 60)


async def taken(limiter, *args, **kwargs):
    """Take turns until there is none; return how many there were."""
    count = 0
    while True:
        try:
            await limiter.turn(*args, **kwargs)
        except DeliveryError:
            return count
        count += 1


@given(steps, st.sampled_from([TIER_3, TIER_4]))
def test_no_minute_has_more_calls_than_slack_allows_whatever_crashes(steps, rate):
    now, calls, bucket = 0.0, [], Bucket(rate, since=0.0)
    for passed, wanted, restarted in steps:
        now += passed
        if restarted:
            bucket = Bucket(rate, since=now)
        for _ in range(wanted):
            if not bucket.wait(now):
                bucket.take()
                calls.append(now)
    for first in calls:
        assert sum(first <= at <= first + 60.0 for at in calls) <= ALLOWED[rate]


@given(st.integers(min_value=1, max_value=30))
def test_those_who_wait_are_told_different_times(waiting):
    bucket = Bucket(TIER_3, since=0.0)
    promised = [bucket.promise(0.0) for _ in range(waiting)]
    assert promised == pytest.approx([TIER_3.interval * (turn + 1) for turn in range(waiting)])


async def test_a_burst_goes_through_and_then_one_call_per_interval(limiter, clock):
    assert await taken(limiter, "T1", "chat.update") == TIER_3.burst
    clock.advance(TIER_3.interval)
    assert await taken(limiter, "T1", "chat.update") == 1


async def test_workspaces_and_methods_do_not_share_their_room(limiter):
    await taken(limiter, "T1", "chat.update")
    assert await taken(limiter, "T2", "chat.update") == TIER_3.burst
    assert await taken(limiter, "T1", "chat.delete") == TIER_3.burst


async def test_messages_are_also_counted_by_channel(limiter):
    assert await taken(limiter, "T1", "chat.postMessage", channel="C1") == 3
    assert await taken(limiter, "T1", "chat.postMessage", channel="C2") == 3


async def test_what_may_be_skipped_leaves_half_of_the_burst(limiter):
    skipped = await taken(limiter, "T1", "chat.update", fleeting=True)
    assert 0 < skipped <= TIER_3.burst / 2
    assert await taken(limiter, "T1", "chat.update") == TIER_3.burst - skipped


async def test_a_process_begins_without_room(clock):
    with pytest.raises(DeliveryError) as caught:
        await Limiter(clock).turn("T1", "chat.update")
    assert (caught.value.code, caught.value.transient) == ("slack.rate_limited", True)
    assert caught.value.retry_after == pytest.approx(TIER_3.interval)


async def test_somebody_patient_waits_for_the_turn(clock):
    limiter = Limiter(clock)
    turn = asyncio.create_task(limiter.turn("T1", "chat.update", patience=5.0))
    await clock.asleep(TIER_3.interval)
    assert not turn.done()
    clock.advance(TIER_3.interval)
    await turn


async def test_nobody_calls_before_slacks_time_is_over(limiter, clock):
    limiter.close("T1", "chat.update", 30.0)
    with pytest.raises(DeliveryError) as caught:
        await limiter.turn("T1", "chat.update", patience=5.0)
    assert caught.value.retry_after == pytest.approx(30.0)
    assert await taken(limiter, "T2", "chat.update") == TIER_3.burst
    clock.advance(29.9)
    assert await taken(limiter, "T1", "chat.update") == 0
    clock.advance(0.2)
    assert await taken(limiter, "T1", "chat.update") > 0


async def test_a_shorter_pause_does_not_end_a_longer_one(limiter, clock):
    limiter.close("T1", "chat.update", 30.0)
    limiter.close("T1", "chat.update", 1.0)
    clock.advance(10.0)
    assert await taken(limiter, "T1", "chat.update") == 0


def test_a_method_that_nobody_knows_is_slow():
    assert rate_of("something.new") is TIER_3
    assert rate_of("files.info") is TIER_4
