"""Failing states of the doctor: Discord."""

from __future__ import annotations

import pytest

from bot.config.sections import Config
from bot.doctor import discord, examination
from bot.doctor.findings import Level
from tests.fakes.discord import LoopbackDiscord
from tests.fakes.discord.permissions import USUAL, Permission
from tests.scenario.doctor.findings import WRONG, config, fine, needing, only


@pytest.fixture
async def loopback():
    async with LoopbackDiscord() as discord:
        yield discord


def on(tmp_path, loopback, **section) -> Config:
    known = {"token": loopback.token, "api_base_url": loopback.api_url}
    return config(tmp_path, bot={"platforms": ["discord"]}, discord=known | section)


async def test_a_discord_that_is_well_but_for_its_commands(tmp_path, loopback):
    loopback.add_guild("studio")
    found = await discord.examine(on(tmp_path, loopback), "en")
    only(found, Level.WARN, "doctor.discord.no_commands")
    loopback.registry.overwrite(None, [{"name": "generate", "description": "x", "type": 1}])
    fine(await discord.examine(on(tmp_path, loopback), "en"))


async def test_a_token_that_discord_does_not_take(tmp_path, loopback):
    section = on(tmp_path, loopback, token=WRONG)
    found = await discord.examine(section, "en")
    only(found, Level.FAIL, "error.discord.token_rejected")


async def test_a_bot_that_is_in_no_server(tmp_path, loopback):
    loopback.registry.overwrite(None, [{"name": "generate", "description": "x", "type": 1}])
    found = await discord.examine(on(tmp_path, loopback), "en")
    only(found, Level.WARN, "doctor.discord.no_guilds")


async def test_a_server_that_is_named_and_not_joined(tmp_path, loopback):
    guild = loopback.add_guild("studio")
    loopback.registry.overwrite(guild.id, [{"name": "generate", "description": "x", "type": 1}])
    section = on(tmp_path, loopback, guild_ids=[guild.id, 42])
    only(await discord.examine(section, "en"), Level.FAIL, "error.discord.guild_closed")


async def test_a_server_that_does_not_let_it_attach_files(tmp_path, loopback):
    loopback.registry.overwrite(None, [{"name": "generate", "description": "x", "type": 1}])
    guild = loopback.add_guild("studio", permissions=0)
    guild.everyone.permissions = int(USUAL & ~Permission.ATTACH_FILES)
    found = await discord.examine(on(tmp_path, loopback), "en")
    lacking = only(found, Level.WARN, "doctor.discord.permissions_missing")
    assert "studio" in lacking.text("en")
    assert "Attach Files" in lacking.text("en")


async def test_a_discord_that_answers_with_errors(tmp_path, loopback):
    loopback.trouble("GET /users/@me/guilds", status=403, code=50001)
    found = await discord.examine(on(tmp_path, loopback), "en")
    only(found, Level.FAIL, "doctor.discord.failed")


async def test_a_discord_that_is_away(tmp_path, free_port):
    section = {"token": "x", "api_base_url": f"http://127.0.0.1:{free_port}/api/v10"}
    away = config(tmp_path, bot={"platforms": ["discord"]}, discord=section)
    only(await discord.examine(away, "en"), Level.FAIL, "doctor.host.unreachable")


@pytest.mark.process
async def test_a_discord_that_is_away_is_one_plain_line(tmp_path, free_port):
    url = f"http://127.0.0.1:{free_port}"
    found = await examination.examine(needing(tmp_path, url), "en")
    [away] = [one for one in found if one.code == "doctor.host.unreachable"]
    assert away.check == "discord.token"
    assert "Discord cannot be reached (Connection refused)" in away.text("en")
