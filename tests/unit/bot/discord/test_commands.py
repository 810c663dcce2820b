from __future__ import annotations

import re

import discord
import pytest

from bot.discord import sync
from bot.discord.access import USED
from bot.discord.commands import CatalogTranslator, make_tree
from bot.discord.invite import address
from commands.catalog import COMMANDS

NAME = re.compile(r"[-_a-z0-9]{1,32}")


@pytest.fixture
async def commands():
    async with discord.Client(intents=discord.Intents.none()) as client:
        tree = make_tree(client, None, COMMANDS)
        await tree.set_translator(CatalogTranslator())
        yield await sync.payload(tree)


def named(commands, name):
    return next(command for command in commands if command["name"] == name)


def options_of(command):
    for option in command.get("options", []):
        yield option
        yield from options_of(option)


def length(command) -> int:
    own = len(command["name"]) + len(command.get("description", ""))
    texts = [choice["name"] + str(choice["value"]) for choice in command.get("choices", [])]
    return own + sum(map(len, texts)) + sum(map(length, command.get("options", [])))


async def test_commands_keep_discords_limits(commands):
    for command in commands:
        assert length(command) <= 8000
        for option in [command, *options_of(command)]:
            if option["type"] == discord.AppCommandType.message.value and option is command:
                continue
            assert NAME.fullmatch(option["name"])
            assert 1 <= len(option["description"]) <= 100
            assert len(option.get("options", [])) <= 25
            assert len(option.get("choices", [])) <= 25
            needed = [inner.get("required", False) for inner in option.get("options", [])]
            assert needed == sorted(needed, reverse=True)


async def test_commands_are_for_guilds_and_direct_messages_and_never_for_accounts(commands):
    assert all(command["contexts"] == [0, 1] for command in commands)
    assert all(command["integration_types"] == [0] for command in commands)


async def test_what_admins_use_is_shown_to_admins(commands):
    manage = discord.Permissions(manage_guild=True).value
    assert named(commands, "rushes-admin")["default_member_permissions"] == manage
    assert named(commands, "rushes")["default_member_permissions"] is None


async def test_options_of_the_schema_become_what_discord_has_for_them(commands):
    options = {option["name"]: option for option in named(commands, "generate")["options"]}
    kinds = discord.AppCommandOptionType
    assert options["prompt"]["required"]
    assert options["image"]["type"] == kinds.attachment.value
    assert [choice["value"] for choice in options["frames"]["choices"]][:2] == [1, 49]
    assert (options["steps"]["min_value"], options["steps"]["max_value"]) == (1, 200)
    assert options["refine"]["type"] == kinds.boolean.value
    assert options["model"]["autocomplete"]
    assert "frames" not in [option["name"] for option in named(commands, "image")["options"]]


async def test_every_command_of_the_catalog_is_there_and_both_menus(commands):
    typed = {
        f"/{command['name']} {inner['name']}" if inner else f"/{command['name']}"
        for command in commands
        for inner in [option for option in command.get("options", []) if option["type"] == 1]
        or [None]
    }
    assert {command.typed for command in COMMANDS} <= typed
    assert {"/Animate this image", "/Use these settings"} <= typed


async def test_the_fingerprint_changes_with_what_is_told_and_where(commands):
    same = sync.fingerprint(commands, 1, [2, 3])
    assert sync.fingerprint(commands, 1, [3, 2]) == same
    assert sync.fingerprint(commands[1:], 1, [2, 3]) != same
    assert sync.fingerprint(commands, 1, []) != same
    assert sync.fingerprint(commands, 9, [2, 3]) != same


def test_the_invitation_asks_for_what_is_used_and_no_more():
    link = address(4711)
    assert "client_id=4711" in link
    assert "scope=bot+applications.commands" in link
    assert f"permissions={USED.value}" in link
    assert not USED.administrator
    assert {name for name, allowed in USED if allowed} == {
        "attach_files",
        "create_public_threads",
        "embed_links",
        "read_message_history",
        "read_messages",
        "send_messages",
        "send_messages_in_threads",
    }
