"""What anybody on the internet can send to the addresses that install the app on Slack."""

from __future__ import annotations

import re

import pytest

from bot.network.http_limits import (
    MAX_ADDRESSES,
    PER_MINUTE,
    AddressLimiter,
)
from bot.slack.oauth import STATE_SECONDS, OAuthStates
from tests.attacks.slack_attacker import KIND, Attacker, attack
from tests.fakes.clock import ManualClock
from tests.scenario.slack_house import House

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")  # slack_sdk's, of aiohttp


@pytest.fixture
async def oauth(slack, tmp_path, free_port, patient, capfd):
    """A bot that anybody may install."""
    section = {
        "client_id": slack.client_id,
        "client_secret": slack.client_secret,
        "port": free_port,
    }
    house = House(slack=slack, directory=tmp_path / "data", section=section)
    async with house.open():
        capfd.readouterr()
        yield Attacker(slack, house, free_port, capfd)


async def rows(house):
    read = house.core.database.read
    tables = await read("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [(t["name"], len(await read(f"SELECT 1 FROM {t['name']}"))) for t in tables]  # noqa: S608 - names of our own tables


@pytest.mark.attack(KIND, "ten thousand installations begun to fill the database")
async def test_installations_that_are_only_begun_leave_nothing(oauth):
    before = await rows(oauth.house)
    answers = [(await oauth.get("install"))[0] for _ in range(2 * PER_MINUTE)]
    assert answers[:PER_MINUTE] == [200] * PER_MINUTE
    assert 429 in answers[PER_MINUTE:]
    assert await rows(oauth.house) == before
    assert len(oauth.logged()) < 300


@pytest.mark.attack(KIND, "a flood behind made-up X-Forwarded-For entries")
async def test_only_what_the_proxy_says_counts(oauth):
    async def ask(forwarded):
        return (await oauth.get("install", **{"X-Forwarded-For": forwarded}))[0]

    answers = [await ask(f"10.0.0.{n}, 192.0.2.1") for n in range(2 * PER_MINUTE)]
    assert 429 in answers
    assert await ask("192.0.2.2") == 200


@pytest.mark.attack(KIND, "a flood from a million addresses to fill the memory")
def test_addresses_are_remembered_within_bounds():
    limiter = AddressLimiter(ManualClock())
    for number in range(3 * MAX_ADDRESSES):
        limiter.take(f"2001:db8:{number // 65536:x}:{number % 65536:x}::1")
    assert len(limiter._buckets) == MAX_ADDRESSES


@pytest.mark.attack(KIND, "a flood from many addresses of one IPv6 network")
def test_addresses_of_one_network_are_one():
    limiter = AddressLimiter(ManualClock())
    waits = [limiter.take(f"2001:db8::{number:x}") for number in range(PER_MINUTE + 1)]
    assert waits[-1] > 0
    assert not any(waits[:-1])


def the_state(page):
    return re.search(r"state=([\w-]+)", page)[1]


@pytest.mark.attack(KIND, "the state of somebody else's installation")
async def test_a_state_is_good_in_its_own_browser_only(oauth):
    _, page, _ = await oauth.get("install")
    back = f"oauth_redirect?code=x&state={the_state(page)}"
    assert (await oauth.get(back))[0] == 400
    assert (await oauth.get(back, cookie="slack-app-oauth-state=other"))[0] == 400


@pytest.mark.attack(KIND, "a state that was used before")
async def test_a_state_is_good_once(oauth):
    _, page, headers = await oauth.get("install")
    cookie = headers["Set-Cookie"].partition(";")[0]
    back = f"oauth_redirect?code=x&state={the_state(page)}"
    assert "invalid_code" in (await oauth.get(back, cookie=cookie))[1]
    assert "invalid_state" in (await oauth.get(back, cookie=cookie))[1]


def without_end(state):
    return state[:-1]


def with_more(state):
    return f"{state}AAAA"


def with_another_time(state):
    return f"{'A' * 11}{state[11:]}"


def in_other_letters(state):
    return f"{state[:-1]}é"


@pytest.mark.parametrize(
    "change",
    [
        attack("a state without its end", without_end),
        attack("a state with something behind it", with_more),
        attack("a state with another time", with_another_time),
        attack("a state in letters that are none of it", in_other_letters),
        attack("an empty state", lambda _: ""),
    ],
)
async def test_a_changed_state_is_worth_nothing(change):
    states = OAuthStates("secret", ManualClock())
    state = await states.async_issue()
    assert not await states.async_consume(change(state))
    assert await states.async_consume(state)


@pytest.mark.attack(KIND, "a state signed with another secret")
async def test_a_state_of_another_app_is_worth_nothing():
    clock = ManualClock()
    state = await OAuthStates("guessed", clock).async_issue()
    assert not await OAuthStates("secret", clock).async_consume(state)


@pytest.mark.attack(KIND, "a state kept for later")
async def test_a_state_is_not_good_for_long():
    clock = ManualClock()
    states = OAuthStates("secret", clock)
    state = await states.async_issue()
    clock.advance(STATE_SECONDS + 1)
    assert not await states.async_consume(state)


@pytest.mark.parametrize(
    "query",
    [
        attack("a script as the error of an installation", "error=<script>alert(1)</script>"),
        attack("a script as the code of an installation", "code=<script>&state=<script>"),
        attack("a script as the workspace to install to", 'team="><script>alert(1)</script>'),
        attack("a state twice", "code=x&state=a&state=b"),
        attack("a null byte in an address", "code=%00&state=%00"),
    ],
)
async def test_pages_show_nothing_of_what_was_asked(oauth, query):
    for path in ("install", "oauth_redirect"):
        status, page, headers = await oauth.get(f"{path}?{query}")
        assert status < 500
        assert "<script" not in page
        assert headers.get("X-Frame-Options") == "DENY" or status == 400
    said = oauth.logged()
    assert "raceback" not in said
    assert len(said) < 600
