"""Jobs made over HTTP stand in one queue with those of chats, and share the GPU as those do."""

from __future__ import annotations

import asyncio
import re

import pytest

from bot.http.address import NAME
from tests.fakes.discord import LoopbackDiscord
from tests.scenario.http_client import SECONDS, SMALL, http_config, serving
from tests.scenario.test_both_chats import ended

pytestmark = pytest.mark.process

EACH = 3


@pytest.fixture
async def discord():
    async with LoopbackDiscord() as discord:
        yield discord
        assert discord.violations == []


async def test_http_and_a_chat_share_one_queue_fairly(tmp_path, discord):
    guild = discord.add_guild("studio")
    general, alice = discord.add_channel(guild, "general"), discord.add_person("alice", guild)
    config = http_config(
        tmp_path / "data",
        bot={"data_dir": tmp_path / "data", "platforms": ["http", "discord"]},
        discord={
            "token": discord.token,
            "api_base_url": discord.api_url,
            "gateway_url": discord.gateway_url,
            "cdn_hosts": [discord.cdn_host],
        },
        queue={"waiting_per_guild": 9, "waiting_per_user": 9},
    )
    async with serving(config) as house:
        await discord.bot_ready()
        tokens = {
            name: await asyncio.to_thread(house.token, guild=tenant, name=name)
            for name, tenant in {
                "colleague": f"discord:{guild.id}",
                "elsewhere": "elsewhere",
            }.items()
        }
        await house.app.core.jobs.pause()
        for number in range(EACH):
            asked = alice.slash(general, "generate", prompt=f"chat {number}", **SMALL)
            await asked.response()
        for name, token in tokens.items():
            async with house.session(token) as session:
                for number in range(EACH):
                    body = {"prompt": f"{name} {number}", "rushes": SMALL}
                    async with session.post("/v1/videos", json=body) as answer:
                        video = await answer.json()
                        assert answer.status == 200, video
                    await placed(session, video["id"])
            if name == "colleague":
                shown = str(await alice.slash(general, "rushes queue").response())
                for words in ("chat 0", "colleague 0"):
                    assert words in shown
                assert "elsewhere" not in shown
        await house.app.core.jobs.resume()
        jobs = await ended(house.app, 3 * EACH)

    order = [job.spec.prompt.split()[0] for job in sorted(jobs, key=lambda job: job.started_at)]
    assert {job.platform for job in jobs} == {NAME, "discord"}
    for turn in range(EACH):  # between guilds, then between the people of one
        assert order[2 * turn : 2 * turn + 2].count("elsewhere") == 1
    assert set(order[:4]) == {"chat", "colleague", "elsewhere"}


async def placed(session, video):
    """Wait until a job stands in the queue."""
    async with asyncio.timeout(SECONDS):
        while True:
            async with session.get(f"/v1/videos/{video}") as answer:
                if "position" in (await answer.json())["rushes"]:
                    return
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_three_platforms_show_each_guild_its_own_jobs(tmp_path, discord, slack, acme):
    guild = discord.add_guild("studio")
    lounge, alice = discord.add_channel(guild, "lounge"), discord.add_person("alice", guild)
    bob = acme.add_user("bob")
    channel = acme.add_channel("general", bob)
    config = http_config(
        tmp_path / "data",
        bot={"data_dir": tmp_path / "data", "platforms": ["http", "discord", "slack"]},
        discord={
            "token": discord.token,
            "api_base_url": discord.api_url,
            "gateway_url": discord.gateway_url,
            "cdn_hosts": [discord.cdn_host],
        },
        slack={
            "app_token": slack.app_token,
            "bot_token": acme.installation.token,
            "api_base_url": slack.api_base_url,
        },
    )
    async with serving(config) as house:
        await discord.bot_ready()
        await slack.connected()
        await house.app.core.jobs.pause()
        await alice.slash(lounge, "generate", prompt="a Discord owl", **SMALL).response()
        await bob.command(channel, "/generate", "a Slack heron --res 360p --frames 49")
        for tenant, prompt in (
            (f"discord:{guild.id}", "an HTTP owl"),
            (f"slack:{acme.id}", "an HTTP heron"),
        ):
            token = await asyncio.to_thread(house.token, guild=tenant)
            async with house.session(token) as session:
                body = {"prompt": prompt, "rushes": SMALL}
                async with session.post("/v1/videos", json=body) as answer:
                    await placed(session, (await answer.json())["id"])
        shown = {
            "owl": str(await alice.slash(lounge, "rushes queue").response()),
            "heron": str(await bob.command(channel, "/rushes", "queue")),
        }
        await house.app.core.jobs.resume()
        jobs = await ended(house.app, 4)
    assert sorted(job.platform for job in jobs) == ["discord", NAME, NAME, "slack"]
    for bird, other in (("owl", "heron"), ("heron", "owl")):
        assert len(set(re.findall(rf"an? \w+ {bird}", shown[bird]))) == 2, shown
        assert other not in shown[bird]
