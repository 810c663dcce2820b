"""Plugins as the distributions that they are: a module and its entry points on the path."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest

from bot import factories
from bot.app import open_app
from bot.assistant import assistant
from bot.config.sources import load_config
from bot.moderation import moderation
from bot.preflight import preflight
from bot.registry import Registry
from commands.caller import Caller, Channel
from commands.policy.stores import TABLES
from commands.run import execute
from commands.text.card import plain
from inference.clock import SystemClock
from inference.domain.errors import AssistantError, UserError
from inference.domain.verdict import Outcome
from inference.engines.registry import Models
from inference.store.sqlite.database import open_database
from inference.workers.media.process import MediaProcess
from tests.fakes.options import OPTIONS

pytestmark = pytest.mark.process  # each plugin is tried in one

PLUGIN = """
    import contextlib
    from commands.context import Command
    from commands.text.card import Card, CardKind
    from inference.domain.verdict import Reason
    from inference.safety.base import Moderators

    async def dance(call):
        return Card(kind=CardKind.INFO, lines=((f"{call.caller.name} dances",),))

    def commands(options):
        return [Command(name="dance", handler=dance, texts={"en": "Dances.", "ko": "춤춰요."})]

    class NoCats:
        name = "no cats"

        async def read(self, texts, tenant):
            return frozenset({Reason.HOUSE_WORDS} if any("cat" in text for text in texts) else ())

    @contextlib.asynccontextmanager
    async def no_cats(config, media):
        yield Moderators(texts=[NoCats()])

    class Shouter:
        name = "shouter"

        async def refine(self, draft):
            return draft.words.upper()

    @contextlib.asynccontextmanager
    async def shouter(config):
        yield Shouter()

    def fails(*arguments):
        raise RuntimeError("no luck today")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return what puts a distribution on the path: its module's text and its entry points."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def put(module, text, **groups):
        (tmp_path / f"{module}.py").write_text(dedent(text))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = []
        for group, entries in groups.items():
            lines.append(f"[rushes.{group}]")
            lines += [f"{name} = {module}:{value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.delitem(sys.modules, module, raising=False)

    yield put
    for module in ("good_plugin", "bad_plugin"):
        sys.modules.pop(module, None)


@pytest.fixture
def call_of():
    """Return what makes a call of somebody in a terminal."""

    def made(app):
        return app.services.call(
            caller=Caller(id="ada", name="ada"),
            channel=Channel(platform="terminal", tenant="terminal:t", address={}),
            locale="en",
            key=None,
        )

    return made


@pytest.fixture
def good(install):
    install(
        "good_plugin",
        PLUGIN,
        commands={"dance": "commands"},
        moderators={"nocats": "no_cats"},
        assistants={"shouter": "shouter"},
    )


def config_of(tmp_path, **sections):
    bot = {"data_dir": tmp_path / "data", "platforms": ["terminal"], **sections.pop("bot", {})}
    return load_config(None, overrides={"bot": bot, **sections})


async def judged(config, known, text):
    async with (
        MediaProcess() as media,
        moderation(config, media, SystemClock(), known) as guard,
        open_database(config.bot.data_dir.parent / "test.sqlite3", TABLES) as database,
    ):
        return await guard(database).judge_texts([text], tenant="g:a", flagged=Outcome.DENY)


def test_the_commands_of_a_plugin_are_in_no_way_second_class(good):
    registry = Registry.load()
    commands = registry.commands(OPTIONS)
    assert commands["/dance"].help("ko") == "춤춰요."
    assert commands["/dance"].help("fr") == "Dances."
    assert not registry.plugins.problems


async def test_the_moderator_of_a_plugin_is_asked_where_the_config_names_it(good, tmp_path):
    known = Registry.load().moderators
    named = config_of(tmp_path, safety={"moderators": ["nocats"]})
    assert (await judged(named, known, "a cat")).denied
    assert not (await judged(config_of(tmp_path), known, "a cat")).denied


@pytest.mark.tour
async def test_the_assistant_of_a_plugin_is_asked_where_the_config_names_it(good, tmp_path):
    config = config_of(tmp_path, assistant={"engine": "shouter"})
    async with assistant(config, Registry.load().assistants) as made:
        assert made.name == "shouter"


@pytest.mark.parametrize(
    ("group", "name"),
    [("commands", "c"), ("platforms", "p"), ("moderators", "m"), ("assistants", "a")],
)
@pytest.mark.parametrize("text", ["raise ImportError('no luck today')", PLUGIN])
@pytest.mark.cases(3)
def test_a_plugin_that_raises_is_named_and_left_out(install, group, name, text, tmp_path):
    install("bad_plugin", text, **{group: {name: "fails"}})
    registry = Registry.load()
    assert "/generate" in [command.typed for command in registry.commands(OPTIONS)]
    if group == "platforms":
        assert registry.platform(name, config_of(tmp_path)) is None
    if group in {"moderators", "assistants"} and text is PLUGIN:
        return  # it fails when it is made: see below
    [problem] = registry.plugins.problems.values()
    assert (problem.code, problem.params["package"]) == ("plugin.broken", "bad_plugin")
    assert "bad_plugin.py:" in problem.params["problem"]
    assert "no luck" not in problem.params["problem"]


@pytest.mark.parametrize("text", ["raise ImportError('no luck today')", PLUGIN])
@pytest.mark.parametrize("fail_closed", [True, False])
@pytest.mark.cases(2)
async def test_a_moderator_that_cannot_be_made_is_one_that_cannot_be_asked(
    install, text, fail_closed, tmp_path
):
    install("bad_plugin", text, moderators={"m": "fails"})
    registry = Registry.load()
    config = config_of(tmp_path, safety={"moderators": ["m"], "fail_closed": fail_closed})
    assert (await judged(config, registry.moderators, "a fox")).denied is fail_closed
    assert list(registry.plugins.problems) == ["plugin.rushes.moderators.m"]


async def test_an_assistant_that_cannot_be_made_has_no_answer(install, tmp_path):
    install("bad_plugin", PLUGIN, assistants={"a": "fails"})
    registry = Registry.load()
    async with assistant(
        config_of(tmp_path, assistant={"engine": "a"}), registry.assistants
    ) as made:
        with pytest.raises(AssistantError):
            await made.refine(None)
    assert list(registry.plugins.problems) == ["plugin.rushes.assistants.a"]


EXITS = """
import sys

def fails(*_):
    sys.exit("no luck today")
"""


async def test_a_factory_that_exits_stops_nothing(install, tmp_path):
    groups = ("platforms", "moderators", "assistants")
    install("bad_plugin", EXITS, **{group: {group[0]: "fails"} for group in groups})
    registry = Registry.load()
    assert registry.platform("p", config_of(tmp_path)) is None
    config = config_of(tmp_path, safety={"moderators": ["m"], "fail_closed": True})
    assert (await judged(config, registry.moderators, "a fox")).denied
    asked = config_of(tmp_path, assistant={"engine": "a"})
    async with assistant(asked, registry.assistants) as made:
        with pytest.raises(AssistantError):
            await made.refine(None)
    assert len(registry.plugins.problems) == 3


def test_what_is_no_platform_is_named_with_what_it_lacks(install, tmp_path):
    install("bad_plugin", "class Chat:\n    def __init__(self, _): pass", platforms={"p": "Chat"})
    registry = Registry.load()
    assert registry.platform("p", config_of(tmp_path)) is None
    [problem] = registry.plugins.problems.values()
    assert "upload_limit" in problem.params["problem"]


def test_a_factory_that_prints_spoils_no_answer(install, tmp_path, capfd):
    text = "import os\n\ndef chatty(_):\n    print('hello')\n    os.write(1, b'hello')"
    install("bad_plugin", text, platforms={"p": "chatty"})
    assert Registry.load().platform("p", config_of(tmp_path)) is None
    assert "hello" not in capfd.readouterr().out


async def test_the_app_runs_on_without_the_plugins_that_fail(install, tmp_path):
    install("bad_plugin", "1 / 0", commands={"c": "x"}, platforms={"p": "x"})
    config = config_of(
        tmp_path, bot={"platforms": ["terminal", "p"]}, models={"installed": ["testcard"]}
    )
    preflight(config)
    async with open_app(config) as app:
        problems = dict(app.services.health.problems)
        assert set(problems) >= {"plugin.rushes.commands.c", "plugin.rushes.platforms.p"}
        assert "bad_plugin" in problems["plugin.rushes.commands.c"]
        assert list(app.platforms) == ["terminal"]


async def test_a_command_of_a_plugin_is_answered_and_explained(good, tmp_path, call_of):
    config = config_of(tmp_path, models={"installed": ["testcard"]})
    async with open_app(config) as app:
        call = call_of(app)
        assert plain(await execute("/dance", call)) == "ada dances"
        assert "Dances." in plain(await execute("/rushes help", call))
        assert "Dances." in plain(await execute("/rushes help dance", call))


@pytest.mark.parametrize(
    ("section", "values", "code"),
    [
        ("bot", {"platforms": ["irc"]}, "config.platform_unknown"),
        ("safety", {"moderators": ["irc"]}, "config.safety_unknown"),
        ("assistant", {"engine": "irc"}, "config.assistant_unknown"),
    ],
)
@pytest.mark.cases(3)
def test_a_name_that_nothing_has_is_told_before_the_start(section, values, code, tmp_path):
    with pytest.raises(UserError) as raised:
        preflight(config_of(tmp_path, **{section: values}))
    assert raised.value.code == code
    assert raised.value.params["name"] == "irc"


MODEL = """
    from dataclasses import replace
    from inference.domain.capabilities import ModelOption, OptionKind
    from inference.engines.built_in import TESTCARD

    def odd(name):
        option = ModelOption(name=name, kind=OptionKind.FLAG, default=False)
        known = replace(TESTCARD.capabilities, options=(option,))
        return replace(TESTCARD, capabilities=known)

    GOOD = odd("glow")
    SEED, SPACE = odd("seed"), odd("two words")
"""


def test_a_plugin_that_exits_at_import_stops_nothing(install):
    install("bad_plugin", "raise SystemExit('no licence')", models={"a": "A"}, commands={"b": "B"})
    registry = Registry.load()
    models = Models(plugins=registry.plugins)
    assert [entry.capabilities.name for entry in models.usable(["a", "nano"])] == ["nano"]
    assert "SystemExit" in registry.plugins.problems["plugin.rushes.models.a"].params["problem"]


def test_a_model_whose_options_nobody_can_type_is_left_out_by_name(install, tmp_path):
    install("good_plugin", MODEL, models={"ours": "GOOD", "odd": "SEED", "space": "SPACE"})
    config = config_of(
        tmp_path,
        models={
            "installed": ["ours", "odd", "space", "mine", "nano"],
            "mine": {"engine": "odd"},
        },
    )
    models = Models(config.models.tables())
    found = factories.describe_installation(config, models)
    assert [model.name for model in found.models] == ["ours", "nano"]
    problems = models.plugins.problems
    assert [*problems] == ["plugin.rushes.models.odd", "plugin.rushes.models.space"]
    assert {problem.params["package"] for problem in problems.values()} == {"good_plugin"}
    assert "two words" in problems["plugin.rushes.models.space"].params["problem"]

    alone = config_of(tmp_path, models={"installed": ["odd"]})
    with pytest.raises(UserError) as caught:
        factories.describe_installation(alone)
    assert caught.value.code == "plugin.broken"


def test_a_plugin_with_the_name_of_another_model_is_named_and_that_one_stays(install, tmp_path):
    install("good_plugin", MODEL, models={"nano": "GOOD", "ours": "GOOD"})
    tables = {"installed": ["nano", "ours"], "ours": {"engine": "testcard"}}
    config = config_of(tmp_path, models=tables)
    models = Models(config.models.tables())
    found = factories.describe_installation(config, models)
    assert [model.title for model in found.models] == ["Open-Sora nano", "Test card"]
    assert all(model.option("glow") is None for model in found.models)
    assert [*models.plugins.problems] == ["plugin.rushes.models.nano", "plugin.rushes.models.ours"]
