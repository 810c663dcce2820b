from __future__ import annotations

import pytest

from bot.discord.inbound import answers
from bot.slack.inbound import mentions, modals, slash_commands
from tests.fakes import ports
from tests.fakes.slack import LoopbackSlack
from tests.scenario.slack_house import House, declared


@pytest.fixture
def free_port():
    return ports.free_port()


@pytest.fixture
async def slack():
    async with LoopbackSlack(application=declared(), ping_seconds=0.05) as slack:
        yield slack
        assert slack.violations == []


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
def patient(monkeypatch):
    """Let a busy machine answer before it acknowledges, as an idle one does."""
    for module in (slash_commands, mentions, modals):
        monkeypatch.setattr(module, "ACK_SECONDS", 2.5)


@pytest.fixture(autouse=True)
def _prompt_on_discord(monkeypatch):
    """The same there: "thinking…" is what tests of it want, and none else."""
    monkeypatch.setattr(answers, "PROMPT_SECONDS", 60.0)


@pytest.fixture
def make_house(slack, acme, tmp_path, patient):
    def make(**options) -> House:
        section = {"bot_token": acme.installation.token, **options.pop("section", {})}
        return House(slack=slack, directory=tmp_path / "data", section=section, **options)

    return make


@pytest.fixture
async def house(make_house):
    async with make_house().open() as house:
        yield house
