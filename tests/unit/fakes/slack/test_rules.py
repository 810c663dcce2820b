"""What the loopback Slack refuses, as Slack does."""

import math
import time
from types import SimpleNamespace

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from tests.fakes.slack import world
from tests.fakes.slack.api import METHODS
from tests.fakes.slack.contract import Contract
from tests.fakes.slack.responses import new_response_url
from tests.unit.fakes.slack.app import MODAL, button, section


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([section("x" * 3001)], "3001 of 3000"),
        ([section("a < b")], "not escaped"),
        ([{"type": "divider"}] * 51, "51 blocks"),
        ([{**section("a"), "block_id": "x"}, {**section("b"), "block_id": "x"}], "there twice"),
        (button("x" * 76, "cancel"), "76 of 75"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "a"}}], "must be plain_text"),
        ([{"type": "actions", "elements": []}], "1 to 25"),
        ([{"type": "carousel"}], "unknown"),
        (MODAL["blocks"][:1], "input in a message"),
    ],
)
async def test_blocks_that_slack_does_not_take_are_refused(slack, client, general, blocks, problem):
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        await client.chat_postMessage(channel=general.id, text="a", blocks=blocks)
    assert problem in slack.violations[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"title": {"type": "plain_text", "text": "x" * 25}}, "25 of 24"),
        ({"private_metadata": "x" * 3001}, "3001 of 3000"),
        ({"blocks": [{"type": "divider"}] * 101}, "101 blocks"),
        ({"submit": None}, "submit"),
        ({"type": "home"}, "a home does not go here"),
    ],
)
async def test_modals_that_slack_does_not_take_are_refused(slack, acme, client, change, problem):
    view = {name: value for name, value in (MODAL | change).items() if value}
    trigger = slack.world.trigger(acme.installation, acme.add_user("bob").id)
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.views_open(trigger_id=trigger, view=view)
    assert problem in slack.violations[0]
    assert not slack.world.views


async def test_calls_that_do_not_follow_the_contract_are_refused(slack, client, general):
    if not slack.hub.contract.methods:
        pytest.skip("Slack's description of its methods is not beside the project")
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.api_call("chat.postMessage", json={"channel": general.id, "colour": "red"})
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.api_call("users.info")
    assert [v.partition(": ")[2] for v in slack.violations] == [
        "no argument colour",
        "user is missing",
    ]


async def test_places_that_a_token_cannot_reach(slack, acme, alice, client):
    other = slack.add_team("other")
    other.install()
    secret = other.add_channel("secret", kind="private")
    closed = acme.add_channel("closed", alice, bot=False)
    with pytest.raises(SlackApiError, match="channel_not_found"):
        await client.chat_postMessage(channel=secret.id, text="a")
    assert len(slack.violations) == 1
    with pytest.raises(SlackApiError, match="not_in_channel"):
        await client.chat_postMessage(channel=closed.id, text="a")
    await client.conversations_join(channel=closed.id)
    await client.chat_postMessage(channel=closed.id, text="a")
    acme.install(scopes=frozenset({"commands"}))
    client.token = acme.installation.token
    with pytest.raises(SlackApiError, match="missing_scope") as refused:
        await client.chat_postMessage(channel=closed.id, text="a")
    assert refused.value.response["needed"] == "chat:write"
    acme.uninstall(reason="token_revoked")
    with pytest.raises(SlackApiError, match="token_revoked"):
        await client.auth_test()


async def test_the_fifty_first_update_in_a_minute_is_refused(slack, client, general):
    ts = (await client.chat_postMessage(channel=general.id, text="a"))["ts"]
    for number in range(50):
        await client.chat_update(channel=general.id, ts=ts, text=str(number))
    with pytest.raises(SlackApiError) as refused:
        await client.chat_update(channel=general.id, ts=ts, text="once more")
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["Retry-After"]) > 30
    assert slack.violations == ["chat.update (acme): more than 50 in a minute"]
    assert slack.busiest_minute("chat.update") == 50


async def test_a_response_url_is_good_for_five_answers(slack, acme, alice, general):
    url = new_response_url(slack.hub, acme.installation, general, alice.id)
    async with aiohttp.ClientSession() as session:
        for status in (200, 200, 200, 200, 200, 404):
            async with session.post(url, json={"text": "again"}) as response:
                assert response.status == status
    assert len(alice.sees(general)) == 5
    assert slack.violations == ["a response URL was used too often or too late"]


def test_what_the_methods_need_is_what_slack_says():
    contract = Contract.read()
    if not contract.methods:
        pytest.skip("Slack's description of its methods is not beside the project")
    tiers = {"t3": 50, "t4": 100, "t5": None}
    for method in METHODS.values():
        described = contract.methods[method.name]
        assert method.per_minute == tiers[described["rate_limits"]], method.name
        scopes = described["scope"].get("bot", [])
        assert method.scope in scopes or (method.scope is None and len(scopes) != 1), method.name


async def test_a_modal_has_to_be_opened_in_time_and_only_once(slack, acme, alice, client):
    trigger = slack.world.trigger(acme.installation, alice.id)
    await client.views_open(trigger_id=trigger, view=MODAL)
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await client.views_open(trigger_id=trigger, view=MODAL)
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=alice.modal.id, view=MODAL, hash="old")
    await client.views_update(view_id=alice.modal.id, view=MODAL, hash=alice.modal.hash)


async def test_a_modal_is_too_late_after_three_seconds_that_a_test_let_pass(
    slack, acme, alice, client
):
    in_time = slack.world.trigger(acme.installation, alice.id)
    slack.world.advance(2.9)
    await client.views_open(trigger_id=in_time, view=MODAL)
    late = slack.world.trigger(acme.installation, alice.id)
    slack.world.advance(3.1)
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await client.views_open(trigger_id=late, view=MODAL)


async def test_real_seconds_count_in_a_strict_world_only(slack, acme, alice, client, monkeypatch):
    trigger = slack.world.trigger(acme.installation, alice.id)
    monkeypatch.setattr(world, "time", SimpleNamespace(monotonic=lambda: math.inf, time=time.time))
    slack.world.strict = True
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await client.views_open(trigger_id=trigger, view=MODAL)
    slack.world.strict = False
    await client.views_open(trigger_id=trigger, view=MODAL)


async def test_a_response_url_is_good_for_half_an_hour(slack, acme, alice, general):
    url = new_response_url(slack.hub, acme.installation, general, alice.id)
    async with aiohttp.ClientSession() as session:
        for seconds, status in ((29 * 60, 200), (2 * 60, 404)):
            slack.world.advance(seconds)
            async with session.post(url, json={"text": "again"}) as response:
                assert response.status == status
    assert slack.violations == ["a response URL was used too often or too late"]
