"""Plugins that fail: each is seen, named and survived. Real distributions, real processes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from textwrap import dedent

import pytest
from structlog.testing import capture_logs

from bot import plugin_report
from bot.app import open_app
from bot.doctor import configuration
from bot.plugins import tables, trial
from bot.testing import open_call
from commands.caller import Caller, Channel
from commands.context import Command
from commands.run import execute
from commands.text.card import plain
from inference.domain.errors import UserError
from inference.store.sqlite import migrate
from tests.fakes import packages

pytestmark = pytest.mark.process

COMMANDS = """
    from commands.context import Command
    from commands.text.card import Card, CardKind

    async def dance(call):
        return Card(kind=CardKind.INFO, lines=((f"{call.caller.name} dances",),))

    async def fall(call):
        raise RuntimeError("secret words of a prompt")

    def dances(options):
        return [Command(name="dance", handler=dance, texts={"en": "Dances.", "ko": "춤춰요."})]

    def falls(options):
        return [Command(name="fall", handler=fall, texts={"en": "Falls."})]

    def takes(options):
        return [Command(name="generate", handler=dance, texts={"en": "Takes a name."})]

    def exits(options):
        raise SystemExit(3)

    def unexplained(options):
        return [Command(name="dance", handler=dance)]
"""

THREAD = """
    import threading, time

    threading.Thread(target=time.sleep, args=(1e6,)).start()
"""

API_99 = (
    """
    from inference.plugins import Plugin

    PLUGIN = Plugin(api=99)
"""
    + COMMANDS
)

TEXTS = (
    """
    from inference.plugins import Plugin

    PLUGIN = Plugin(api=1, catalog="texts")
"""
    + COMMANDS
)


def call_of(app):
    return app.services.call(
        caller=Caller(id="ada", name="ada"),
        channel=Channel(platform="terminal", tenant="terminal:t", address={}),
        locale="en",
        key=None,
    )


def problems(config):
    """Return what `rushes plugins` says is wrong, by entry point."""
    return {
        f"{package.package} {entry.group} {entry.name}": entry.problem
        for package in plugin_report.report(config).packages
        for entry in package.entries
        if entry.problem is not None
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(7)", "its import ended the process (7)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended the process (-9)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("print('noise on the pipe'); 1 / 0", "ZeroDivisionError: division by zero"),
        ("class Own(BaseException): pass\nraise Own('no')", "Own: no"),
        (
            COMMANDS.replace("def dances", "def commands") + THREAD,
            "started a thread that is not a daemon",
        ),
        ("commands = None", "TypeError: 'NoneType' object is not callable"),
        (COMMANDS.replace("def takes", "def commands"), "two commands named /generate"),
        (COMMANDS.replace("def exits", "def commands"), "SystemExit: 3"),
        (COMMANDS.replace("def unexplained", "def commands"), "/dance has no explanation"),
        (API_99.replace("def dances", "def commands"), "written for version 99"),
    ],
)
async def test_a_package_that_fails_is_named_and_all_else_works(text, told, place, config_of):
    packages.make(place, "good", COMMANDS, commands={"dance": "dances"})
    described = {"plugins": {"bad": "PLUGIN"}} if "PLUGIN" in text else {}
    packages.make(place, "bad", text, commands={"bad": "commands"}, **described)
    found = problems(config_of())
    assert "bad rushes.commands bad" in found
    assert all(key.startswith("bad ") and told in problem for key, problem in found.items())
    async with open_app(config_of()) as app:
        assert plain(await execute("/dance", call_of(app))) == "ada dances"
        assert any("rushes plugins" in told for told in app.services.health.problems.values())


@pytest.mark.slow
def test_what_a_package_prints_at_import_is_not_in_the_answer_and_our_streams_stay(
    place, config_of, capfd
):
    noise = (
        "import io, os, subprocess, sys\nprint('x' * 100_000)\nos.write(1, b'xxx below')\n"
        "subprocess.run(['echo', 'xxx echoed'])\nsys.stdout = sys.stderr = io.StringIO()\n"
    )
    late = (
        dedent(COMMANDS)
        + "\ndef loud(options):\n    print('xxx late')\n    return dances(options)\n"
    )
    packages.make(place, "loud", noise + late, commands={"dance": "loud"})
    config = config_of()
    ours = sys.stdout, sys.stderr
    assert problems(config) == {}
    assert (sys.stdout, sys.stderr) == ours
    said = capfd.readouterr()
    assert "xxx" not in said.out
    assert all(words in said.err for words in ("xxx", "xxx below", "xxx echoed", "xxx late"))


def test_packages_that_hang_at_import_are_given_up_together(place, config_of, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 1.0)
    packages.make(place, "good", COMMANDS, commands={"dance": "dances"})
    for name in ("slow", "still"):
        text = "import time\nwhile True:\n    time.sleep(1)\n"
        packages.make(place, name, text, commands={name: "commands"})
    config = config_of()
    assert problems(config) == {
        f"{name} rushes.commands {name}": "it was not imported within 1 s"
        for name in ("slow", "still")
    }
    assert not {"slow", "still"} & set(sys.modules)


def test_a_package_that_leaves_a_process_behind_holds_up_no_start(
    place, config_of, tmp_path, request
):
    pid = tmp_path / "pid"
    text = f"""
        import os, pathlib, time
        if (left := os.fork()) == 0:
            os.setsid()
            time.sleep(600)
            os._exit(0)
        pathlib.Path({str(pid)!r}).write_text(str(left))
        1 / 0
    """
    packages.make(place, "bad", text, commands={"bad": "commands"})
    request.addfinalizer(lambda: os.kill(int(pid.read_text()), signal.SIGKILL))
    began = time.monotonic()
    [problem] = problems(config_of()).values()
    assert "ZeroDivisionError" in problem
    assert time.monotonic() - began < 300  # the process that is left sleeps for longer


def test_a_start_tries_only_what_has_changed_since(place, config_of, monkeypatch):
    packages.make(place, "good", COMMANDS, commands={"dance": "dances"})
    assert problems(config_of()) == {}
    tries = []
    monkeypatch.setattr(trial, "_tried", {})
    monkeypatch.setattr(trial, "_try", lambda package: tries.append(package.name) or {})
    assert problems(config_of()) == {}
    assert tries == []
    module = place / "good" / "__init__.py"
    module.write_text(module.read_text() + "\n# changed\n")
    problems(config_of())
    assert tries == ["good"]


@pytest.mark.parametrize(
    ("english", "korean", "told"),
    [
        ("not a catalog", "", "its texts in en cannot be read"),
        (packages.catalog(card__step="x"), None, "its text card.step is there already"),
        (packages.catalog(a__b="x"), packages.catalog(a__c="x"), "its text a.b is in one language"),
        (
            packages.catalog(a__b="x {n}"),
            packages.catalog(a__b="x {m}"),
            "other placeholders in ko",
        ),
        (packages.catalog(a__b="x {n:loud}"), None, "writes a value as 'loud'"),
        (packages.catalog(a__b="x {n"), None, "broken placeholders"),
        (None, packages.catalog(a__b="x"), "no language en"),
    ],
)
@pytest.mark.cases(1)
def test_a_broken_catalog_is_named(english, korean, told, place, config_of):
    files = {
        f"locales/{locale}/LC_MESSAGES/rushes.po": text
        for locale, text in {"en": english, "ko": korean}.items()
        if text is not None
    }
    packages.make(
        place,
        "texts",
        TEXTS,
        files=files,
        commands={"dance": "dances"},
        plugins={"texts": "PLUGIN"},
    )
    found = problems(config_of())
    assert set(found) == {"texts rushes.plugins texts", "texts rushes.commands dance"}
    assert all(told in problem for problem in found.values())


async def test_the_texts_of_a_plugin_are_found_in_both_languages(place, config_of):
    files = {
        "locales/en/LC_MESSAGES/rushes.po": packages.catalog(command__dance="Dances well."),
        "locales/ko/LC_MESSAGES/rushes.po": packages.catalog(command__dance="잘 춰요."),
    }
    packages.make(
        place,
        "texts",
        TEXTS,
        files=files,
        commands={"dance": "unexplained"},
        plugins={"texts": "PLUGIN"},
    )
    async with open_app(config_of()) as app:
        command = app.services.commands["/dance"]
        assert isinstance(command, Command)
        assert (command.help("en"), command.help("ko")) == ("Dances well.", "잘 춰요.")


@pytest.mark.tour
async def test_a_handler_that_raises_answers_with_a_reference_and_nothing_else(place, config_of):
    packages.make(place, "bad", COMMANDS, commands={"fall": "falls"})
    async with open_app(config_of()) as app:
        said = plain(await execute("/fall", call_of(app)))
    assert "secret words" not in said
    assert re.search(r"\b[0-9a-f]{8}\b", said)


@pytest.mark.parametrize("group", ["commands", "models", "effects", "moderators"])
@pytest.mark.cases(1)
def test_of_two_packages_with_one_name_the_first_counts_and_the_other_is_named(
    group, place, config_of
):
    for name in ("alpha", "beta"):
        packages.make(place, name, COMMANDS, **{group: {"dance": "dances"}})
    found = problems(config_of())
    key = f"beta rushes.{group} dance"
    assert found[key] == "alpha has one of that name too, and counts"


@pytest.mark.slow
def test_a_platform_named_as_ours_is_named_and_ours_stays(place, config_of):
    packages.make(place, "bad", COMMANDS, platforms={"discord": "dances"})
    assert problems(config_of()) == {"bad rushes.platforms discord": "Rushes has discord itself"}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("raise ValueError('secret words')", "ValueError at quoter/__init__.py:1"),
        ("def commands(options):\n    int('secret words')", "ValueError at quoter/__init__.py:2"),
        ("PLUGIN = commands = int('secret words')", "ValueError at quoter/__init__.py:1"),
    ],
)
async def test_only_the_list_of_plugins_quotes_what_an_exception_of_one_says(
    text, at, place, config_of
):
    described = {"plugins": {"quoter": "PLUGIN"}} if "PLUGIN" in text else {}
    packages.make(place, "quoter", text, commands={"quoter": "commands"}, **described)
    with capture_logs() as logs:
        quoted = problems(config_of())
        findings = list(configuration.plugins(config_of()))
        async with open_app(config_of()) as app:
            told = [*app.services.health.problems.values(), *(one.text("en") for one in findings)]
    assert all("secret words" in problem for problem in quoted.values())
    assert at in told[0]
    assert not [one for one in (*told, str(logs)) if "secret words" in one]


@pytest.mark.slow
def test_what_is_wrong_is_logged_once_although_a_start_reads_its_config_more_than_once(
    place, config_of
):
    packages.make(place, "logged_once", "1 / 0", commands={"c": "x"})
    with capture_logs() as logs:
        assert problems(config_of()) == problems(config_of())
    told = [entry["plugin"] for entry in logs if entry["event"] == "plugin.broken"]
    assert told == ["c"]


@pytest.mark.parametrize("command", ["plugins --json", "render --help"])
def test_a_broken_plugin_puts_nothing_between_what_a_command_prints(place, tmp_path, command):
    packages.make(place, "broken", "raise ImportError('x')", commands={"c": "x"})
    arguments = [sys.executable, "-m", "bot", *command.split(), "--data-dir", str(tmp_path / "d")]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert "plugin.broken" in ended.stderr
    assert "plugin.broken" not in ended.stdout


@pytest.mark.slow
def test_a_disabled_package_is_not_even_imported(place, config_of):
    packages.make(place, "bad_one", "1 / 0", commands={"c": "x"})
    config = config_of(plugins={"disabled": ["Bad-One"]})
    [package] = plugin_report.report(config).packages
    assert package.state is plugin_report.PluginState.DISABLED
    assert problems(config) == {}


SECTION = """
    from pydantic import BaseModel, ConfigDict
    from inference.plugins import Plugin
    from commands.context import Command
    from commands.text.card import Card, CardKind

    class Table(BaseModel):
        model_config = ConfigDict(extra="forbid")
        words: str = "la"
        times: int = 2

    async def sing(call):
        own = call.plugin_config("song")
        return Card(kind=CardKind.INFO, lines=((own.words * own.times,),))

    def sings(options):
        return [Command(name="sing", handler=sing, texts={"en": "Sings."})]

    PLUGIN = Plugin(api=1, config=Table)
"""


@pytest.fixture
def song(place):
    packages.make(
        place, "rushes_song", SECTION, commands={"sing": "sings"}, plugins={"song": "PLUGIN"}
    )


async def test_the_section_of_a_plugin_is_checked_and_reaches_its_command(song, config_of):
    async with open_app(config_of(plugins={"song": {"words": "do"}})) as app:
        assert plain(await execute("/sing", call_of(app))) == "dodo"


async def test_a_handler_alone_has_its_section_and_its_tables(song, place, tmp_path):
    counter(place, "CREATE TABLE plugin_counter_presses (id INTEGER PRIMARY KEY);")
    async with open_call(tmp_path, config={"plugins": {"song": {"words": "do"}}}) as call:
        assert plain(await call.commands["/sing"].handler(call)) == "dodo"
        assert plain(await call.commands["/count"].handler(call)) == "pressed 1 times"


@pytest.mark.parametrize("wrong", [{"times": "many"}, {"loud": True}])
@pytest.mark.cases(1)
def test_a_mistake_in_the_section_of_a_plugin_is_told_as_one_of_ours(song, config_of, wrong):
    with pytest.raises(UserError) as caught:
        config_of(plugins={"song": wrong})
    assert caught.value.code in {"config.not_whole", "config.unknown_key"}
    assert caught.value.params["key"] == f"plugins.song.{next(iter(wrong))}"


@pytest.mark.slow
def test_a_section_of_a_plugin_that_is_not_installed_is_told_and_stops_nothing(config_of):
    config = config_of(plugins={"song": {"words": "do"}})
    assert plugin_report.report(config).unknown_sections == ("song",)


TABLES = """
    from commands.context import Command
    from commands.text.card import Card, CardKind
    from inference.plugins import Plugin
    from inference.store.sqlite.migrate import PackageMigrations

    async def count(call):
        async def work(connection):
            await connection.execute("INSERT INTO plugin_counter_presses DEFAULT VALUES")
            rows = await connection.execute_fetchall("SELECT count(*) FROM plugin_counter_presses")
            return rows[0][0]

        number = await call.database.write("count", work)
        return Card(kind=CardKind.INFO, lines=((f"pressed {number} times",),))

    def counts(options):
        return [Command(name="count", handler=count, texts={"en": "Counts."})]

    PLUGIN = Plugin(api=1, tables=PackageMigrations(name="counter", package="counter"))
"""


def counter(place, sql):
    packages.make(
        place,
        "counter",
        TABLES,
        files={"migrations/0001_initial.sql": sql},
        commands={"count": "counts"},
        plugins={"counter": "PLUGIN"},
    )


async def test_a_plugin_has_tables_of_its_own_that_a_restart_finds_again(place, config_of):
    counter(
        place,
        "CREATE TABLE plugin_counter_presses (id INTEGER PRIMARY KEY);"
        "CREATE INDEX plugin_counter_by_id ON plugin_counter_presses (id);",
    )
    for said in ("pressed 1 times", "pressed 2 times"):
        async with open_app(config_of()) as app:
            assert plain(await execute("/count", call_of(app))) == said


DARKER = """
    from inference.domain.capabilities import ModelOption, OptionKind
    from inference.effects.base import EffectEntry

    DARKER = EffectEntry(
        name="darker",
        options=(ModelOption(name="darker", kind=OptionKind.FLAG, default=False, texts={}),),
        make=lambda context: None,
    )
"""


async def test_a_plugin_whose_tables_cannot_be_migrated_here_is_left_out_as_a_whole(
    place, config_of, tmp_path
):
    async with open_app(config_of()):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "rushes.sqlite3")) as connection:
        connection.execute("CREATE TABLE plugin_counter_presses (other TEXT)")
    packages.make(
        place,
        "counter",
        dedent(TABLES) + dedent(DARKER),
        files={"migrations/0001_initial.sql": "CREATE TABLE plugin_counter_presses (id INTEGER);"},
        commands={"count": "counts"},
        effects={"darker": "DARKER"},
        plugins={"counter": "PLUGIN"},
    )
    reported = problems(config_of())
    assert {told.partition(":")[0] for told in reported.values()} == {"OperationalError"}
    assert set(reported) == {
        f"counter rushes.{point}"
        for point in ("plugins counter", "effects darker", "commands count")
    }
    async with open_app(config_of()) as app:
        services = app.services
        assert "darker" not in services.installation.options.by_name
        assert "darker" not in plain(await execute("/rushes help generate", call_of(app)))
        assert not [command for command in services.commands if command.name == "count"]
        told = {key for key in services.health.problems if key.startswith("plugin.")}
        assert told == {
            f"plugin.rushes.{point}"
            for point in ("plugins.counter", "effects.darker", "commands.count")
        }
        [slot] = app.core.dispatcher._pool.slots
        assert ("counter", "rushes.effects", "darker") in slot._config()["left_out"]


@pytest.mark.tour
async def test_pending_migrations_are_tried_on_a_copy_of_the_database(place, config_of, tmp_path):
    counter(place, "CREATE TABLE plugin_counter_presses (id INTEGER PRIMARY KEY)")
    async with open_app(config_of()) as app:
        assert plain(await execute("/count", call_of(app))) == "pressed 1 times"
    second = place / "counter" / "migrations" / "0002_names.sql"
    second.write_text("ALTER TABLE plugin_counter_presses ADD COLUMN name TEXT; -- a new one")
    migrate._steps.cache_clear()
    assert problems(config_of()) == {}
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "rushes.sqlite3")) as connection:
        rows = connection.execute("SELECT * FROM plugin_counter_presses").fetchall()
        assert rows == [(1,)]  # as before
        connection.execute("ALTER TABLE plugin_counter_presses ADD COLUMN name TEXT")
    assert all("duplicate column name" in told for told in problems(config_of()).values())
    assert len(problems(config_of())) == 2
    second.unlink()
    (place / "counter" / "migrations" / "0001_initial.sql").rename(second)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "rushes.sqlite3")) as connection:
        connection.execute("UPDATE packages SET version = 3 WHERE name = 'plugin_counter'")
        connection.commit()
    migrate._steps.cache_clear()
    assert all("a later release of it" in told for told in problems(config_of()).values())
    assert len(problems(config_of())) == 2


ENDLESS = """
    INSERT INTO plugin_counter_presses
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n
"""


@pytest.mark.parametrize(
    "endless", [ENDLESS, ENDLESS.replace("SELECT i FROM n", "SELECT max(i) FROM n")]
)
def test_migrations_that_do_not_end_are_given_up(place, config_of, endless, monkeypatch):
    monkeypatch.setattr(tables, "EMPTY_SECONDS", 0.5)
    counter(place, f"CREATE TABLE plugin_counter_presses (id INTEGER PRIMARY KEY); {endless};")
    found = problems(config_of())
    assert len(found) == 2
    told = ("were not done within 0.5 s on an empty database", "database or disk is full")
    assert all(any(words in problem for words in told) for problem in found.values()), found


async def test_a_migration_that_hangs_on_what_is_there_ends_and_leaves_it_as_it_was(
    place, config_of, monkeypatch, tmp_path
):
    counter(place, "CREATE TABLE plugin_counter_presses (id INTEGER PRIMARY KEY)")
    async with open_app(config_of()) as app:
        assert plain(await execute("/count", call_of(app))) == "pressed 1 times"
    # Only where there is a row does it not end.
    (place / "counter" / "migrations" / "0002_slow.sql").write_text(
        "CREATE TABLE plugin_counter_more (id INTEGER);"
        "INSERT INTO plugin_counter_more WITH RECURSIVE n(i) AS (SELECT id FROM"
        " plugin_counter_presses UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    )
    migrate._steps.cache_clear()
    monkeypatch.setattr(tables, "SECONDS", 0.5)
    told = "were not done within 0.5 s"
    assert all(told in problem for problem in problems(config_of()).values())
    assert len(problems(config_of())) == 2
    with capture_logs() as logs:
        async with open_app(config_of()) as app:
            assert not [command for command in app.services.commands if command.name == "count"]
            assert told in app.services.health.problems["plugin.rushes.plugins.counter"]
            assert "/generate" in plain(await execute("/rushes help", call_of(app)))
    [begun] = [entry for entry in logs if entry["event"] == "store.package_migrating"]
    assert (begun["package"], begun["old"], begun["new"]) == ("plugin_counter", 1, 2)
    (place / "counter" / "migrations" / "0002_slow.sql").unlink()
    migrate._steps.cache_clear()
    async with open_app(config_of()) as app:
        assert plain(await execute("/count", call_of(app))) == "pressed 2 times"


async def test_after_a_downgrade_a_start_says_that_a_later_release_was_here(place, config_of):
    counter(place, "CREATE TABLE plugin_counter_presses (id INTEGER PRIMARY KEY)")
    second = place / "counter" / "migrations" / "0002_names.sql"
    second.write_text("ALTER TABLE plugin_counter_presses ADD COLUMN name TEXT")
    async with open_app(config_of()) as app:
        assert plain(await execute("/count", call_of(app))) == "pressed 1 times"
    second.unlink()
    migrate._steps.cache_clear()
    async with open_app(config_of()) as app:
        told = app.services.health.problems["plugin.rushes.commands.count"]
        assert "a later release of it has made tables of version 2 here" in told
        assert "no command /count" in plain(await execute("/count", call_of(app)))
    second.write_text("ALTER TABLE plugin_counter_presses ADD COLUMN name TEXT")
    migrate._steps.cache_clear()
    async with open_app(config_of()) as app:
        assert plain(await execute("/count", call_of(app))) == "pressed 2 times"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE jobs_of_mine (id INTEGER);",
        "DROP TABLE jobs;",
        "CREATE TABLE plugin_counter_a (id INTEGER); CREATE INDEX i ON plugin_counter_a (id);",
        "ATTACH 'x' AS other;",
        "CREATE NONSENSE;",
    ],
)
def test_migrations_that_touch_other_tables_are_refused(place, config_of, sql):
    counter(place, sql)
    assert set(problems(config_of())) == {
        "counter rushes.commands count",
        "counter rushes.plugins counter",
    }
