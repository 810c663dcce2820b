"""How the bot keeps its WebSocket to Slack, whatever Slack says of it."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from bot.slack.socket_mode import socket
from inference.clock import SystemClock
from tests.scenario.slack_house import card_of

pytestmark = pytest.mark.deep

TOKEN_CODES = ("invalid_auth", "account_inactive", "token_revoked", "not_allowed_token_type")


class Impatient(SystemClock):
    """A clock that writes down how long somebody wanted to pause, and lets them go on at once."""

    def __init__(self):
        self.pauses: list[float] = []

    async def sleep(self, seconds):
        if seconds:
            self.pauses.append(seconds)
        await asyncio.sleep(min(seconds, 0.01))


@pytest.fixture
def clock():
    return Impatient()


@pytest.fixture
def impatient(make_house, clock):
    """A bot whose pauses are written down instead of waited for."""
    return make_house(clock=clock)


def problem(house, key):
    return house.services.health.problems.get(key)


async def all_well(house):
    """Wait until no problem is left: a command may be heard before a greeting is."""
    async with asyncio.timeout(180):
        while house.services.health.problems:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.005)


async def test_too_many_sockets_are_answered_by_growing_pauses_and_no_storm(
    slack, impatient, clock, alice, general
):
    slack.socket.foreign = 10
    async with impatient.open(connected=False) as house:
        await slack.until(lambda: slack.socket.opened >= 7)
        assert slack.socket.most_at_once == 1
        longest = [1.0, *(2.0**n for n in range(6))]
        for pause, ceiling in zip(clock.pauses, longest, strict=False):
            assert ceiling <= pause <= 1.5 * ceiling
        assert "same app token" in problem(house, "slack.connections")
        slack.socket.foreign = 0
        await alice.until_heard(general, "/rushes", "help")
        await all_well(house)
        assert not house.running.done()


async def test_a_working_socket_that_is_one_too_many_is_closed_before_the_next(
    slack, impatient, clock, alice, general
):
    async with impatient.open() as house:
        await slack.socket.ask_to_reconnect("too_many_websockets")
        await slack.until(lambda: slack.socket.opened == 2 and slack.socket.connections)
        assert slack.socket.most_at_once == 1
        assert clock.pauses[0] >= 0.5
        await alice.until_heard(general, "/rushes", "help")
        assert not house.running.done()


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "something_new"])
async def test_a_socket_that_ends_for_any_reason_is_replaced_and_never_by_two(
    slack, impatient, alice, general, reason
):
    async with impatient.open() as house:
        for count in range(2, 6):
            await slack.socket.ask_to_reconnect(reason)
            await slack.until(lambda: slack.socket.opened == count)  # noqa: B023 - used at once
        await alice.until_heard(general, "/rushes", "help")
        assert slack.socket.most_at_once <= 2
        assert not house.running.done()


async def test_sockets_that_do_not_last_are_followed_by_longer_pauses(slack, impatient, clock):
    async with impatient.open() as house:
        for count in range(2, 8):
            slack.socket.drop()
            await slack.until(lambda: slack.socket.opened == count and slack.socket.connections)  # noqa: B023 - as above
            await house.connected()
        pauses = clock.pauses
        assert len(pauses) == 5  # the first one is free
        assert all(later >= earlier for earlier, later in itertools.pairwise(pauses[::2]))
        assert pauses[-1] >= 8


@pytest.mark.parametrize("code", ["forbidden_team", "something_new", "too_many_websockets"])
async def test_an_unknown_refusal_of_a_socket_is_not_final(slack, impatient, alice, general, code):
    trouble = slack.trouble(r"apps\.connections\.open", times=float("inf"), error=code)
    async with impatient.open(connected=False) as house:
        await slack.until(lambda: slack.calls("apps.connections.open") >= 4)
        assert house.services.health.problems
        trouble.over()
        await slack.connected()
        await alice.until_heard(general, "/rushes", "help")
        assert not house.running.done()
        await all_well(house)


@pytest.mark.parametrize("code", TOKEN_CODES)
async def test_a_token_that_is_no_good_is_final(slack, impatient, code):
    slack.trouble(r"apps\.connections\.open", times=float("inf"), error=code)
    async with impatient.open(connected=False) as house:
        with pytest.raises(BaseExceptionGroup, match="unhandled errors"):
            await house.running
        assert slack.calls("apps.connections.open") == 1


async def test_a_rate_limit_of_new_sockets_is_kept(slack, impatient, clock):
    slack.socket.opens_per_minute = 1
    async with impatient.open():
        slack.socket.drop()
        await slack.until(lambda: slack.calls("apps.connections.open") >= 3)
        assert max(clock.pauses) > 50


async def test_another_process_with_the_same_token_is_reported(
    slack, impatient, monkeypatch, alice, general
):
    monkeypatch.setattr(socket, "CROWDED_SECONDS", 0.1)
    monkeypatch.setattr(socket, "CHECK_SECONDS", 0.05)
    slack.socket.foreign = 1
    async with impatient.open() as house:
        await slack.until(lambda: problem(house, "slack.connections"))
        assert "counts 2 connections" in problem(house, "slack.connections")
        slack.socket.foreign = 0
        opened = slack.socket.opened
        await slack.until(lambda: slack.socket.opened > opened)
        await alice.until_heard(general, "/rushes", "help")
        await all_well(house)
        assert slack.socket.most_at_once == 2


async def test_socket_mode_that_is_switched_off_is_said_and_waited_for(
    slack, impatient, clock, alice, general
):
    async with impatient.open() as house:
        await slack.socket.switch_off()
        await slack.until(lambda: slack.calls("apps.connections.open") >= 4)
        assert "Socket Mode" in problem(house, "slack.socket_mode")
        assert max(clock.pauses) >= 60
        slack.socket.enabled = True
        await slack.connected()
        await alice.until_heard(general, "/rushes", "help")
        await all_well(house)


async def test_jobs_go_on_over_a_refresh(slack, house, alice, general):
    refreshing = asyncio.create_task(slack.socket.ask_to_reconnect())
    await alice.command(general, "/generate", "a fox")
    await alice.wait_for(general, card_of("a fox"))
    await refreshing
    assert len(await house.jobs()) == 1
