from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from inference.domain.errors import StoreError
from inference.store.backups import rotate
from inference.store.maintenance import DATABASE_NAME, backup, check, open_read_only
from inference.store.sqlite.migrate import migrations


@pytest.fixture
def data(tmp_path):
    with sqlite3.connect(tmp_path / DATABASE_NAME) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for number, sql in migrations():
            connection.executescript(sql)
            connection.execute(f"PRAGMA user_version = {number}")
    connection.close()
    return tmp_path


def test_a_sound_database_is_called_sound(data):
    health = check(data)
    assert health.problems == ()
    assert (health.schema, health.jobs) == (migrations()[-1][0], 0)


def test_a_backup_can_be_opened_and_is_complete(data, tmp_path):
    target = tmp_path / "copy" / DATABASE_NAME
    target.parent.mkdir()
    size = backup(data, target)
    assert size == target.stat().st_size
    assert check(target.parent).schema == migrations()[-1][0]


def test_a_backup_waits_for_a_writer_instead_of_failing(data, tmp_path):
    connection = sqlite3.connect(
        data / DATABASE_NAME, isolation_level=None, check_same_thread=False
    )
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE counters SET value = 7 WHERE name = 'sequence'")
    release = threading.Timer(0.2, lambda: connection.execute("COMMIT"))
    release.start()
    backup(data, tmp_path / "copy.sqlite3")
    release.join()
    connection.close()


def test_a_backup_never_writes_over_a_file(data, tmp_path):
    target = tmp_path / "copy.sqlite3"
    target.write_text("mine")
    with pytest.raises(StoreError, match="backup_exists"):
        backup(data, target)
    assert target.read_text() == "mine"


def test_a_backup_to_nowhere_leaves_nothing_behind(data, tmp_path):
    with pytest.raises(StoreError, match="backup_failed"):
        backup(data, tmp_path / "no" / "such" / "folder.sqlite3")


@pytest.mark.parametrize("operation", [check, lambda data: backup(data, data / "copy")])
def test_no_database_is_said_so(operation, tmp_path):
    with pytest.raises(StoreError, match=r"store\.missing"):
        operation(tmp_path)


def test_a_damaged_database_is_called_damaged(data):
    file = data / DATABASE_NAME
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    file.write_bytes(content)
    try:
        assert check(data).problems
    except StoreError as error:
        assert error.code == "store.corrupt"  # noqa: PT017 - either way of saying so will do


@pytest.mark.parametrize("operation", [check, lambda data: backup(data, data / "copy")])
def test_a_pipe_in_the_place_of_the_database_holds_nobody_up(tmp_path, operation):
    os.mkfifo(tmp_path / DATABASE_NAME)
    with pytest.raises(StoreError) as caught:
        operation(tmp_path)
    assert caught.value.code == "store.not_a_file"


def test_a_damaged_page_is_not_saved_as_if_it_were_a_backup(data, tmp_path):
    with contextlib.closing(sqlite3.connect(data / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox'"
        [(page,)] = connection.execute(query)
        [(size,)] = connection.execute("PRAGMA page_size")
    with (data / DATABASE_NAME).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(StoreError) as caught:
        backup(data, tmp_path / "copy.sqlite3")
    assert caught.value.code == "store.corrupt"
    assert not list(tmp_path.glob("copy*"))


def reads_it(data):
    with open_read_only(data / DATABASE_NAME) as connection:
        connection.execute("SELECT count(*) FROM jobs").fetchall()


COMES_AND_GOES = (
    "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
    " print(connection.execute('SELECT value FROM counters').fetchall()); connection.close()"
)


@pytest.mark.process
@pytest.mark.parametrize(
    "look", [reads_it, check, lambda data: rotate(data, data / "backups", keep=1)]
)
def test_a_look_by_the_owner_of_the_database_leaves_its_locks(data, look):
    """Closing any descriptor of a file drops all locks that the process has on it.

    Another process would then take itself for the last one, and delete the log that is in use.
    """
    path = data / DATABASE_NAME
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("UPDATE counters SET value = 7")
        look(data)
        command = [sys.executable, "-c", COMES_AND_GOES, str(path)]
        subprocess.run(command, check=True, capture_output=True)
        assert path.with_name(f"{path.name}-wal").exists()
        owner.execute("UPDATE counters SET value = 8")
        seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "8" in seen
    assert "7" not in seen
