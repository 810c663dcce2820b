from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from inference.domain.errors import StoreError, UserError
from inference.store.sqlite.database import open_database

BIG = "x" * 100_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test.sqlite3"


@pytest.fixture
async def database(path):
    async with open_database(path) as database:
        await database.write("create", statement("CREATE TABLE notes (text TEXT)"))
        yield database


def statement(sql, *parameters):
    async def work(connection):
        await connection.execute(sql, parameters)

    return work


def note(text):
    return statement("INSERT INTO notes VALUES (?)", text)


async def notes(database):
    return [row["text"] for row in await database.read("SELECT text FROM notes")]


async def test_a_write_is_seen_by_the_next_read_and_returns_what_its_work_returned(database):
    async def work(connection):
        await connection.execute("INSERT INTO notes VALUES ('one')")
        return 42

    assert await database.write("note", work) == 42
    assert await notes(database) == ["one"]


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), UserError("no"), StoreError("no")])
async def test_an_error_rolls_the_whole_transaction_back_and_the_writer_goes_on(database, error):
    async def work(connection):
        await connection.execute("INSERT INTO notes VALUES ('half')")
        raise error

    with pytest.raises(type(error)) as raised:
        await database.write("note", work)

    assert raised.value is error
    await database.write("note", note("whole"))
    assert await notes(database) == ["whole"]


async def test_writes_happen_one_after_the_other_in_the_order_they_came(database):
    async def work(connection):
        [(before,)] = await connection.execute_fetchall("SELECT count(*) FROM notes")
        await asyncio.sleep(0)
        await connection.execute("INSERT INTO notes VALUES (?)", (str(before),))
        return before

    counts = await asyncio.gather(*[database.write("note", work) for _ in range(20)])

    assert counts == list(range(20))


@pytest.mark.parametrize("when", ["it waits", "it is written"])
async def test_a_cancelled_caller_leaves_a_whole_write_and_a_working_writer(database, when):
    inside, released = asyncio.Event(), asyncio.Event()

    async def slow(connection):
        await connection.execute("INSERT INTO notes VALUES ('one')")
        inside.set()
        await released.wait()
        await connection.execute("INSERT INTO notes VALUES ('two')")

    first = asyncio.create_task(database.write("note", slow))
    second = asyncio.create_task(database.write("note", note("three")))
    await inside.wait()

    cancelled = first if when == "it is written" else second
    cancelled.cancel()
    await asyncio.wait({cancelled})
    released.set()
    await database.write("note", note("four"))

    assert cancelled.cancelled()
    assert await notes(database) == ["one", "two", "three", "four"]


async def test_an_error_of_a_write_whose_caller_is_gone_disturbs_nobody(database):
    released = asyncio.Event()

    async def failing(connection):
        await released.wait()
        raise ZeroDivisionError

    caller = asyncio.create_task(database.write("note", failing))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    released.set()

    await database.write("note", note("next"))
    assert await notes(database) == ["next"]


async def test_closing_writes_what_was_handed_in_before(path):
    async with open_database(path) as database:
        await database.write("create", statement("CREATE TABLE notes (text TEXT)"))
        writing = [asyncio.create_task(database.write("note", note("n"))) for _ in range(10)]
        await asyncio.sleep(0)

    assert all(task.done() for task in writing)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (10,)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        pytest.param("journal_mode", "wal", id="readers do not wait for the writer"),
        pytest.param("synchronous", 2, id="a commit survives a power cut"),
        pytest.param("foreign_keys", 1, id="rows go together"),
    ],
)
async def test_both_connections_are_set_up_the_same(database, pragma, value):
    for connection in (database._writer, database._reader):
        [(set_to,)] = await connection.execute_fetchall(f"PRAGMA {pragma}")
        assert set_to == value


# -- when the disk or the file is not usable -------------------------------------------------


async def test_a_full_disk_is_a_store_error_and_passes(database):
    await database._writer.execute("PRAGMA max_page_count = 1")

    with pytest.raises(StoreError, match=r"store\.full"):
        await database.write("note", note(BIG))

    await database._writer.execute("PRAGMA max_page_count = 100000")
    await database.write("note", note("small"))
    assert await notes(database) == ["small"]


async def test_a_disk_that_is_read_only_is_a_store_error(database):
    await database._writer.execute("PRAGMA query_only = ON")

    with pytest.raises(StoreError, match=r"store\.read_only"):
        await database.write("note", note("one"))


async def test_a_file_somebody_else_holds_is_a_store_error_and_passes(path, database):
    await database._writer.execute("PRAGMA busy_timeout = 0")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match=r"store\.busy"):
            await database.write("note", note("one"))

    await database.write("note", note("two"))
    assert await notes(database) == ["two"]


async def test_a_programming_error_is_not_blamed_on_the_disk(database):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.write("note", statement("INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(sqlite3.IntegrityError):
        await database.write("note", statement("INSERT INTO jobs (id) VALUES ('x')"))


async def test_a_folder_that_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(StoreError) as error:
        async with open_database(tmp_path / "nowhere" / "test.sqlite3"):
            pass

    assert error.value.code == "store.read_only"
    assert error.value.params["path"].endswith("nowhere/test.sqlite3")


async def test_a_file_that_is_no_database_is_left_alone(path):
    path.write_bytes(b"my holiday pictures" * 100)

    with pytest.raises(StoreError, match=r"store\.corrupt"):
        async with open_database(path):
            pass

    assert path.read_bytes() == b"my holiday pictures" * 100


async def many_notes(connection):
    await connection.executemany("INSERT INTO notes VALUES (?)", [("x" * 50,)] * 2000)


async def test_a_damaged_page_is_found_when_it_is_read(path):
    async with open_database(path) as database:
        await database.write("create", statement("CREATE TABLE notes (text TEXT)"))
        await database.write("note", many_notes)
    data = bytearray(path.read_bytes())
    # The table grew last, so the last pages are its own, whatever it reused before.
    for offset in range(len(data) - 10 * 4096, len(data), 4096):
        data[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(data)

    async with open_database(path) as database:
        with pytest.raises(StoreError, match=r"store\.corrupt"):
            await notes(database)


async def held(database):
    """Hold the writer up; what is handed in until `release` is set piles up behind it."""
    began, release = asyncio.Event(), asyncio.Event()

    async def hold(_):
        began.set()
        await release.wait()

    holding = asyncio.create_task(database.write("hold", hold))
    await began.wait()
    return holding, release


async def piled_up(database, *works):
    """Hand works in while the writer is busy; return what each of them gave or raised."""
    holding, release = await held(database)
    writes = [asyncio.create_task(database.write("note", work)) for work in works]
    await asyncio.sleep(0)
    release.set()
    results = await asyncio.gather(*writes, return_exceptions=True)
    await holding
    return results


async def test_what_piles_up_is_committed_at_once(database):
    statements = []
    await database._writer.set_trace_callback(statements.append)

    await piled_up(database, *(note(str(number)) for number in range(20)))

    assert statements.count("COMMIT") == 2  # of what held the writer up, and of all twenty
    assert await notes(database) == [str(number) for number in range(20)]


async def test_one_failure_in_the_pile_takes_back_only_its_own(database):
    async def fails(connection):
        await connection.execute("INSERT INTO notes VALUES ('half')")
        raise UserError("no")

    async def breaks(connection):
        await connection.execute("INSERT INTO notes VALUES ('half')")
        await connection.execute("INSERT INTO nowhere VALUES (1)")

    first, refused, broken, last = await piled_up(database, note("one"), fails, breaks, note("two"))

    assert (first, last) == (None, None)
    assert isinstance(refused, UserError)
    assert isinstance(broken, sqlite3.OperationalError)
    assert await notes(database) == ["one", "two"]


async def test_a_disk_that_is_full_refuses_only_what_does_not_fit(database):
    await database._writer.execute("PRAGMA max_page_count = 8")

    first, refused, last = await piled_up(database, note("one"), note(BIG), note("two"))

    assert (first, last) == (None, None)
    assert isinstance(refused, StoreError)
    assert refused.code == "store.full"
    assert await notes(database) == ["one", "two"]


async def test_closing_waits_for_the_pile(path):
    async with open_database(path) as database:
        await database.write("create", statement("CREATE TABLE notes (text TEXT)"))
        writes = [asyncio.create_task(database.write("note", note(str(n)))) for n in range(200)]
        await asyncio.sleep(0)
    assert all(write.done() for write in writes)
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM notes").fetchone() == (200,)
