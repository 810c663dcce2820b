"""Each cause has its own sentence; "damaged" is said of damaged files only."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat

import pytest

from commands.text.messages import error_text
from inference.domain.errors import StoreError
from inference.store.maintenance import DATABASE_NAME, backup, check
from inference.store.sqlite import diagnosis, migrate
from inference.store.sqlite.database import open_database
from inference.store.sqlite.migrate import COPIES_KEPT, migrations
from tests.fakes.privileges import held_to_permissions

LATEST = migrations()[-1][0]


@pytest.fixture
async def data(tmp_path):
    async with open_database(tmp_path / DATABASE_NAME):
        pass
    return tmp_path


async def run(data):
    async with open_database(data / DATABASE_NAME):
        pass


def executed(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for sql in statements:
            connection.execute(sql)


async def checked(data):
    check(data)


async def saved(data):
    backup(data, data / "copy")


async def said(data):
    """Return the code that check, backup and run agree on."""
    codes = set()
    for what in (checked, saved, run):
        with pytest.raises(StoreError) as error:
            await what(data)
        codes.add(error.value.code)
        for locale in ("en", "ko"):
            assert "{" not in error_text(error.value, locale)
    [code] = codes
    return code


async def test_another_programs_database_is_called_foreign_and_not_touched(tmp_path):
    path = tmp_path / DATABASE_NAME
    executed(path, "CREATE TABLE bookmarks (url TEXT)", "PRAGMA user_version = 3")
    before = path.read_bytes()
    assert await said(tmp_path) == "store.foreign"
    assert path.read_bytes() == before


async def test_another_programs_database_with_a_table_of_our_name_is_foreign(tmp_path):
    executed(tmp_path / DATABASE_NAME, "CREATE TABLE jobs (company TEXT)")
    assert await said(tmp_path) == "store.foreign"


async def test_a_database_with_another_application_id_is_foreign(data):
    executed(data / DATABASE_NAME, "PRAGMA application_id = 7")
    assert await said(data) == "store.foreign"


async def test_a_database_that_lacks_a_column_is_called_incomplete_and_names_it(data):
    executed(data / DATABASE_NAME, "ALTER TABLE jobs DROP COLUMN notes")
    assert await said(data) == "store.incomplete"
    with pytest.raises(StoreError, match=r"jobs\.notes"):
        check(data)


async def test_a_newer_database_is_called_newer_and_names_who_wrote_it(data):
    executed(
        data / DATABASE_NAME,
        "INSERT INTO releases SELECT max(schema) + 1, '9.9.9', 0 FROM releases",
        f"PRAGMA user_version = {LATEST + 1}",
    )
    assert await said(data) == "store.too_new"
    with pytest.raises(StoreError, match=r"9\.9\.9"):
        check(data)


async def test_a_damaged_file_is_called_damaged(tmp_path):
    (tmp_path / DATABASE_NAME).write_bytes(b"my holiday pictures" * 1000)
    assert await said(tmp_path) == "store.corrupt"


async def test_a_folder_in_its_place_is_called_one(tmp_path):
    (tmp_path / DATABASE_NAME).mkdir()
    assert await said(tmp_path) == "store.not_a_file"


def test_an_empty_file_is_no_database(tmp_path):
    (tmp_path / DATABASE_NAME).touch()
    with pytest.raises(StoreError, match=r"store\.empty"):
        check(tmp_path)


async def test_a_locked_database_is_called_locked(data, monkeypatch):
    path = data / DATABASE_NAME
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        connect = sqlite3.connect
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **named: connect(*args, **{**named, "timeout": 0.05})
        )
        assert await said(data) == "store.in_use"


async def test_a_file_of_somebody_else_is_called_that(data):
    (data / DATABASE_NAME).chmod(0o000)
    with held_to_permissions(), pytest.raises(StoreError, match=r"store\.mode"):
        check(data)


@pytest.mark.parametrize("code", ["store.read_only", "store.no_permission", "store.leftover"])
def test_a_sound_database_that_cannot_be_written_is_sound_and_says_why(data, monkeypatch, code):
    # A disk that is mounted read-only needs a privilege: only what the file system says is played.
    executed(data / DATABASE_NAME, "UPDATE counters SET value = 5 WHERE name = 'sequence'")
    found = StoreError(code, path=str(data))
    monkeypatch.setattr("inference.store.maintenance.obstacle", lambda _: found)
    health = check(data)
    assert (health.problems, health.obstacle) == ((), found)
    assert backup(data, data / "copy") > 0


@pytest.mark.parametrize(
    ("number", "code"),
    [(30, "store.read_only"), (13, "store.mode"), (28, "store.full"), (5, "store.io")],
)
def test_what_the_disk_says_has_its_own_code(tmp_path, number, code):
    error = diagnosis.explain(OSError(number, os.strerror(number)), tmp_path)
    assert error is not None
    assert error.code == code


@pytest.mark.parametrize(("kind", "code"), [("nfs4", "store.network"), ("ext4", "store.io")])
def test_a_lock_that_fails_on_a_network_file_system_is_told_as_that(
    tmp_path, monkeypatch, kind, code
):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_LOCK
    monkeypatch.setattr(diagnosis, "file_system", lambda _: kind)
    assert diagnosis.explain(error, tmp_path / "db").code == code


# -- the copy before a migration -------------------------------------------------------------


def older(path, number):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for each, sql in migrations():
            if each <= number:
                connection.executescript(f"{sql}\nPRAGMA user_version = {each};")
        connection.execute("INSERT INTO counters VALUES ('mine', 42)")
        connection.commit()


def found_copies(path):
    return sorted(path.parent.glob(f"{path.name}.schema-*.bak"))


async def test_a_copy_of_the_old_schema_lies_beside_the_migrated_database(tmp_path):
    path = tmp_path / DATABASE_NAME
    older(path, 5)
    await run(tmp_path)
    [copy] = found_copies(path)
    assert ".schema-5.20" in copy.name
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (5,)
        query = "SELECT value FROM counters WHERE name = 'mine'"
        assert connection.execute(query).fetchone() == (42,)
    await run(tmp_path)
    assert found_copies(path) == [copy], "nothing was migrated the second time"


async def test_a_new_database_has_nothing_to_copy(data):
    assert found_copies(data / DATABASE_NAME) == []


async def test_only_a_few_copies_are_kept_and_nothing_else_is_deleted(tmp_path):
    path = tmp_path / DATABASE_NAME
    theirs = tmp_path / f"{DATABASE_NAME}.schema-1.mine.bak"
    theirs.write_text("mine")
    for _ in range(COPIES_KEPT + 2):
        path.unlink(missing_ok=True)
        older(path, 3)
        await run(tmp_path)
    assert len([copy for copy in found_copies(path) if copy != theirs]) == COPIES_KEPT
    assert theirs.read_text() == "mine"


async def test_without_room_for_the_copy_nothing_is_migrated(tmp_path, monkeypatch):
    path = tmp_path / DATABASE_NAME
    older(path, 5)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrate, "_sync", full)
    with pytest.raises(StoreError, match=r"store\.no_copy"):
        await run(tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (5,)
    assert sorted(each.name for each in tmp_path.iterdir() if "schema" in each.name) == []


async def test_an_old_build_names_the_copy_from_before_the_update(tmp_path):
    path = tmp_path / DATABASE_NAME
    older(path, LATEST - 1)
    await run(tmp_path)
    [copy] = found_copies(path)
    executed(path, f"PRAGMA user_version = {LATEST + 1}")
    assert await said(tmp_path) == "store.too_new_copy"
    with pytest.raises(StoreError) as error:
        check(tmp_path)
    assert str(copy) in error_text(error.value, "en")
