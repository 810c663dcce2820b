"""Discord and Slack in one process, on one GPU."""

from __future__ import annotations

import contextlib

import pytest

from bot.app import open_app
from bot.config_sources import load_config
from tests.fakes.discord import LoopbackDiscord

SECONDS = 40.0


@contextlib.asynccontextmanager
async def bot(directory, discord, slack, bot_token):
    config = load_config(
        None,
        overrides={
            "bot": {"data_dir": directory, "platforms": ["slack", "discord"]},
            "discord": {
                "token": discord.token,
                "api_base_url": discord.api_url,
                "gateway_url": discord.gateway_url,
                "cdn_hosts": [discord.cdn_host],
            },
            "slack": {
                "app_token": slack.app_token,
                "bot_token": bot_token,
                "api_base_url": slack.api_base_url,
            },
            "models": {
                "installed": ["testcard"],
                "testcard": {"step_seconds": 0.02, "steps": 4},
            },
        },
    )
    async with open_app(config) as app:
        await discord.bot_ready()
        yield app


@pytest.fixture
async def discord():
    async with LoopbackDiscord() as discord:
        yield discord
        assert discord.violations == []


async def test_two_chats_take_turns_on_one_gpu(tmp_path, discord, slack, acme):
    guild = discord.add_guild("studio")
    general, alice = discord.add_channel(guild, "general"), discord.add_person("alice", guild)
    bob = acme.add_user("bob")
    channel = acme.add_channel("general", bob)

    async with bot(tmp_path / "data", discord, slack, acme.installation.token) as app:
        await slack.connected()
        await app.core.jobs.pause()
        for number in range(3):
            interaction = alice.slash(general, "generate", prompt=f"discord {number}")
            await interaction.response()
        for number in range(3):
            await bob.command(channel, "/generate", f"slack {number}")
        await app.core.jobs.resume()
        jobs = await ended(app, 6)

    by_start = sorted(jobs, key=lambda job: job.started_at)
    chats = [job.platform for job in by_start]
    assert sorted(chats[:2]) == sorted(chats[2:4]) == sorted(chats[4:]) == ["discord", "slack"]


async def test_a_bad_slack_token_does_not_stop_discord(tmp_path, discord, slack, acme):
    guild = discord.add_guild("studio")
    general, alice = discord.add_channel(guild, "general"), discord.add_person("alice", guild)
    async with bot(tmp_path / "data", discord, slack, "xoxb-not-a-token"):
        card = await alice.slash(general, "generate", prompt="a fox").response()
        await discord.until(
            lambda: card.thread and discord.witness.in_channel(card.thread), SECONDS, "the clip"
        )


async def ended(app, count):
    """Wait until so many jobs were delivered, and return them."""
    with app.core.events.subscribe() as events:
        while True:
            jobs = await app.core.store.finished(count)
            if len(jobs) == count:
                return jobs
            await events.get()
