"""What people of a Slack workspace see of what was asked for in its private places."""

from __future__ import annotations

import pytest

from commands.policy.operator_rules import DirectMessages, OperatorRules
from inference.domain.job import Audience
from tests.fakes.clock import ManualClock
from tests.fakes.slack.model import walk
from tests.fakes.slack.records import Refused
from tests.scenario.slack_house import (
    buttons_below,
    card_of,
    clip_below,
    listening,
    written,
)

HIDDEN = "a unicorn in secret"


def attack(what):
    return pytest.mark.attack("visibility", f"Slack: {what}")


@pytest.fixture
def bob(acme):
    return acme.add_user("bob")


@pytest.fixture
def hall(acme, alice):
    """A public channel without Bob."""
    return acme.add_channel("hall", alice)


@pytest.fixture
def lobby(acme, alice, bob):
    return acme.add_channel("lobby", alice, bob)


@pytest.fixture
def vault(acme, alice):
    return acme.add_channel("vault", alice, kind="private")


async def finished(house) -> str:
    await written(house, "SELECT 1 FROM jobs WHERE state = 'done'")
    [job] = await house.jobs()
    return job.id


async def asked(person, channel, text) -> str:
    return str((await person.command(channel, "/rushes", text)).payload)


@attack("list what was asked for in direct messages, and have it shown")
async def test_a_job_of_direct_messages_is_nobody_elses(house, alice, bob, lobby):
    await house.core.jobs.pause()
    alice.say(alice.dm, HIDDEN)
    await alice.wait_for(alice.dm, card_of(HIDDEN))
    [job] = await house.jobs()
    assert job.audience == Audience(channel=alice.dm.id, private=True)
    for person in (bob, alice):
        listed = await asked(person, lobby, "queue")
        assert ("unicorn" in listed) is (person is alice)
        assert "private job" in listed or person is alice
    for text in (f"show {job.id}", f"status {job.id}", f"cancel {job.id}", "history unicorn"):
        answer = await asked(bob, lobby, text)
        assert "unicorn" not in answer
        assert "alice" not in answer
    await bob.open_home()
    home = await bob.wait_for_home()
    assert "unicorn" not in home.words
    assert "private job" in home.words


@attack("have the clip of a private channel brought, as its workspace's admin")
async def test_a_private_channel_is_for_its_people_alone(house, alice, bob, lobby, vault):
    bob.user.is_admin = True
    await alice.command(vault, "/generate", HIDDEN)
    await clip_below(house.slack, await alice.wait_for(vault, card_of(HIDDEN)))
    job = await finished(house)
    for text in (f"show {job}", f"status {job}", "queue", "history unicorn"):
        assert "unicorn" not in await asked(bob, lobby, text)
    assert "no job" in await asked(bob, lobby, f"show {job}")
    assert "unicorn" not in str((await bob.command(lobby, "/rushes-admin", "settings log")).payload)
    vault.members.add(bob.id)
    assert "unicorn" in await asked(bob, vault, f"status {job}")


@attack("press a forged button of a private job in another channel")
async def test_buttons_carry_no_job_out_of_its_place(house, alice, bob, lobby, vault):
    await alice.command(vault, "/generate", HIDDEN)
    await clip_below(house.slack, await alice.wait_for(vault, card_of(HIDDEN)))
    job = await finished(house)
    await alice.command(lobby, "/generate", "a gnu for all")
    shown = await buttons_below(house.slack, await alice.wait_for(lobby, card_of("a gnu for all")))
    [gnu] = [other.id for other in await house.jobs() if other.id != job]
    for verb in ("info", "reroll", "edit", "delete"):
        buttons = [found for found in shown.buttons if found["action_id"] == f"v1:{verb}:{gnu}"]
        for button in buttons:
            button["action_id"] = f"v1:{verb}:{job}"
        before = len(lobby.messages)
        if verb == "delete":
            [menu] = [each for each in walk(shown.blocks) if each.get("type") == "overflow"]
            menu["options"][0]["value"] = f"v1:delete:{job}"
            await bob.click(shown, f"v1:more:{gnu}", value=f"v1:delete:{job}")
        else:
            await bob.click(shown, f"v1:{verb}:{job}")
        said = await bob.wait_for(
            lobby, lambda m, before=before: m in lobby.messages[before:] and m.only_for == bob.id
        )
        assert "no job" in said.words
    assert len(await house.jobs()) == 2


async def test_a_public_job_is_the_workspaces(house, alice, bob, lobby, hall):
    await house.core.jobs.pause()
    await alice.command(hall, "/generate", "a fox for all")
    await alice.wait_for(hall, card_of("a fox for all"))
    assert "a fox for all" in await asked(bob, lobby, "queue")


@attack("list a mention's job from a private channel's thread")
async def test_a_mention_in_a_private_thread_is_private(house, alice, bob, lobby, vault):
    await house.core.jobs.pause()
    root = alice.say(vault, "look")
    alice.mention_app(vault, HIDDEN, thread=root)
    await alice.wait_for(vault, card_of(HIDDEN))
    assert "unicorn" not in await asked(bob, lobby, "queue")


@attack("ask after a public channel was made private")
async def test_a_channel_that_turned_private_hides_its_jobs(make_house, alice, bob, lobby, hall):
    clock = ManualClock()
    async with make_house(clock=clock).open() as house:
        await house.core.jobs.pause()
        await alice.command(hall, "/generate", "a fox in the hall")
        await alice.wait_for(hall, card_of("a fox in the hall"))
        assert "a fox in the hall" in await asked(bob, lobby, "queue")
        hall.kind = "private"
        clock.advance(61)
        assert "a fox in the hall" not in await asked(bob, lobby, "queue")
        assert "a fox in the hall" in await asked(alice, lobby, "queue")


@attack("look around as a guest of the workspace")
async def test_a_guest_sees_what_is_in_their_channel(house, alice, bob, lobby, hall):
    await house.core.jobs.pause()
    bob.user.is_guest = True
    await alice.command(hall, "/generate", "a fox elsewhere")
    await alice.wait_for(hall, card_of("a fox elsewhere"))
    await alice.command(lobby, "/generate", "a fox right here")
    await alice.wait_for(lobby, card_of("a fox right here"))
    listed = await asked(bob, lobby, "queue")
    assert "a fox right here" in listed
    assert "a fox elsewhere" not in listed


@attack("make something when Slack does not say what a channel is")
async def test_what_slack_does_not_say_is_private(house, alice, hall):
    await house.core.jobs.pause()
    house.slack.trouble(r"conversations\.info", status=500, times=20)
    alice.mention_app(hall, HIDDEN)
    await alice.wait_for(hall, card_of(HIDDEN))
    [job] = await house.jobs()
    assert job.audience == Audience(channel=hall.id, private=True)


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")  # slack_sdk's, of aiohttp
@pytest.mark.attack("tenants", "Slack: install the app in a workspace that is not allowed")
async def test_an_unlisted_workspace_cannot_install_the_app(slack, make_house, acme, free_port):
    stranger = slack.add_team("stranger")
    section = {
        "port": free_port,
        "client_id": slack.client_id,
        "client_secret": slack.client_secret,
    }
    rules = OperatorRules(allowed_tenants=frozenset({f"slack:{acme.id}"}))
    async with make_house(section=section, rules=rules).open() as house:
        await listening(free_port)
        address = f"http://127.0.0.1:{free_port}/slack/install"
        with pytest.raises(Refused, match="is not enabled"):
            await slack.install(stranger, stranger.add_user("mallory"), address)
        rows = await house.core.database.read("SELECT workspace FROM slack_installations")
        assert rows == []
        assert slack.calls("auth.revoke", stranger) == 1


@pytest.mark.attack("tenants", "Slack: make something in closed direct messages")
async def test_closed_direct_messages_take_nothing(make_house, alice, hall):
    rules = OperatorRules(direct_messages=DirectMessages.CLOSED)
    async with make_house(rules=rules).open() as house:
        alice.say(alice.dm, HIDDEN)
        await alice.wait_for(alice.dm, lambda m: "in direct messages" in m.words)
        await alice.command(hall, "/generate", "a fox")
        await alice.wait_for(hall, card_of("a fox"))
        assert len(await house.jobs()) == 1
