from __future__ import annotations

import contextlib
import sqlite3

import aiosqlite
import pytest

from inference.domain.errors import StoreError
from inference.store.sqlite import migrate as module
from inference.store.sqlite.database import open_database
from inference.store.sqlite.migrate import migrate, migrations

pytestmark = pytest.mark.usefixtures("unmigrated")

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


@pytest.mark.cases(4)
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


@pytest.mark.parametrize(("old", "left"), [(0, []), (1, ["one"])])
async def test_a_migration_that_fails_in_the_middle_leaves_nothing_behind(
    path, monkeypatch, old, left
):
    broken = "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);"
    steps = [(1, "CREATE TABLE one (x);"), (2, broken), (3, "CREATE TABLE three (x);")]
    monkeypatch.setattr(module, "migrations", lambda: steps[:1])
    if old:
        async with aiosqlite.connect(path, isolation_level=None) as connection:
            await migrate(connection)
    monkeypatch.setattr(module, "migrations", lambda: steps)

    async with aiosqlite.connect(path, isolation_level=None) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            await migrate(connection)

    assert [name for name, _ in schema(path)] == left
    assert version(path) == old


OLD_JOB = {
    "id": "AAAAAAAAAA",
    "state": "done",
    "spec": '{"prompt": "a fox"}',
    "origins": "{}",
    "tenant": "discord:1",
    "requester_id": "2",
    "requester_name": "kim",
    "platform": "discord",
    "address": '{"channel": 3}',
    "created_at": 1.0,
    "cost": 1.0,
    "attempt": 1,
    "losses": 0,
    "sequence": 1,
    "ended_at": 2.0,
}


def damage(path, table, column, value):
    """Put a value of any type into all rows of a column, as a damaged page would."""
    rule = "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        query = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?"
        [(strict,)] = connection.execute(query, (table,))
        loose = strict.replace("NOT NULL", "").replace(") STRICT", ")")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(rule, (loose, table))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))  # noqa: S608
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(rule, (strict, table))


def with_a_job(path, number):
    make(path, number)
    names = ", ".join(OLD_JOB)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            f"INSERT INTO jobs ({names}) VALUES ({', '.join('?' * len(OLD_JOB))})",  # noqa: S608
            tuple(OLD_JOB.values()),
        )
        connection.execute("INSERT INTO shares VALUES ('discord:1', 5.0)")


@pytest.mark.cases(6)
@pytest.mark.parametrize("old", [1, 3, 7, 8, LATEST - 1])
@pytest.mark.parametrize(
    ("table", "column", "junk"),
    [
        ("jobs", "created_at", "yesterday"),
        ("jobs", "cost", b"\xff"),
        ("jobs", "requester_id", None),
        ("jobs", "spec", b"\xff"),
        ("jobs", "address", None),
        ("jobs", "attempt", 1.5),
        ("jobs", "ended_at", "never"),
        ("jobs", "id", None),
        ("shares", "virtual_time", "much"),
    ],
)
async def test_a_damaged_cell_of_an_old_database_does_not_keep_a_new_release_from_starting(
    path, old, table, column, junk
):
    with_a_job(path, old)
    damage(path, table, column, junk)
    async with open_database(path) as database:
        await database.read("SELECT * FROM jobs")
        [row] = await database.read("PRAGMA integrity_check")
        assert row[0] == "ok"
    assert version(path) == LATEST
    [copy] = path.parent.glob("*.bak")
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        [(kept,)] = connection.execute(f"SELECT {column} FROM {table}")  # noqa: S608
        assert kept == junk, "the copy has it as it was found"


async def test_a_migration_that_does_not_fit_is_refused_with_a_sentence(path, monkeypatch):
    make(path, LATEST)
    broken = [
        *migrations(),
        (LATEST + 1, "INSERT INTO counters (name, value) VALUES ('sequence', NULL);"),
    ]
    monkeypatch.setattr(module, "migrations", lambda: broken)
    with pytest.raises(StoreError) as caught:
        async with open_database(path):
            pass
    assert caught.value.code == "store.not_migrated"
    assert version(path) == LATEST
