"""Discord and Slack in one process, on one GPU."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re

import aiohttp
import pytest

from bot.app import open_app
from bot.delivery.concurrency import DeliveryPool, tenant_limit
from bot.discord.inbound import images
from inference.jobs.input_files import DOWNLOADS_OF_TENANT
from tests.fakes.both_chats import both_chats
from tests.fakes.discord import LoopbackDiscord
from tests.scenario.test_discord import picture

pytestmark = pytest.mark.process

SECONDS = 180.0

ID = r"\b[0-9A-Z]{10}\b"

SHORT = "--res 360p --frames 49"


MANY = 20
"""Jobs of one chat: more than it may have under way at once."""


@contextlib.asynccontextmanager
async def bot(directory, discord, slack, bot_token):
    sections = {
        "queue": {"waiting_per_guild": 2 * MANY, "waiting_per_user": 2 * MANY},
        "models": {"installed": ["testcard"], "testcard": {"step_seconds": 0.02, "steps": 4}},
    }
    config = both_chats(directory, discord, slack, bot_token, **sections)
    async with open_app(config) as app:
        await discord.bot_ready()
        yield app


@pytest.fixture
async def discord():
    async with LoopbackDiscord() as discord:
        yield discord
        assert discord.violations == []


@pytest.mark.slow
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
        async with asyncio.timeout(SECONDS):  # they are accepted, and prepared after that
            while len(app.core.jobs.list_queued()) < 6:  # noqa: ASYNC110 - the queue tells nobody
                await asyncio.sleep(0.01)
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


def slack_clips(channel):
    return [reply for card in channel.messages for reply in channel.thread(card.ts) if reply.files]


@pytest.mark.slow
async def test_uploads_that_hang_on_discord_hold_up_neither_its_cards_nor_slack(
    tmp_path, discord, slack, acme
):
    guild = discord.add_guild("studio")
    general, alice = discord.add_channel(guild, "general"), discord.add_person("alice", guild)
    bob = acme.add_user("bob")
    channel = acme.add_channel("general", bob)

    async with bot(tmp_path / "data", discord, slack, acme.installation.token) as app:
        await slack.connected()
        discord.trouble(
            r"POST /channels/\d+/messages", times=math.inf, larger_than=9000, slow_seconds=3600
        )
        for number in range(MANY):
            await alice.slash(general, "generate", prompt=f"fox {number} {SHORT}").response()
        most = tenant_limit(DeliveryPool.UPLOADS)
        await discord.until(lambda: hanging(discord) >= most, SECONDS, "uploads")

        await bob.command(channel, "/generate", f"a fox {SHORT}")
        await slack.until(lambda: slack_clips(channel), SECONDS)
        await app.core.jobs.pause()
        card = await alice.slash(general, "generate", prompt=f"an owl {SHORT}").response()
        await alice.slash(general, "rushes cancel", job=re.findall(ID, card.text)[-1]).response()
        await discord.until(lambda: "Cancelled" in card.text, SECONDS, "a card")

        assert hanging(discord) == most
        async with asyncio.timeout(SECONDS):  # Slack shows the clip before it is written down
            while not await app.core.store.list_finished(2 * MANY):  # noqa: ASYNC110 - a row tells nobody
                await asyncio.sleep(0.01)
        assert len(await app.core.store.list_finished(2 * MANY)) == 1


def hanging(discord):
    return sum(seen.status is None and seen.trouble is not None for seen in discord.api.requests)


@pytest.mark.slow
async def test_pictures_that_discord_does_not_send_hold_up_neither_words_nor_slack(
    tmp_path, discord, slack, acme, monkeypatch
):
    monkeypatch.setattr(
        images, "_TIMEOUT", aiohttp.ClientTimeout()
    )  # nobody gives up and asks anew
    guild = discord.add_guild("studio")
    general, alice = discord.add_channel(guild, "general"), discord.add_person("alice", guild)
    bob = acme.add_user("bob")
    channel = acme.add_channel("general", bob)
    discord.cdn.gate = asyncio.Event()

    async with bot(tmp_path / "data", discord, slack, acme.installation.token):
        await slack.connected()
        for _ in range(DOWNLOADS_OF_TENANT + 2):
            asked = alice.slash(general, "animate", prompt=f"a fox {SHORT}", image=picture())
            await asked.response()
        held = DOWNLOADS_OF_TENANT
        await discord.until(lambda: discord.cdn.held == held, SECONDS, "the downloads")

        card = await alice.slash(general, "generate", prompt=f"an owl {SHORT}").response()
        await bob.command(channel, "/generate", f"an owl {SHORT}")

        await slack.until(lambda: slack_clips(channel), SECONDS)
        await discord.until(
            lambda: card.thread and discord.witness.in_channel(card.thread), SECONDS, "the clip"
        )
        assert discord.cdn.held == held
        discord.cdn.gate.set()


async def ended(app, count):
    """Wait until so many jobs were delivered, and return them."""
    with app.core.events.subscribe() as events:
        while True:
            jobs = await app.core.store.list_finished(count)
            if len(jobs) == count:
                return jobs
            await events.get()
