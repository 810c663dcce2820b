"""All ways into the bot from Slack, as people use them."""

from __future__ import annotations

import pytest

from tests.fakes.slack import LoopbackSlack
from tests.scenario.slack_house import House, declared


@pytest.fixture
async def slack():
    async with LoopbackSlack(application=declared()) as slack:
        yield slack


@pytest.fixture
def acme(slack):
    team = slack.add_team("acme")
    team.install()
    return team


@pytest.fixture
def alice(acme):
    return acme.add_user("alice")


@pytest.fixture
def general(acme, alice):
    return acme.add_channel("general", alice)


@pytest.fixture
async def house(slack, acme, tmp_path):
    section = {"bot_token": acme.installation.token}
    async with House(slack=slack, directory=tmp_path / "data", section=section).open() as house:
        yield house
    assert slack.violations == []


async def clip_below(slack, card):
    """Wait for the clip in the thread of a card."""
    return await slack.until(lambda: next((m for m in card.channel.thread(card) if m.files), None))


async def test_a_slash_command_brings_a_card_and_the_clip_below_it(slack, house, alice, general):
    reply = await alice.command(general, "/generate", "a red fox &amp; snow --ar 9:16")
    assert reply.acknowledged
    card = await alice.wait_for(general, lambda m: "a red fox & snow" in m.words)
    clip = await clip_below(slack, card)
    assert clip.pings == [alice.id] or alice.id in clip.pings
    [job] = await house.jobs()
    assert job.spec.aspect == "9:16"
    assert job.tenant == f"slack:{alice.user.team.id}"
