"""The SQLite connection: one writer task, separate readers, WAL.

All writes go through one task, each as one transaction. A caller that is cancelled while it waits
never leaves half a transaction behind: the writer finishes it. What piles up while the disk is busy
is committed together, because waiting for the disk is what a commit costs.

A connection whose state is unsure after an error is replaced before it is used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import structlog

from inference import crash_points
from inference.bug_report import log_bug
from inference.domain.errors import StoreError
from inference.store.sqlite.connection import close, connect, is_broken, prepare
from inference.store.sqlite.diagnosis import (
    explain,
    is_full,
    leaves_unsound,
    translate_sqlite_errors,
)
from inference.store.sqlite.migrate import (
    PackageMigrations,
    copy_before,
    migrate,
    migrate_package,
    package_version,
)

T = TypeVar("T")
Work = Callable[[aiosqlite.Connection], Awaitable[T]]
Parameters = Sequence[Any] | Mapping[str, Any]
_Entry = tuple[str, Work[Any], asyncio.Future[Any]]

TOGETHER = 64
"""Writes in one commit at most: nobody waits for more than that many others."""

PURGE_PAGES = 200
"""Of an index of words, in one step of a purge."""

PURGE_TRIES = 5
PURGE_PAUSE_SECONDS = 0.2
"""Between tries to empty the log while others read or write."""

_log = structlog.get_logger(__name__)


class Database:
    """An open database. Make one with `open_database`."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self._path = path
        self._writer = writer
        self._writer_sound = True
        self._reader = reader
        self._reader_sound = True
        self._replacing = asyncio.Lock()
        self._work: asyncio.Queue[_Entry | None] = asyncio.Queue()
        self._closed = False
        self.damage: StoreError | None = None
        """That the file is damaged, once anything has met it; only another file mends that."""

    async def is_full(self) -> bool:
        """Return whether the disk has no room left for a change."""
        return await asyncio.to_thread(is_full, self._path)

    async def write(self, name: str, work: Work[T]) -> T:
        """Run `work` in a transaction and return its result.

        Args:
            name: Names the fault points `before:<name>` and `after:<name>` around the commit.
            work: Awaited with the writing connection, and once more if the disk refused it
                together with others. An exception takes back everything it did.

        Raises:
            StoreError: The disk is full or read-only, the file is damaged, another program holds
                it, or the database has been closed.
        """
        if self._closed:
            raise StoreError("store.closed", path=str(self._path))
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work.put_nowait((name, work, future))
        return await asyncio.shield(future)

    async def execute(self, name: str, sql: str, parameters: Parameters = ()) -> None:
        """Run one statement in a transaction of its own; see `write`."""
        await self.write(name, lambda connection: connection.execute(sql, parameters))

    async def read(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Return all rows of a query on the reading connection (sees every commit).

        Raises:
            StoreError: The disk or the file does not let it be read.
        """
        reader = await self._sound_reader()
        try:
            return list(await reader.execute_fetchall(sql, parameters))
        except Exception as error:
            if reader is self._reader and (leaves_unsound(error) or await is_broken(reader)):
                self._reader_sound = False
            found = await self._explained(error)
            if found is None:
                raise
            raise found from error

    async def migrate(self, package: PackageMigrations, seconds: float | None = None) -> None:
        """Bring the tables of a package to the version that it knows.

        What has older tables is copied first: there is no way back otherwise.

        Args:
            package: Whose tables they are.
            seconds: That this may take; everything stays as it was once it takes longer.

        Raises:
            StoreError: See `migrate_package`; also what `write` raises.
            TimeoutError: It took too long.
        """
        [[schema]] = await self.read("PRAGMA user_version")
        version = await package_version(self._reader, package.name)
        if 0 < version < package.steps()[-1][0]:
            await asyncio.to_thread(copy_before, self._path, schema)
        await self.write(
            "migrate", lambda connection: migrate_package(connection, self._path, package, seconds)
        )

    async def purge(self, table: str) -> None:
        """Remove deleted text from the full-text index, free pages and the log.

        Args:
            table: A full-text table. Its index drops what was deleted only when it is merged,
                which is done in small steps, so that other writes get in between.
        """
        pages = -PURGE_PAGES  # the first step takes all parts of the index together

        async def merge(connection: aiosqlite.Connection) -> int:
            before = connection.total_changes
            await connection.execute(
                f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)", (pages,)
            )
            return connection.total_changes - before

        while await self.write("purge", merge) > 1:
            pages = PURGE_PAGES
        for _ in range(PURGE_TRIES):
            [row] = await self.read("PRAGMA wal_checkpoint(TRUNCATE)")
            if not row[0]:
                return
            await asyncio.sleep(PURGE_PAUSE_SECONDS)
        _log.warning("store.not_purged")

    def remember(self, error: StoreError) -> None:
        """Remember an error if it says that this file is damaged; a backup may find that too."""
        if error.code == "store.corrupt":
            self.damage = error

    async def serve(self) -> None:
        """Run the writer until `close` was called and everything is written.

        However it ends, nobody is left waiting: who still waits then is told that it is closed.
        """
        try:
            while entry := await self._work.get():
                await self._serve(self._with_following(entry))
        finally:
            self._closed = True
            while not self._work.empty():
                if (left := self._work.get_nowait()) is not None:
                    _settle(left[2], error=StoreError("store.closed", path=str(self._path)))

    def close(self) -> None:
        """Let `serve` end after the pending writes."""
        self._work.put_nowait(None)

    async def disconnect(self) -> None:
        """Close the connections; `serve` must have ended."""
        for connection in (self._reader, self._writer):
            await close(connection)

    # -- writing -----------------------------------------------------------------------------

    def _with_following(self, entry: _Entry) -> list[_Entry]:
        """Return a write with those that wait behind it, as far as they go together."""
        entries = [entry]
        while len(entries) < TOGETHER and not self._work.empty():
            following = self._work.get_nowait()
            if following is None:
                self.close()  # to be found again once these are written
                break
            entries.append(following)
        return entries

    async def _serve(self, entries: Sequence[_Entry]) -> None:
        """Settle all of these, whatever happens."""
        try:
            if len(entries) == 1 or not await self._written_together(entries):
                for single in entries:
                    await self._written(single)
        except Exception as error:  # noqa: BLE001 - a bug here must not stop the writer
            self._writer_sound = False
            log_bug(_log, "store.writer_bug", error)
        finally:
            for _, _, future in entries:
                _settle(future, error=StoreError("store.interrupted", path=str(self._path)))

    async def _written(self, entry: _Entry) -> None:
        name, work, future = entry
        try:
            result = await self._transaction(name, work)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # A cancellation inside the work must not end the writer.
            _settle(future, error=StoreError("store.interrupted", path=str(self._path)))
        except Exception as error:  # noqa: BLE001 - a caller's bug is raised in the caller
            _settle(future, error=await self._explained(error) or error)
        else:
            _settle(future, result=result)

    async def _written_together(self, entries: Sequence[_Entry]) -> bool:
        """Commit several writes in one transaction; one that fails rolls back only its own changes.

        Returns:
            False when the database did not take them together: then nothing was written.
        """
        outcomes: list[tuple[_Entry, Any, Exception | None]] = []
        try:
            await self._begin()
            for entry in entries:
                name, work, _ = entry
                await self._writer.execute("SAVEPOINT one")
                try:
                    outcomes.append((entry, await work(self._writer), None))
                    crash_points.point(f"before:{name}")
                except (sqlite3.Error, MemoryError):
                    raise  # it may have ended the transaction of all: alone it will be told why
                except Exception as error:  # noqa: BLE001 - as above
                    await self._writer.execute("ROLLBACK TO one")
                    outcomes.append((entry, None, error))
            await self._writer.execute("COMMIT")  # of all savepoints as well
        except (Exception, asyncio.CancelledError) as error:
            await self._roll_back(error)
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return False
        for (name, _, future), result, problem in outcomes:
            if problem is None:
                crash_points.point(f"after:{name}")
            _settle(future, result=result, error=problem)
        return True

    async def _transaction(self, name: str, work: Work[T]) -> T:
        try:
            await self._begin()
            result = await work(self._writer)
            crash_points.point(f"before:{name}")
            await self._writer.execute("COMMIT")
        except BaseException as error:
            await self._roll_back(error)
            raise
        crash_points.point(f"after:{name}")
        return result

    async def _begin(self) -> None:
        """Begin a transaction, on a new connection where the old one is of no use any more."""
        if self._writer_sound:
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
            except Exception as error:
                if await self._explained(error) is not None:
                    raise  # busy, full, read-only: another connection would be told the same now
            else:
                return
        await self._replace_writer()
        await self._writer.execute("BEGIN IMMEDIATE")

    async def _roll_back(self, error: BaseException) -> None:
        """Take back an open transaction; a connection that cannot is replaced before the next."""
        if leaves_unsound(error):
            self._writer_sound = False
        try:
            if self._writer.in_transaction:
                await self._writer.execute("ROLLBACK")
            if self._writer.in_transaction:
                self._writer_sound = False
        except Exception:  # noqa: BLE001 - whatever it was, this connection is not to be trusted
            self._writer_sound = False

    # -- connections -------------------------------------------------------------------------

    async def _replace_writer(self) -> None:
        """Open another writing connection in place of one whose state is unsure.

        Raises:
            StoreError: It cannot be opened now; the next write tries again.
        """
        self._writer_sound = False
        await close(self._writer)
        self._writer = await connect(self._path, make=False)
        self._writer_sound = True
        _log.warning("store.reconnected", connection="writer")

    async def _sound_reader(self) -> aiosqlite.Connection:
        async with self._replacing:
            if not self._reader_sound:
                await close(self._reader)
                self._reader = await connect(self._path, make=False)
                self._reader_sound = True
                _log.warning("store.reconnected", connection="reader")
            return self._reader

    async def _explained(self, error: BaseException) -> StoreError | None:
        if isinstance(error, OSError):  # of what the caller's work did with files
            return None
        found = await asyncio.to_thread(explain, error, self._path)
        if found is not None:
            self.remember(found)
        return found


def _settle(future: asyncio.Future[Any], *, result: Any = None, error: Any = None) -> None:
    if future.done():  # the loop is going down and cancelled it
        return
    if error is not None:
        future.set_exception(error)
        future.exception()  # a caller that was cancelled will never look: not worth a warning
    else:
        future.set_result(result)


@contextlib.asynccontextmanager
async def open_database(path: Path, *packages: PackageMigrations) -> AsyncIterator[Database]:
    """Open, check, migrate and serve the database for the length of the block.

    Args:
        path: Its file; made where there is none.
        packages: Migrations of packages that have tables in it.

    Raises:
        StoreError: It cannot be opened, written or understood, or is not one of Rushes.
    """
    await asyncio.to_thread(prepare, path)
    async with contextlib.AsyncExitStack() as stack:
        with translate_sqlite_errors(path, opening=True):
            writer = await connect(path, make=True)
            stack.push_async_callback(close, writer)
            await migrate(writer, path)
            reader = await connect(path, make=False)
        database = Database(path, writer, reader)
        stack.pop_all()
    serving = asyncio.create_task(database.serve(), name="database-writer")
    try:
        for package in packages:
            await database.migrate(package)
        yield database
    finally:
        database.close()
        await asyncio.wait({serving})
        await database.disconnect()
