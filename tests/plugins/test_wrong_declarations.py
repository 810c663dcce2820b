"""Plugins that declare what cannot be: each is named with its reason and left out, others go on."""

from __future__ import annotations

import pytest

from bot.app import open_app
from commands.run import execute
from commands.text.card import plain
from tests.fakes import packages
from tests.plugins.test_survival import COMMANDS, call_of, problems

pytestmark = [pytest.mark.process, pytest.mark.slow]

DESCRIPTOR = """
    from pydantic import BaseModel, model_validator
    from inference.plugins import Plugin

    class Falls(BaseModel):
        @model_validator(mode="after")
        def check(self):
            raise RuntimeError("no luck")

    class Exits(BaseModel):
        @model_validator(mode="after")
        def check(self):
            raise SystemExit(3)

    class Needs(BaseModel):
        key: str
"""

OPTION = 'ModelOption(name="tint", kind=OptionKind.INTEGER, default=0, lowest=0, highest=9)'

EFFECT = """
    from inference.domain.capabilities import ModelOption, OptionKind
    from inference.domain.spec import Mode
    from inference.effects.base import EffectEntry

    def make(context):
        return None

    OPTION = {option}
    TINT = EffectEntry(name="tint", **{{"options": (OPTION,), "make": make, {fields}}})
"""

COMMAND = """
    from commands.context import Command
    from commands.text.card import Card, CardKind

    async def handler(call):
        return Card(kind=CardKind.INFO, lines=(("said",),))

    MEMBERS = {{"name": "tint", "handler": handler, "texts": {{"en": "Tints."}}, {fields}}}

    def commands(options):
        return [Command(**MEMBERS)]
"""


async def left_out(config, place, *expected):
    """Check that `rushes plugins` names all that is wrong, and that a start goes on without it."""
    packages.make(place, "good", COMMANDS, commands={"dance": "dances"})
    found = problems(config)
    assert found
    assert all(key.startswith("bad ") for key in found), found
    assert all(any(words in told for words in expected) for told in found.values()), found
    async with open_app(config) as app:
        assert plain(await execute("/dance", call_of(app))) == "ada dances"
        assert "/generate" in plain(await execute("/rushes help", call_of(app)))
        assert any(key.startswith("plugin.") for key in app.services.health.problems)
        return app


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        ("Plugin(api='1')", "api"),
        ("Plugin(api=1, config=dict)", "config"),
        ("Plugin(api=1, config='Needs')", "config"),
        ("Plugin(api=1, catalog=3)", "catalog"),
        ("Plugin(api=1, catalog='no_such_package')", "no_such_package"),
        ("Plugin(api=1, tables='x')", "tables"),
        ("Plugin(api=1, config=Falls)", "RuntimeError"),
        ("Plugin(api=1, config=Exits)", "SystemExit"),
        ("Plugin", "is not a Plugin"),
    ],
)
async def test_a_descriptor_with_wrong_members_is_named(plugin, told, place, config_of):
    packages.make(
        place,
        "bad",
        f"{DESCRIPTOR}\n    PLUGIN = {plugin}\n" + COMMANDS,
        plugins={"bad": "PLUGIN"},
        commands={"fall": "falls"},
    )
    await left_out(config_of(), place, told)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("option", "fields", "told"),
    [
        (OPTION, '"options": 3', "options"),
        (OPTION, '"options": ("tint",)', "options"),
        (OPTION, '"make": None', "make"),
        (OPTION, '"order": "first"', "order"),
        (OPTION, '"seconds_per_megapixel_frame": "much"', "cost"),
        (OPTION, '"modes": "all"', "modes"),
        (OPTION.replace("default=0", "default=12"), "", "default"),
        (OPTION.replace("default=0", "default='x'"), "", "default"),
        (OPTION.replace("lowest=0", "lowest=99"), "", "tint"),
        (OPTION.replace("lowest=0", "lowest='x'"), "", "tint"),
        (OPTION.replace("OptionKind.INTEGER", "'integer!'"), "", "kind"),
        (OPTION.replace("highest=9", "highest=9, texts={'en': 3}"), "", "texts"),
        (OPTION.replace("highest=9", "highest=9, texts=3"), "", "texts"),
        (OPTION.replace("highest=9", "highest=9, modes=3"), "", "modes"),
        (
            'ModelOption(name="tint", kind=OptionKind.CHOICE, default="", choices=("", object()))',
            "",
            "choices",
        ),
    ],
)
async def test_an_effect_with_wrong_members_is_named(option, fields, told, place, config_of):
    packages.make(
        place, "bad", EFFECT.format(option=option, fields=fields), effects={"tint": "TINT"}
    )
    await left_out(config_of(), place, told)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ('"handler": None', "handler"),
        ('"handler": 3', "handler"),
        ('"name": 3', "name"),
        ('"name": "Tint"', "name"),
        ('"texts": {"en": 3}', "explanation"),
        ('"texts": {"en": ""}', "explanation"),
        ('"texts": {"en": "x" * 101}', "explanation"),
        ('"texts": {"en": "fine", "ko": "x" * 101}', "explanation"),
        ('"texts": "Tints."', "explanation"),
        ('"parent": "Two words"', "name"),
        ('"parent": "generate"', "generate"),
        ('"options": (3,)', "options"),
        ('"options": 3', "options"),
        ('"permission": "everybody"', "permission"),
        ('"visibility": "everybody"', "visibility"),
    ],
)
async def test_a_command_with_wrong_members_is_named(fields, told, place, config_of):
    packages.make(place, "bad", COMMAND.format(fields=fields), commands={"tint": "commands"})
    await left_out(config_of(), place, told)
