"""`[discord] guild_ids`: commands in some guilds only, and what goes wrong with that."""

from __future__ import annotations

import pytest

from bot.discord import command_sync
from tests.scenario.discord_studio import eventually, installation

pytestmark = pytest.mark.process

NOWHERE = 111_111_111_111_111_111


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        yield place


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(command_sync, "LONGEST_SECONDS", 0.05)


def registered(place, guild):
    return {command["name"] for command in place.discord.registry.listed(guild and guild.id)}


async def settled(place, count: int) -> None:
    """Wait until so many sets of commands were sent and remembered."""
    await eventually(lambda: place.discord.registry.overwrites >= count)
    await eventually((place.directory / "discord-commands").exists)


async def test_commands_in_one_guild_are_taken_and_still_work_after_a_restart(place):
    other = place.discord.add_guild("other")
    section = {"guild_ids": [place.guild.id]}
    for _ in range(2):
        async with place.bot(section=section):
            await eventually((place.directory / "discord-commands").exists)
            queue = await place.alice.slash(place.general, "rushes queue").response()
            assert queue.visible_to is place.alice.user
            photo = place.alice.say(place.general, "no picture here")
            menu = place.alice.context_menu(photo, "Animate this image")
            assert "has no image" in (await menu.response()).text
    assert place.discord.registry.overwrites == 1
    assert "generate" in registered(place, place.guild)
    assert registered(place, None) == registered(place, other) == set()


async def test_one_wrong_guild_id_takes_the_commands_from_no_other_guild(place, impatient):
    gone = place.discord.add_guild("gone")
    place.discord.world.remove_bot(gone)
    wrong = [gone.id, NOWHERE]
    section = {"guild_ids": [*wrong, place.guild.id, place.guild.id]}
    async with place.bot(section=section) as app:
        assert "generate" in registered(place, place.guild)
        for guild in wrong:
            key = f"discord.commands.{guild}"
            await eventually(lambda key=key: key in app.services.health.problems)
            assert str(guild) in app.services.health.problems[key]
        assert f"discord.commands.{place.guild.id}" not in app.services.health.problems
        place.discord.world.invite_bot(gone)
        await eventually(lambda: "generate" in registered(place, gone))
        await eventually(lambda: f"discord.commands.{gone.id}" not in app.services.health.problems)
    assert place.discord.registry.overwrites == 2


@pytest.mark.slow
async def test_an_invitation_is_followed_by_commands_at_once(place, monkeypatch):
    monkeypatch.setattr(command_sync, "FIRST_SECONDS", 3600.0)
    monkeypatch.setattr(command_sync, "LONGEST_SECONDS", 3600.0)
    later = place.discord.add_guild("later")
    place.discord.world.remove_bot(later)
    async with place.bot(section={"guild_ids": [later.id, place.guild.id]}) as app:
        await eventually(lambda: f"discord.commands.{later.id}" in app.services.health.problems)
        place.discord.world.invite_bot(later)
        await eventually(lambda: "generate" in registered(place, later))
        await eventually(lambda: not app.services.health.problems)
        # Thrown out and invited again, a guild has lost its commands.
        place.discord.world.remove_bot(later)
        place.discord.registry.overwrite(later.id, [])
        place.discord.world.invite_bot(later)
        await eventually(lambda: "generate" in registered(place, later))


async def test_between_guild_ids_and_everywhere_no_command_is_there_twice(place):
    guild, registry = place.guild, place.discord.registry
    told = 0
    for section, changes in ({}, 1), ({"guild_ids": [guild.id]}, 2), ({}, 2):
        async with place.bot(section=section):
            told += changes
            await settled(place, told)
            await eventually(lambda: registry.offered(guild, "generate") == 1)
            card = await place.alice.slash(place.general, "rushes queue").response()
            assert card.visible_to is place.alice.user
    assert registered(place, guild) == set()


async def test_a_guild_that_was_left_does_not_keep_the_rest_from_being_emptied(place, impatient):
    other = place.discord.add_guild("other")
    async with place.bot(section={"guild_ids": [place.guild.id, other.id]}):
        await settled(place, 2)
        await eventually(lambda: "generate" in registered(place, other))
    place.discord.world.remove_bot(other)
    async with place.bot() as app:
        await eventually(lambda: registered(place, place.guild) == set())
        await eventually(lambda: "generate" in registered(place, None))
        assert app.services.health.problems == {}
