from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys

import pytest

from inference.domain.errors import StoreError
from inference.store.backups import HOURS, LOOK_SECONDS, DailyBackups, newest, restore, rotate
from inference.store.data_directory import own
from inference.store.maintenance import DATABASE_NAME, check
from inference.store.sqlite.migrate import migrations

DAY = HOURS * 3600


def make(folder):
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for number, sql in migrations():
            connection.executescript(sql)
            connection.execute(f"PRAGMA user_version = {number}")
    return folder


def count(folder, name=DATABASE_NAME):
    with contextlib.closing(sqlite3.connect(folder / name)) as connection:
        [(value,)] = connection.execute("SELECT value FROM counters WHERE name = 'sequence'")
    return value


def set_count(folder, value):
    with contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
        connection.execute("UPDATE counters SET value = ? WHERE name = 'sequence'", (value,))
        connection.commit()


@pytest.fixture
def data(tmp_path):
    return make(tmp_path / "data")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_backups_are_kept_and_nothing_else_is_touched(data, tmp_path):
    folder = tmp_path / "backups"
    made = [rotate(data, folder, keep=3)]
    (folder / "mine.sqlite3").write_text("mine")
    (folder / "rushes-20260101T000000Z.sqlite3.part").write_text("mine")
    made += [rotate(data, folder, keep=3) for _ in range(5)]
    assert {path.name for path in made[-3:]} == set(names(folder)) - {
        "mine.sqlite3",
        "rushes-20260101T000000Z.sqlite3.part",
    }
    assert newest(folder) == made[-1]
    assert len(names(folder)) == 5


def test_without_daily_backups_one_by_hand_deletes_none(data, tmp_path):
    folder = tmp_path / "backups"
    made = [rotate(data, folder, keep=3) for _ in range(3)]
    made.append(rotate(data, folder, keep=0))
    assert names(folder) == sorted(path.name for path in made)


def test_backups_are_private(data, tmp_path):
    made = rotate(data, tmp_path / "backups", keep=1)
    assert made.stat().st_mode & 0o077 == 0
    assert made.parent.stat().st_mode & 0o077 == 0


def test_a_backup_that_fails_deletes_none(data, tmp_path):
    folder = tmp_path / "backups"
    first = rotate(data, folder, keep=1)
    (data / DATABASE_NAME).write_bytes(b"x" * 9000)
    with pytest.raises(StoreError):
        rotate(data, folder, keep=1)
    assert names(folder) == [first.name]


def test_without_a_database_nothing_is_made(tmp_path):
    with pytest.raises(StoreError, match="missing"):
        rotate(tmp_path / "data", tmp_path / "data" / "backups", keep=1)
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_made_is_told(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="backup_failed"):
        rotate(data, tmp_path / "file" / "backups", keep=1)


def test_a_backup_is_restored_into_an_empty_folder(data, tmp_path):
    set_count(data, 41)
    saved = rotate(data, tmp_path / "backups", keep=1)
    assert restore(tmp_path / "new", saved) is None
    assert check(tmp_path / "new").problems == ()
    assert count(tmp_path / "new") == 41
    assert (tmp_path / "new" / DATABASE_NAME).stat().st_mode & 0o077 == 0


def test_the_old_database_is_kept_with_its_newest_changes(data, tmp_path):
    saved = rotate(data, tmp_path / "backups", keep=1)
    # A process that was killed leaves its newest changes in the log beside the database.
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute(\"UPDATE counters SET value = 42 WHERE name = 'sequence'\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, data / DATABASE_NAME], check=True)
    assert (data / f"{DATABASE_NAME}-wal").stat().st_size > 0
    kept = restore(data, saved)
    assert kept is not None
    assert count(data) != 42
    assert count(data, kept.name) == 42


def test_a_damaged_database_is_replaced_and_kept_as_it_is(data, tmp_path):
    saved = rotate(data, tmp_path / "backups", keep=1)
    (data / DATABASE_NAME).write_bytes(b"x" * 9000)
    kept = restore(data, saved)
    assert kept is not None
    assert kept.read_bytes() == b"x" * 9000
    assert check(data).problems == ()


def not_a_database(saved, data):
    saved.write_bytes(b"x" * 9000)


def too_new(saved, data):
    with contextlib.closing(sqlite3.connect(saved)) as connection:
        connection.execute("PRAGMA user_version = 9999")


def empty(saved, data):
    saved.write_bytes(b"")


def gone(saved, data):
    saved.unlink()


def damaged(saved, data):
    """Overwrite pages in the middle, which only a check of every page finds."""
    content = bytearray(saved.read_bytes())
    content[8192:-8192] = b"x" * (len(content) - 16384)
    saved.write_bytes(content)


def incomplete(saved, data):
    with contextlib.closing(sqlite3.connect(saved)) as connection:
        connection.execute("DROP TABLE outbox")


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (not_a_database, "store.backup_damaged"),
        (damaged, "store.backup_damaged"),
        (incomplete, "store.no_backup"),
        (empty, "store.no_backup"),
        (too_new, "store.too_new"),
        (gone, "store.missing"),
    ],
)
def test_what_is_no_backup_changes_nothing(data, tmp_path, damage, code):
    set_count(data, 41)
    saved = rotate(data, tmp_path / "backups", keep=1)
    damage(saved, data)
    before = names(data)
    with pytest.raises(StoreError) as caught:
        restore(data, saved)
    assert (caught.value.code, caught.value.params["path"]) == (code, str(saved))
    assert count(data) == 41
    assert names(data) == before


FILLED = """
import resource, sys
from pathlib import Path
from inference.domain.errors import StoreError
from inference.store.backups import restore
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    restore(Path(sys.argv[1]), Path(sys.argv[2]))
except StoreError as error:
    print(error.code, error.params["path"])
"""


@pytest.mark.process
def test_a_disk_that_fills_up_is_named_and_nothing_has_changed(data, tmp_path):
    set_count(data, 41)
    saved = rotate(data, tmp_path / "backups", keep=1)
    command = [sys.executable, "-c", FILLED, str(data), str(saved)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.split()[0] in {"store.full", "store.io"}  # as the file system calls it
    assert said.split()[1] == str(data / DATABASE_NAME)
    assert count(data) == 41
    assert not [name for name in names(data) if "replaced" in name or "part" in name]


def test_nothing_is_restored_under_a_running_process(data, tmp_path):
    saved = rotate(data, tmp_path / "backups", keep=1)
    with own(data), pytest.raises(StoreError, match=r"store\.locked"):
        restore(data, saved)


@pytest.mark.parametrize("content", [None, b"no database"])
def test_no_folder_is_made_for_what_cannot_be_restored(tmp_path, content):
    if content is not None:
        (tmp_path / "saved.sqlite3").write_bytes(content)
    with pytest.raises(StoreError):
        restore(tmp_path / "new", tmp_path / "saved.sqlite3")
    assert not (tmp_path / "new").exists()


@pytest.fixture
async def daily(data, tmp_path, clock):
    """Daily backups that run, with what they reported."""
    said = []
    daily = DailyBackups(data, tmp_path / "backups", keep=2, clock=clock, report=said.append)
    running = asyncio.create_task(daily.run())
    await clock.asleep(LOOK_SECONDS)
    yield said
    running.cancel()


async def passes(clock, seconds):
    """Let time pass in the steps that the backups take."""
    for _ in range(int(seconds / LOOK_SECONDS)):
        clock.advance(LOOK_SECONDS)
        await clock.asleep(LOOK_SECONDS)


async def test_one_backup_a_day_is_made(daily, tmp_path, clock):
    assert len(names(tmp_path / "backups")) == 1
    await passes(clock, DAY - 2 * LOOK_SECONDS)
    assert len(names(tmp_path / "backups")) == 1
    await passes(clock, 2 * LOOK_SECONDS)
    assert len(names(tmp_path / "backups")) == 2
    assert set(daily) == {None}


async def test_a_failure_is_reported_until_the_next_backup_succeeds(daily, data, tmp_path, clock):
    (data / DATABASE_NAME).rename(data / "away")
    await passes(clock, DAY)
    assert daily[-1].code == "store.missing"
    (data / "away").rename(data / DATABASE_NAME)
    await passes(clock, LOOK_SECONDS)
    assert daily[-1] is None
    assert len(names(tmp_path / "backups")) == 2


async def test_a_clock_that_was_ahead_does_not_stop_backups(daily, tmp_path, clock):
    clock.jump(-10 * DAY)
    await passes(clock, LOOK_SECONDS)
    assert len(names(tmp_path / "backups")) == 2


async def test_a_new_process_goes_on_with_the_age_of_the_last_backup(data, tmp_path, clock):
    last = rotate(data, tmp_path / "backups", keep=2)
    os.utime(last, (clock.now() - DAY + 60,) * 2)
    daily = DailyBackups(data, tmp_path / "backups", keep=2, clock=clock, report=print)
    running = asyncio.create_task(daily.run())
    await clock.asleep(60)
    assert names(tmp_path / "backups") == [last.name]
    clock.advance(60)
    await clock.asleep(LOOK_SECONDS)
    assert len(names(tmp_path / "backups")) == 2
    running.cancel()
