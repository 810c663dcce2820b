from __future__ import annotations

import contextlib
import sqlite3

import aiosqlite
import pytest

from inference.domain.errors import StoreError
from inference.store.sqlite import migrate as module
from inference.store.sqlite.database import open_database
from inference.store.sqlite.migrate import migrate, migrations

LATEST = migrations()[-1][0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test.sqlite3"


def schema(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def version(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def make(path, number):
    """Make a database as the release with this newest migration left it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for each, sql in migrations():
            if each <= number:
                connection.executescript(f"{sql}\nPRAGMA user_version = {each};")


def test_migrations_are_numbered_without_a_gap():
    assert [number for number, _ in migrations()] == list(range(1, LATEST + 1))


@pytest.mark.parametrize("old", range(LATEST + 1))
async def test_every_older_database_becomes_the_same_new_one(tmp_path, old):
    fresh, upgraded = tmp_path / "fresh.sqlite3", tmp_path / "upgraded.sqlite3"
    make(upgraded, old)
    for path in (fresh, upgraded):
        async with open_database(path):
            pass

    assert version(upgraded) == LATEST
    assert schema(upgraded) == schema(fresh)


async def test_a_second_run_changes_nothing(path):
    async with open_database(path):
        pass
    before = schema(path)

    async with open_database(path):
        pass

    assert (schema(path), version(path)) == (before, LATEST)


async def test_a_database_of_a_later_release_is_not_touched(path):
    make(path, LATEST)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    before = schema(path)

    with pytest.raises(StoreError) as error:
        async with open_database(path):
            pass

    assert error.value.code == "store.too_new"
    assert error.value.params["version"] == LATEST + 1
    assert schema(path) == before


async def test_a_migration_that_fails_in_the_middle_leaves_nothing_behind(path, monkeypatch):
    broken = "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);"
    steps = [(1, "CREATE TABLE one (x);"), (2, broken), (3, "CREATE TABLE three (x);")]
    monkeypatch.setattr(module, "migrations", lambda: steps)

    async with aiosqlite.connect(path, isolation_level=None) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            await migrate(connection)

    assert [name for name, _ in schema(path)] == ["one"]
    assert version(path) == 1
