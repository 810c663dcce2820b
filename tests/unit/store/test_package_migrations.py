"""Tables of packages, in new databases and in one that version 0.1.0 wrote."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from pathlib import Path

import pytest

from bot.slack.installations import TABLES as SLACK
from commands.policy.stores import TABLES as POLICY
from inference.domain.errors import StoreError
from inference.store.sqlite.database import open_database
from inference.store.sqlite.migrate import PackageMigrations
from tests.fakes.options import SETTINGS

pytestmark = pytest.mark.usefixtures("unmigrated")

OLD = Path(__file__).with_name("samples") / "schema_12.sql"


def rows(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def schema(path):
    return rows(path, "SELECT name, sql FROM sqlite_master ORDER BY name")


@pytest.fixture
def old(tmp_path):
    """A database with a job, settings and an installation, as version 0.1.0 left it."""
    path = tmp_path / "old.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text())
    return path


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Return what makes the package of a plugin with these migrations."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(name, *steps):
        folder = tmp_path / name / "migrations"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for number, sql in enumerate(steps, start=1):
            (folder / f"{number:04}_step.sql").write_text(sql)
        return PackageMigrations(name="toy", package=name)

    yield made
    for module in [name for name in sys.modules if name.startswith("toy_")]:
        del sys.modules[module]


async def test_an_old_database_keeps_what_packages_have_in_it(old, tmp_path):
    fresh = tmp_path / "fresh.sqlite3"
    for path in (old, fresh, old):
        async with open_database(path, POLICY, SLACK):
            pass
    assert schema(old) == schema(fresh)
    versions = {"commands": POLICY.steps()[-1][0], "slack": SLACK.steps()[-1][0]}
    assert dict(rows(old, "SELECT name, version FROM packages")) == versions
    assert rows(old, "SELECT key, value FROM settings") == [("default.steps", "12")]
    assert rows(old, "SELECT person, reason FROM blocks") == [("bob", "spam")]
    assert rows(old, "SELECT name FROM presets") == [("film",)]
    assert rows(old, "SELECT word FROM forbidden_words") == [("acme",)]
    assert rows(old, "SELECT count(*) FROM audit") == [(3,)]
    assert rows(old, "SELECT token FROM slack_installations") == [("token-of-t1",)]
    assert rows(old, "SELECT file FROM slack_files") == [("F1",)]
    assert "default.steps" in SETTINGS.by_key


async def test_the_job_core_makes_no_tables_of_others(tmp_path):
    path = tmp_path / "core.sqlite3"
    async with open_database(path):
        pass
    names = {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not {name for name in names if name.startswith("slack")}
    assert not names & {"settings", "presets", "blocks", "audit", "forbidden_words"}


async def test_a_later_step_of_a_package_is_applied_once_and_copies_the_database(tmp_path, toy):
    path = tmp_path / "toy.sqlite3"
    step = (
        "INSERT INTO toys VALUES ('doll');\n"
        "CREATE TRIGGER kept AFTER DELETE ON toys BEGIN\n"
        "    INSERT INTO toys VALUES (old.name); -- ; in a comment\n"
        "END;"
    )
    first = toy("toy_one", "CREATE TABLE toys (name TEXT); INSERT INTO toys VALUES ('bear');")
    second = toy("toy_two", "SELECT 1;", step)
    async with open_database(path, first):
        pass
    assert not list(tmp_path.glob("*.bak"))
    for _ in range(2):
        async with open_database(path, second):
            pass
    assert rows(path, "SELECT name FROM toys") == [("bear",), ("doll",)]
    [copy] = tmp_path.glob("*.bak")
    assert rows(copy, "SELECT name FROM toys") == [("bear",)]

    with pytest.raises(StoreError) as raised:
        async with open_database(path, first):
            pass
    assert (raised.value.code, raised.value.params["version"]) == ("store.too_new", 2)


async def test_a_step_that_fails_leaves_nothing_of_the_package(tmp_path, toy):
    path = tmp_path / "toy.sqlite3"
    broken = toy("toy_bad", "CREATE TABLE toys (name TEXT);", "INSERT INTO nowhere VALUES (1);")
    with pytest.raises((sqlite3.OperationalError, StoreError)):
        async with open_database(path, broken):
            pass
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'toys'") == []
    assert rows(path, "SELECT * FROM packages") == []
