"""Backup and integrity check of the database file, for the command line."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inference.domain.errors import StoreError
from inference.domain.job import Job
from inference.store.codec.rows import DamagedRow, act_repairs, job_from_row, redact_key
from inference.store.sqlite.diagnosis import explain, obstacle, translate_sqlite_errors
from inference.store.sqlite.migrate import copy_database, migrations
from inference.store.sqlite.schema import schema_of
from inference.store.sqlite.undecodable import UndecodableText

QUARANTINE_SINCE = 8
"""The schema version with a table of rows that were set aside."""

DATABASE_NAME = "rushes.sqlite3"
"""In the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseHealth:
    """Result of an integrity check."""

    schema: int
    jobs: int
    unfinished: int
    undelivered: int
    problems: tuple[str, ...]
    """Empty when the file is sound."""
    damaged: tuple[str, ...] = ()
    """Rows that cannot be decoded: table, key and column. They are set aside when they are read."""
    quarantined: tuple[str, ...] = ()
    """The same of rows that were set aside."""
    obstacle: StoreError | None = None
    """Why a sound file cannot be used where it lies."""
    latest: int
    """The schema that the next start brings it to; rows of an earlier one are not read here."""


def backup(data_directory: Path, target: Path) -> int:
    """Copy the database as of now to a new file, also while a process is using it.

    Returns:
        The size of the copy in bytes.

    Raises:
        StoreError: There is nothing to copy, it is damaged, or the copy cannot be written.
    """
    path = data_directory / DATABASE_NAME
    if target.exists():
        raise StoreError("store.backup_exists", path=str(target))
    part = target.with_name(target.name + ".part")
    try:
        with open_read_only(path) as source:
            schema_of(source, path)
            try:
                copy_database(source, part)
                if not is_sound(part):  # a page is copied whatever is in it
                    raise StoreError("store.corrupt", path=str(path))
                part.replace(target)
                return target.stat().st_size
            except sqlite3.Error as error:
                found = explain(error, target)
                if found is None or found.code not in {"store.full", "store.io"}:
                    raise
                raise found from error
            except OSError as error:
                problem = os.strerror(error.errno or 0)
                raise StoreError(
                    "store.backup_failed", path=str(target), problem=problem
                ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def hindrance(data_directory: Path) -> StoreError | None:
    """Return why a start would refuse the database, or None; does not read all of it."""
    path = data_directory / DATABASE_NAME
    if not os.path.exists(path):  # noqa: PTH110 - pathlib's raises behind a closed folder
        return None
    try:
        with open_read_only(path) as connection:
            schema_of(connection, path)
    except StoreError as error:
        return error
    return obstacle(path)


def check(data_directory: Path) -> DatabaseHealth:
    """Check the integrity of the whole database; changes nothing.

    Raises:
        StoreError: There is no database, it is not one of this Rushes, or cannot be read.
    """
    path = data_directory / DATABASE_NAME
    with open_read_only(path) as connection:
        version, latest = schema_of(connection, path), migrations()[-1][0]
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        problems += [
            f"{row[0]} row {row[1]} refers to a missing {row[2]}"
            for row in connection.execute("PRAGMA foreign_key_check")
        ]
        return DatabaseHealth(
            schema=version,
            jobs=_number(connection, "SELECT count(*) FROM jobs"),
            unfinished=_number(connection, "SELECT count(*) FROM jobs WHERE ended_at IS NULL"),
            undelivered=_number(
                connection, "SELECT count(*) FROM outbox WHERE shown < wanted AND dead = 0"
            ),
            problems=tuple(problem for problem in problems if problem != "ok"),
            damaged=tuple(_undecodable(connection)) if version == latest else (),
            quarantined=tuple(
                " ".join(_plain(value) for value in row)
                for row in connection.execute(
                    "SELECT source, key, reason FROM quarantine ORDER BY id"
                )
            )
            if version >= QUARANTINE_SINCE
            else (),
            obstacle=obstacle(path),
            latest=latest,
        )


def read_delivered_jobs(data_directory: Path, limit: int) -> list[Job]:
    """Return the newest delivered jobs, oldest of them first, without those that are damaged.

    Raises:
        StoreError: The database cannot be read.
    """
    path = data_directory / DATABASE_NAME
    if not path.exists():
        return []
    found = []
    with open_read_only(path) as connection:
        schema_of(connection, path)
        connection.row_factory = sqlite3.Row
        for row in connection.execute(
            "SELECT * FROM jobs WHERE state = 'done' ORDER BY ended_at DESC LIMIT ?", (limit,)
        ):
            with contextlib.suppress(DamagedRow, LookupError):  # an older schema has fewer columns
                found.append(job_from_row(row))
    return found[::-1]


def _plain(value: object) -> str:
    """Return a column of the quarantine, which may be damaged itself, for a terminal."""
    is_text = isinstance(value, str) and not isinstance(value, UndecodableText)
    return str(value) if is_text and str(value).isprintable() else "?"


def is_sound(path: Path) -> bool:
    """Return whether every page of a database file is in order."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return passes_check(connection)


def passes_check(connection: sqlite3.Connection) -> bool:
    """Return whether every page of an open database is in order."""
    return [row[0] for row in connection.execute("PRAGMA quick_check(1)")] == ["ok"]


def _undecodable(connection: sqlite3.Connection) -> Iterator[str]:
    connection.row_factory = sqlite3.Row
    for row in connection.execute("SELECT * FROM jobs"):
        try:
            job_from_row(row)
        except DamagedRow as error:
            yield str(error)
    for row in connection.execute("SELECT * FROM outbox"):
        if columns := act_repairs(row):
            yield f"outbox {redact_key(row['key'])} {', '.join(columns)}"


def _number(connection: sqlite3.Connection, sql: str) -> int:
    [(value,)] = connection.execute(sql)
    return int(value)


@contextlib.contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, also on read-only storage.

    SQLite writes beside a database even to read it. Where it cannot, a private copy is read.

    Raises:
        StoreError: Why it cannot be read.
    """
    with translate_sqlite_errors(path, opening=True), contextlib.ExitStack() as stack:
        # Only SQLite may open the file: closing another descriptor of it drops all locks that this
        # process has on it, and the next reader from elsewhere deletes the log that is in use.
        path.stat()
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        hindrance = obstacle(path)
        if hindrance is not None:
            if hindrance.code == "store.not_a_file":
                raise hindrance
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rushes-")))
            path = _copy_to(path, folder)
        address = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(address, uri=True, timeout=10)
        stack.enter_context(contextlib.closing(connection))
        yield connection


def _copy_to(path: Path, folder: Path) -> Path:
    """Copy a database that is not open for writing, with its write-ahead log."""
    for name in (path.name, f"{path.name}-wal"):
        source = path.with_name(name)
        if source.exists():
            shutil.copyfile(source, folder / name)
    return folder / path.name
