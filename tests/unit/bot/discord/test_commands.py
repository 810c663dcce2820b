from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from structlog.testing import capture_logs

from bot.discord import command_sync
from bot.discord.access import USED
from bot.discord.inbound import autocomplete
from bot.discord.inbound.answers import Answers
from bot.discord.inbound.command_gateway import CommandGateway
from bot.discord.inbound.commands import CatalogTranslator, make_tree
from bot.discord.invite import address
from commands.catalog import built_in_commands
from commands.context import Command, CommandSet
from commands.installation import Installation
from commands.option_set import OptionSet
from inference.domain.capabilities import Lengths, ModelOption, OptionKind
from inference.engines.geometry import SIZES
from tests.fakes.commands import COMMANDS
from tests.fakes.discord.command_rules import check_commands
from tests.fakes.models import MODELS

NAME = re.compile(r"[-_a-z0-9]{1,32}")
KOREAN_NAME = re.compile(r"[-_a-z0-9가-힣]{1,32}")


async def told(*, assistant: bool, models=(), commands=COMMANDS) -> list[dict[str, Any]]:
    installation = Installation(models=models, default_model="", assistant=assistant)
    async with discord.Client(intents=discord.Intents.none()) as client:
        gateway = CommandGateway(
            SimpleNamespace(installation=installation), client, Answers(), None, ()
        )
        tree = make_tree(client, gateway, commands)
        await tree.set_translator(CatalogTranslator())
        return await command_sync.payload(tree)


@pytest.fixture
async def commands():
    return await told(assistant=True)


def named(commands, name):
    return next(command for command in commands if command["name"] == name)


def options_of(command):
    for option in command.get("options", []):
        yield option
        yield from options_of(option)


def length(command) -> int:
    """Return what counts towards Discord's limit: of each text, the longest language."""
    own = longest(command, "name") + longest(command, "description")
    choices = command.get("choices", [])
    texts = sum(longest(choice, "name") + len(str(choice["value"])) for choice in choices)
    return own + texts + sum(map(length, command.get("options", [])))


def longest(described, key: str) -> int:
    translate_errors = described.get(f"{key}_localizations") or {}
    return max(map(len, [described.get(key, ""), *translate_errors.values()]))


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


async def test_names_in_korean_are_ones_that_discord_takes(commands):
    for command in commands:
        for one in [command, *options_of(command)]:
            korean = one["name_localizations"]["ko"]
            if one["type"] != discord.AppCommandType.message.value or one is not command:
                assert KOREAN_NAME.fullmatch(korean)
            assert len(one.get("description_localizations", {}).get("ko", "")) <= 100
            names = [inner["name_localizations"]["ko"] for inner in one.get("options", [])]
            assert len(names) == len(set(names)), one["name"]
            for choice in one.get("choices", []):
                assert 1 <= len(choice.get("name_localizations", {}).get("ko", "-")) <= 100
    top = [command["name_localizations"]["ko"] for command in commands]
    assert len(top) == len(set(top))


async def test_english_names_are_those_of_the_schema_and_come_back(commands):
    by_name = {command["name"]: command for command in commands}
    for command in COMMANDS:
        made = by_name[command.parent or command.name]
        if command.parent is not None:
            made = named(made["options"], command.name)
        offered = {option.name for option in command.options} - set(command.fixed)
        assert {option["name"] for option in made.get("options", [])} == offered


async def test_a_korean_sees_words_for_the_values_and_the_english_ones_come_back(commands):
    camera = named(named(commands, "generate")["options"], "camera")
    [left] = [choice for choice in camera["choices"] if choice["value"] == "pan left"]
    assert left["name"] == "pan left"
    assert left["name_localizations"]["ko"] == "왼쪽으로 이동"
    frames = named(named(commands, "generate")["options"], "frames")
    assert frames["choices"][1]["name_localizations"]["ko"] == "49프레임"


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


async def test_what_needs_an_assistant_is_offered_only_where_there_is_one(commands):
    alone = await told(assistant=False)
    with_help, without = (
        {option["name"] for option in named(some, "generate")["options"]}
        for some in (commands, alone)
    )
    assert with_help - without == {"refine"}


async def test_every_command_of_the_catalog_is_there_and_both_menus(commands):
    typed = {
        f"/{command['name']} {inner['name']}" if inner else f"/{command['name']}"
        for command in commands
        for inner in [option for option in command.get("options", []) if option["type"] == 1]
        or [None]
    }
    assert {command.typed for command in COMMANDS} <= typed
    assert {"/Animate this image", "/Use these settings"} <= typed


async def test_the_fingerprint_changes_with_what_is_told(commands):
    same = command_sync.fingerprint(commands)
    assert command_sync.fingerprint([*commands]) == same
    assert command_sync.fingerprint(commands[1:]) != same
    assert command_sync.fingerprint(command_sync.in_guild(commands)) != same


async def test_commands_of_a_guild_say_nothing_of_contexts_and_installs(commands):
    assert check_commands(commands, in_guild=False) == []
    assert check_commands(commands, in_guild=True) != []
    assert check_commands(command_sync.in_guild(commands), in_guild=True) == []


def test_the_invitation_asks_for_what_is_used_and_no_more():
    link = address(4711)
    assert "client_id=4711" in link
    assert "scope=bot+applications.commands" in link
    assert f"permissions={USED.value}" in link
    assert not USED.administrator
    assert {name for name, allowed in USED if allowed} == {
        "attach_files",
        "connect",
        "create_public_threads",
        "embed_links",
        "read_message_history",
        "read_messages",
        "send_messages",
        "send_messages_in_threads",
    }


async def test_a_plugins_command_has_its_own_name_and_words():
    async def dance(call):
        raise AssertionError

    texts = {"en": "Dances.", "ko": "춤춰요."}
    with capture_logs() as logs:
        [group, *_] = await told(
            assistant=True,
            commands=[Command(parent="party", name="dance", handler=dance, texts=texts)],
        )
    [made] = group["options"]
    assert (made["name"], made["description"]) == ("dance", "Dances.")
    assert made["description_localizations"]["ko"] == "춤춰요."
    assert (group["name"], group["description"]) == ("party", "party")
    assert logs == []


def a_model(*own, name="many", **changes):
    card = replace(MODELS.capabilities("testcard"), name=name, negative=True, **changes)
    return replace(card, options=(*card.options, *own))


def an_option(number, *, choices=("on", "off"), help="What it does"):  # noqa: A002
    return ModelOption(
        name=f"own-{number}",
        kind=OptionKind.CHOICE,
        choices=choices,
        default=choices[0],
        advanced=True,
        texts={"en": help},
    )


@pytest.mark.parametrize(
    "own",
    [
        [an_option(number) for number in range(40)],
        [
            an_option(number, choices=tuple(f"{'x' * 80} {n}" for n in range(25)), help="y" * 150)
            for number in range(40)
        ],
        [an_option(n, choices=tuple(f"{'x' * 90} {m}" for m in range(25))) for n in range(2)],
    ],
    ids=["many", "many and long", "two that are long"],
)
async def test_of_too_many_options_the_least_used_are_left_to_more(own):
    models = (a_model(*own), a_model(name="plain"))
    options = OptionSet(models)
    made = await told(
        assistant=True, models=models, commands=CommandSet(built_in_commands(options))
    )
    assert check_commands(made, in_guild=False) == []
    for name in ("generate", "image", "animate", "random"):
        offered = [option["name"] for option in named(made, name)["options"]]
        assert offered[-1] == "more"
        assert {"resolution", "aspect", "seed", "model"} <= set(offered)


async def test_values_that_depend_on_the_model_are_proposed_instead_of_listed():
    fours = Lengths.rule(offset=1, step=4, shortest=5, longest=241)
    small = {key: size for key, size in SIZES.items() if key[0] == "360p"}
    models = (a_model(lengths=fours), a_model(name="plain", sizes=small))
    options = OptionSet(models)
    made = await told(
        assistant=True, models=models, commands=CommandSet(built_in_commands(options))
    )
    shown = {option["name"]: option for option in named(made, "generate")["options"]}
    assert shown["frames"]["autocomplete"]
    assert shown["resolution"]["autocomplete"]
    assert shown["aspect"]["choices"][0]["value"] == "16:9"

    installation = Installation(models=models, default_model="many")
    frames, resolution = options.shown["frames"], options.shown["resolution"]
    assert await proposed(frames, "", installation, None) == pytest.approx(
        [1, *range(5, 242, 10)][:25], abs=8
    )
    assert await proposed(frames, "100", installation, "many") == [101, 97]
    assert await proposed(frames, "9", installation, "plain") == [49, 97]
    assert await proposed(resolution, "", installation, "plain") == ["360p"]
    assert len(await proposed(resolution, "", installation, "nobody")) > 1


async def proposed(option, typed, installation, model):
    call = SimpleNamespace(
        installation=installation, locale="en", options={} if model is None else {"model": model}
    )
    source = autocomplete.values_of(option)
    return [choice.value for choice in await autocomplete.suggest(option, source, typed, call)]


@pytest.mark.parametrize("count", [5, 60])
async def test_options_of_plugins_beyond_what_discord_takes_spoil_no_command(count):
    words = tuple(f"{'word ' * 30}{number}" for number in range(count))
    own = (
        ModelOption(name="words", kind=OptionKind.CHOICE, choices=words, default=words[0]),
        ModelOption(name="empty", kind=OptionKind.CHOICE, choices=("", "a", "a"), default=""),
        ModelOption(name="huge", kind=OptionKind.INTEGER, highest=10**30, default=1),
        ModelOption(name="text", kind=OptionKind.TEXT, max_length=10**6, default=""),
        ModelOption(name="told", kind=OptionKind.FLAG, default=False, texts={"en": "x" * 4000}),
    )
    models = (replace(MODELS.capabilities("testcard"), options=own),)
    commands = CommandSet(built_in_commands(OptionSet(models)))
    made = await told(assistant=True, models=models, commands=commands)
    assert check_commands(made, in_guild=False) == []
