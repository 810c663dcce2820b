"""The SQLite connection: one writer task, separate readers, WAL.

All writes go through one task, each as one transaction. A caller that is cancelled while it waits
never leaves half a transaction behind: the writer finishes it. What piles up while the disk is busy
is committed together, because waiting for the disk is what a commit costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from inference import faults
from inference.errors import StoreError
from inference.store.migrate import migrate

T = TypeVar("T")
Work = Callable[[aiosqlite.Connection], Awaitable[T]]
Parameters = Sequence[Any] | Mapping[str, Any]
_Entry = tuple[str, Work[Any], asyncio.Future[Any]]

TOGETHER = 64
"""Writes in one commit at most: nobody waits for more than that many others."""

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # acceptance survives a power cut, not only a crash
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
)


class Database:
    """An open database. Make one with `open_database`."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._work: asyncio.Queue[_Entry | None] = asyncio.Queue()

    async def write(self, name: str, work: Work[T]) -> T:
        """Run `work` as if in a transaction of its own and return what it returns.

        Args:
            name: Names the fault points `before:<name>` and `after:<name>` around the commit.
            work: Awaited with the writing connection, and once more if the disk refused it
                together with others. An exception takes back everything it did.

        Raises:
            StoreError: The disk is full or read-only, the file is damaged, or another program
                holds it.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work.put_nowait((name, work, future))
        return await asyncio.shield(future)

    async def read(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Return all rows of a query on the reading connection (sees every commit)."""
        with _translated(self._path):
            return list(await self._reader.execute_fetchall(sql, parameters))

    async def serve(self) -> None:
        """Write until `close` was called and all is written."""
        while entry := await self._work.get():
            entries = [entry]
            while len(entries) < TOGETHER and not self._work.empty():
                following = self._work.get_nowait()
                if following is None:
                    self.close()  # to be found again once these are written
                    break
                entries.append(following)
            if len(entries) == 1 or not await self._written_together(entries):
                for single in entries:
                    await self._written(single)

    def close(self) -> None:
        """Let `serve` end once everything handed in before has been written."""
        self._work.put_nowait(None)

    async def _written(self, entry: _Entry) -> None:
        name, work, future = entry
        try:
            result = await self._transaction(name, work)
        except Exception as error:  # noqa: BLE001 - also the caller's bug is the caller's to see
            _settle(future, error=error)
        else:
            _settle(future, result=result)

    async def _written_together(self, entries: Sequence[_Entry]) -> bool:
        """Commit several writes at once; one that fails takes back only what it did itself.

        Returns:
            False when the database did not take them together: then nothing was written.
        """
        outcomes: list[tuple[_Entry, Any, Exception | None]] = []
        try:
            await self._writer.execute("BEGIN IMMEDIATE")
            for entry in entries:
                name, work, _ = entry
                await self._writer.execute("SAVEPOINT one")
                try:
                    outcomes.append((entry, await work(self._writer), None))
                    faults.point(f"before:{name}")
                except sqlite3.Error:
                    raise  # it may have ended the transaction of all: alone it will be told why
                except Exception as error:  # noqa: BLE001 - as above
                    await self._writer.execute("ROLLBACK TO one")
                    outcomes.append((entry, None, error))
                await self._writer.execute("RELEASE one")
            await self._writer.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                await self._writer.execute("ROLLBACK")
            return False
        for (name, _, future), result, problem in outcomes:
            if problem is None:
                faults.point(f"after:{name}")
            _settle(future, result=result, error=problem)
        return True

    async def _transaction(self, name: str, work: Work[T]) -> T:
        with _translated(self._path):
            await self._writer.execute("BEGIN IMMEDIATE")
            try:
                result = await work(self._writer)
                faults.point(f"before:{name}")
                await self._writer.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    await self._writer.execute("ROLLBACK")
                raise
        faults.point(f"after:{name}")
        return result


def _settle(future: asyncio.Future[Any], *, result: Any = None, error: Any = None) -> None:
    if future.done():  # the loop is going down and cancelled it
        return
    if error is not None:
        future.set_exception(error)
        future.exception()  # a caller that was cancelled will never look: not worth a warning
    else:
        future.set_result(result)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's complaints about disk and file into `StoreError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = CODES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if code is None:
            raise
        raise StoreError(code, path=str(path)) from error


CODES = {
    sqlite3.SQLITE_FULL: "store.full",
    sqlite3.SQLITE_READONLY: "store.read_only",
    sqlite3.SQLITE_CANTOPEN: "store.read_only",
    sqlite3.SQLITE_IOERR: "store.full",
    sqlite3.SQLITE_BUSY: "store.busy",
    sqlite3.SQLITE_CORRUPT: "store.corrupt",
    sqlite3.SQLITE_NOTADB: "store.corrupt",
}
"""What SQLite's primary result codes mean to an operator."""


@contextlib.asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    """Open, check, migrate and serve the database for the length of the block.

    Raises:
        StoreError: It cannot be opened, written or understood.
    """
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.to_thread(_make_private, path)
        with _translated(path):
            writer = await stack.enter_async_context(_connect(path))
            await migrate(writer)
            reader = await stack.enter_async_context(_connect(path))
        database = Database(path, writer, reader)
        serving = asyncio.create_task(database.serve(), name="database-writer")
        try:
            yield database
        finally:
            database.close()
            await serving


def _make_private(path: Path) -> None:
    """Let only the owner read it, and what SQLite puts beside it: prompts and tokens are in it."""
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError as error:
        raise StoreError("store.read_only", path=str(path)) from error


@contextlib.asynccontextmanager
async def _connect(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    # Opened outside of aiosqlite: its thread would outlive the loop if it could not open the file.
    opened = await asyncio.to_thread(
        sqlite3.connect, path, isolation_level=None, check_same_thread=False
    )
    async with aiosqlite.Connection(lambda: opened, iter_chunk_size=64) as connection:
        connection.row_factory = sqlite3.Row
        for pragma in _PRAGMAS:
            await connection.execute(pragma)
        yield connection
