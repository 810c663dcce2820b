"""Slack's connections, and the workspaces that share one bot without seeing each other."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from dataclasses import replace
from urllib.parse import urlencode

import aiohttp
import pytest
from slack_sdk.signature import SignatureVerifier

from bot.slack.socket_mode import socket
from commands.text.messages import error_text
from inference.domain.errors import UserError
from inference.store.maintenance import DATABASE_NAME
from tests.scenario.slack_house import (
    House,
    buttons_below,
    card_of,
    clip_below,
    listening,
    written,
)

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")  # slack_sdk's, of aiohttp


async def test_a_silent_line_is_replaced(slack, house, alice, general, monkeypatch):
    monkeypatch.setattr(socket, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(socket, "NO_PING_SECONDS", 0.5)
    monkeypatch.setattr(socket, "CHECK_SECONDS", 0.1)
    slack.socket.drop()
    await slack.until(lambda: slack.socket.opened >= 2 and slack.socket.connections)
    opened = slack.socket.opened
    slack.socket.numb("silent")
    await slack.until(lambda: slack.socket.opened > opened and len(slack.socket.connections) == 1)
    reply = await alice.command(general, "/generate", "a fox")
    assert reply.acknowledged


async def test_slack_may_ask_for_a_new_line(slack, house, alice, general):
    asking = asyncio.create_task(slack.socket.ask_to_reconnect())
    reply = await alice.command(general, "/generate", "a fox")
    await asking
    assert reply.acknowledged
    await slack.until(lambda: slack.socket.opened == 2)


async def test_http_takes_what_is_signed_and_nothing_else(
    slack, alice, general, make_house, free_port
):
    section = {"mode": "http", "app_token": None, "port": free_port}
    url = f"http://127.0.0.1:{free_port}/slack/events"
    slack.post_to(url)
    command = {
        "command": "/generate",
        "text": "a forgery",
        "user_id": alice.id,
        "channel_id": general.id,
        "trigger_id": "1.2.3",
        "response_url": f"{slack.hub.url}actions/x/y",
    }
    async with make_house(section=section).open(connected=False) as house:
        await listening(free_port)
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=command) as response,
        ):
            assert response.status == 401
        body = urlencode({**command, "text": "an old request"}).encode()
        signer = SignatureVerifier(slack.signing_secret)
        for age, status in ((301, 401), (0, 200)):
            at = str(int(time.time()) - age)
            signature = signer.generate_signature(timestamp=at, body=body)
            headers = {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": at}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            async with (
                aiohttp.ClientSession() as session,
                session.post(url, data=body, headers=headers) as response,
            ):
                assert response.status == status
        await alice.command(general, "/generate", "a fox")
        await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
        assert [job.spec.prompt for job in await house.jobs()] == ["a fox"]


@pytest.mark.parametrize(
    ("key", "token"), [("bot_token", "xoxb-no-such-token"), ("app_token", "xapp-no-such-token")]
)
async def test_a_rejected_token_is_said_but_not_shown(make_house, key, token):
    house = make_house(section={key: token})
    async with house.open(connected=False):
        done, _ = await asyncio.wait({house.running}, timeout=180)
        assert done
        said = repr(house.running.exception())
        assert "slack.token_rejected" in said
        assert "no-such" not in said


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"app_token": None}, "app_token"),
        ({"mode": "http", "signing_secret": None}, "signing_secret"),
        ({"client_id": "1.2"}, "client_secret"),
    ],
)
async def test_a_missing_key_is_named(make_house, section, key):
    house = make_house(section=section)
    async with house.open(connected=False):
        with pytest.raises(UserError) as caught:
            await house.running
        assert caught.value.code == "slack.missing"
        assert f"config.toml: [slack] {key} is missing" in error_text(caught.value, "en")


# -- many workspaces -------------------------------------------------------------------------


@pytest.fixture
async def two_teams(slack, tmp_path, free_port, patient):
    """A bot that two workspaces installed by OAuth, without a token in its config."""
    section = {
        "client_id": slack.client_id,
        "client_secret": slack.client_secret,
        "port": free_port,
    }
    house = House(slack=slack, directory=tmp_path / "data", section=section)
    async with house.open():
        teams = []
        for name in ("north", "south"):
            team = slack.add_team(name)
            admin = team.add_user(f"{name}-admin")
            await slack.install(team, admin, f"http://127.0.0.1:{free_port}/slack/install")
            teams.append(team)
        yield house, *teams


async def test_each_workspace_is_answered_with_its_own_token(slack, two_teams):
    house, north, south = two_teams
    people = [team.add_user(f"person-{team.id}") for team in (north, south)]
    for team, person in zip((north, south), people, strict=True):
        channel = team.add_channel("general", person)
        await person.command(channel, "/generate", f"a fox of {team.id}")
        card = await person.wait_for(channel, card_of(f"a fox of {team.id}"))
        await clip_below(slack, card)
        assert card.team.id == team.id
    assert {job.tenant for job in await house.jobs()} == {f"slack:{north.id}", f"slack:{south.id}"}
    assert slack.leaks([(north, f"fox of {north.id}"), (south, f"fox of {south.id}")]) == []
    mode = (house.directory / DATABASE_NAME).stat().st_mode & 0o777
    assert mode == 0o600


async def test_a_team_cannot_touch_what_is_of_another(slack, two_teams):
    house, north, south = two_teams
    ann, sue = north.add_user("ann"), south.add_user("sue")
    here, there = north.add_channel("here", ann), south.add_channel("there", sue)
    await ann.command(here, "/generate", "a secret fox")
    card = await ann.wait_for(here, card_of("a secret fox"))
    await clip_below(slack, card)
    [job] = await house.jobs()
    for line in (f"status {job.id}", f"cancel {job.id}", f"show {job.id}", "history", "queue"):
        reply = await sue.command(there, "/rushes", line)
        assert "secret" not in str(reply.payload)
    assert slack.leaks([(north, "a secret fox")]) == []


async def test_uninstalling_ends_its_jobs_and_forgets_the_token(slack, two_teams):
    house, north, south = two_teams
    house.executor.automatic = False
    ann = north.add_user("ann")
    here = north.add_channel("here", ann)
    await ann.command(here, "/generate", "a fox")
    await ann.command(here, "/generate", "a cat")
    await ann.wait_for(here, card_of("a cat"))
    north.uninstall(reason="account_inactive")

    await written(house, "SELECT 1 FROM jobs GROUP BY tenant HAVING min(state = 'cancelled')")
    rows = await house.core.database.read("SELECT workspace FROM slack_installations")
    assert [row["workspace"] for row in rows] == [south.id]


async def test_revoked_tokens_are_forgotten(slack, two_teams):
    house, north, south = two_teams
    north.uninstall(reason="token_revoked")
    await written(house, "SELECT 1 WHERE (SELECT count(*) FROM slack_installations) = 1")
    rows = await house.core.database.read("SELECT workspace FROM slack_installations")
    assert [row["workspace"] for row in rows] == [south.id]


async def test_installations_outlive_the_process(slack, two_teams, tmp_path):
    house, north, _ = two_teams
    ann = north.add_user("ann")
    here = north.add_channel("here", ann)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(house.directory, copy, dirs_exist_ok=True)
    house.running.cancel()
    await slack.until(lambda: not slack.socket.connections)
    async with House(slack=slack, directory=copy, section=house.section).open():
        await ann.command(here, "/generate", "a fox")
        await clip_below(slack, await ann.wait_for(here, card_of("a fox")))


async def test_an_installation_is_good_for_one_browser_and_one_return(slack, two_teams):
    house, *_ = two_teams
    url = f"http://127.0.0.1:{house.section['port']}/slack"
    async with aiohttp.ClientSession() as browser:
        async with browser.get(f"{url}/install") as response:
            page = await response.text()
            cookie = response.headers["Set-Cookie"].partition(";")[0]
        state = re.search(r"state=([\w-]+)", page)[1]
        back = f"{url}/oauth_redirect?code=forged&state={state}"
        async with browser.get(back, headers={"Cookie": ""}) as response:
            assert response.status == 400
        async with browser.get(back, headers={"Cookie": cookie}) as response:
            assert response.status == 401  # the code is forged, but the state was used up
        async with browser.get(back, headers={"Cookie": cookie}) as response:
            assert response.status == 401
            assert "invalid_state" in await response.text()


@pytest.mark.parametrize(
    "left", [60, 40 * 86_400], ids=["soon", "granted-while-the-clock-was-ahead"]
)
async def test_a_token_is_exchanged_before_it_expires(slack, tmp_path, free_port, left):
    slack._authorizations._rotation = True
    section = {
        "client_id": slack.client_id,
        "client_secret": slack.client_secret,
        "port": free_port,
    }
    team = slack.add_team("north")
    admin = team.add_user("admin")
    async with House(slack=slack, directory=tmp_path / "data", section=section).open() as house:
        await slack.install(team, admin, f"http://127.0.0.1:{free_port}/slack/install")
        before = team.installation.token
        installations = house.platform._clients._installations
        soon = replace(installations.find(team.id, None), expires_at=time.time() + left)
        await installations.keep(soon)
        here = team.add_channel("here", admin)
        await asyncio.gather(*(admin.command(here, "/rushes", "queue") for _ in range(3)))
        await admin.command(here, "/generate", "a fox")
        await clip_below(slack, await admin.wait_for(here, card_of("a fox")))
        assert team.installation.token != before
        assert slack.calls("oauth.v2.access") == 2


async def test_people_of_another_company_need_leave(slack, two_teams):
    house, north, south = two_teams
    ann, sue = north.add_user("ann"), south.add_user("sue")
    shared = north.add_channel("shared", ann, sue, shared_with=[south])
    sue.mention_app(shared, "a fox", of=north.installation)
    await sue.wait_for(shared, lambda m: m.only_for == sue.id and "other companies" in m.words)
    assert await house.jobs() == []
    await ann.command(shared, "/generate", "a cat")
    clip = await buttons_below(slack, await ann.wait_for(shared, card_of("a cat")))
    await sue.click(clip, "Reroll")
    await sue.wait_for(shared, lambda m: m.only_for == sue.id and "other companies" in m.words)
    assert len(await house.jobs()) == 1


async def test_people_of_another_company_may_make_things_where_that_is_allowed(slack, two_teams):
    house, north, south = two_teams
    ann, sue = north.add_user("ann"), south.add_user("sue")
    ann.user.is_admin = True
    shared = north.add_channel("shared", ann, sue, shared_with=[south])
    own = north.add_channel("own", ann)
    await ann.command(own, "/generate", "a secret fox")
    await ann.command(own, "/rushes-admin", "settings set external allow")
    sue.mention_app(shared, "a cat", of=north.installation)
    card = await sue.wait_for(shared, card_of("a cat"))
    clip = await clip_below(slack, card)
    assert clip.pings == {sue.id}
    assert card.team.id == north.id
    job = (await house.jobs())[-1]
    assert (job.tenant, job.requester.id) == (f"slack:{north.id}", f"{sue.id}@{south.id}")
    sue.mention_app(shared, "/rushes queue", of=north.installation)
    await sue.wait_for(shared, lambda m: m.only_for == sue.id and "other companies" in m.words)
    assert slack.leaks([(north, "a secret fox")]) == []
