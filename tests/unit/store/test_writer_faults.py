"""What goes wrong under the writer: everybody is answered, and the next write works."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from inference.domain.errors import StoreError
from inference.store.sqlite.database import open_database
from tests.unit.store.test_database import held, note, notes, piled_up, statement


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test.sqlite3"


@pytest.fixture
async def database(path):
    async with open_database(path) as database:
        await database.write("create", statement("CREATE TABLE notes (text TEXT)"))
        yield database


def sqlite_error(name):
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    return error


FAULTS = [
    ("SQLITE_LOCKED", "store.busy"),
    ("SQLITE_LOCKED_SHAREDCACHE", "store.busy"),
    ("SQLITE_BUSY", "store.busy"),
    ("SQLITE_BUSY_SNAPSHOT", "store.busy"),
    ("SQLITE_PROTOCOL", "store.busy"),
    ("SQLITE_NOMEM", "store.no_memory"),
    ("SQLITE_IOERR_NOMEM", "store.no_memory"),
    ("SQLITE_IOERR_WRITE", "store.io"),
    ("SQLITE_IOERR_FSYNC", "store.io"),
    ("SQLITE_FULL", "store.full"),
    ("SQLITE_READONLY", "store.read_only"),
    ("SQLITE_INTERRUPT", "store.interrupted"),
    ("SQLITE_CORRUPT", "store.corrupt"),
    ("SQLITE_CORRUPT_INDEX", "store.corrupt"),
    ("SQLITE_NOTADB", "store.corrupt"),
]


class Failing:
    """A connection that fails at some statements, as a driver or a disk would."""

    def __init__(self, connection, faults):
        self._connection = connection
        self._faults = faults

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def _fail(self, sql):
        for begin, error in self._faults.items():
            if sql.startswith(begin):
                raise error

    async def execute(self, sql, parameters=()):
        self._fail(sql)
        return await self._connection.execute(sql, parameters)

    async def execute_fetchall(self, sql, parameters=()):
        self._fail(sql)
        return await self._connection.execute_fetchall(sql, parameters)


@pytest.mark.cases(6)
@pytest.mark.parametrize("statement_", ["BEGIN", "INSERT", "COMMIT"])
@pytest.mark.parametrize(("name", "code"), FAULTS)
async def test_what_sqlite_says_of_the_machine_is_a_store_error_and_passes(
    database, statement_, name, code
):
    sound = database._writer
    database._writer = Failing(sound, {statement_: sqlite_error(name)})
    with pytest.raises(StoreError) as error:
        await database.write("note", note("lost"))
    assert error.value.code == code

    if isinstance(database._writer, Failing):  # it is still trusted, and sound again
        database._writer = sound
    await database.write("note", note("kept"))
    assert await notes(database) == ["kept"]


async def test_no_memory_as_python_says_it_is_a_store_error(database):
    async def work(_):
        raise MemoryError

    with pytest.raises(StoreError, match=r"store\.no_memory"):
        await database.write("note", work)
    await database.write("note", note("next"))
    assert await notes(database) == ["next"]


@pytest.mark.parametrize("together", [1, 5])
async def test_a_rollback_that_fails_costs_the_connection_and_no_later_write(database, together):
    sound = database._writer
    database._writer = Failing(sound, {"ROLLBACK": sqlite_error("SQLITE_IOERR")})

    async def breaks(connection):
        await connection.execute("INSERT INTO notes VALUES ('half')")
        raise ZeroDivisionError

    results = await piled_up(database, *[breaks] * together)
    assert all(isinstance(result, ZeroDivisionError | StoreError) for result in results)

    await database.write("note", note("whole"))
    assert await notes(database) == ["whole"]
    assert database._writer is not sound


@pytest.mark.parametrize("error", [RuntimeError("driver"), ValueError("no active connection")])
@pytest.mark.parametrize("at", ["BEGIN", "SAVEPOINT", "RELEASE", "COMMIT"])
async def test_an_error_that_is_not_sqlites_stops_nobody(database, at, error):
    database._writer = Failing(database._writer, {at: error})
    holding, release = await held_or_failed(database)
    writes = [asyncio.create_task(database.write("note", note(str(n)))) for n in range(3)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait_for(asyncio.gather(holding, *writes, return_exceptions=True), 60)

    if isinstance(database._writer, Failing):
        database._writer = database._writer._connection
    await asyncio.wait_for(database.write("note", note("after")), 60)
    assert "after" in await notes(database)


async def held_or_failed(database):
    began, release = asyncio.Event(), asyncio.Event()

    async def hold(_):
        began.set()
        await release.wait()

    holding = asyncio.create_task(database.write("hold", hold))
    await asyncio.wait({holding, asyncio.create_task(began.wait())}, return_when="FIRST_COMPLETED")
    return holding, release


async def test_a_connection_that_was_closed_under_it_is_opened_again(database):
    await database._writer.close()
    await database._reader.close()
    await database.write("note", note("one"))
    with contextlib.suppress(ValueError):
        await notes(database)  # finds out
    assert await notes(database) == ["one"]


async def test_a_transaction_that_somebody_left_open_does_not_block_the_next(database):
    await database._writer.execute("BEGIN IMMEDIATE")
    await database._writer.execute("INSERT INTO notes VALUES ('half')")
    await database.write("note", note("whole"))
    assert await notes(database) == ["whole"]


async def test_a_work_that_was_cancelled_inside_ends_alone(database):
    async def work(_):
        raise asyncio.CancelledError

    results = await piled_up(database, note("one"), work, note("two"))
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    assert await notes(database) == ["one", "two"]


async def test_who_writes_after_the_end_is_told_so_at_once(path):
    async with open_database(path) as database:
        pass
    with pytest.raises(StoreError, match=r"store\.closed"):
        await asyncio.wait_for(database.write("note", note("late")), 60)


async def test_a_writer_that_is_cancelled_leaves_nobody_waiting(path):
    async with open_database(path) as database:
        await database.write("create", statement("CREATE TABLE notes (text TEXT)"))
        holding, _ = await held(database)
        waiting = asyncio.create_task(database.write("note", note("one")))
        await asyncio.sleep(0)
        [writer] = [task for task in asyncio.all_tasks() if task.get_name() == "database-writer"]
        writer.cancel()
        answers = await asyncio.wait_for(
            asyncio.gather(holding, waiting, return_exceptions=True), 60
        )
    assert all(isinstance(answer, StoreError) for answer in answers)


async def test_text_that_is_not_utf8_can_be_read(database):
    await database.write("note", statement("INSERT INTO notes VALUES (CAST(x'61ff62' AS TEXT))"))
    assert await notes(database) == ["a\ufffdb"]
