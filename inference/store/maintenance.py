"""Looking after the database file from outside the process that owns it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inference.errors import StoreError

DATABASE_NAME = "rushes.sqlite3"
"""In the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a check found."""

    schema: int
    jobs: int
    unfinished: int
    undelivered: int
    problems: tuple[str, ...]
    """Empty when the file is sound."""


def backup(data_directory: Path, target: Path) -> int:
    """Copy the database as of now to a new file, also while a process is using it.

    Returns:
        The size of the copy in bytes.

    Raises:
        StoreError: There is nothing to copy, or the copy cannot be written.
    """
    if target.exists():
        raise StoreError("store.backup_exists", path=str(target))
    part = target.with_name(target.name + ".part")
    try:
        part.touch(mode=0o600)  # as private as what it copies
        with _opened(data_directory) as source, contextlib.closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        part.replace(target)
        return target.stat().st_size
    except (sqlite3.Error, OSError) as error:
        raise StoreError("store.backup_failed", path=str(target), problem=str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def check(data_directory: Path) -> Health:
    """Read the whole database and say whether it is sound; changes nothing.

    Raises:
        StoreError: There is no database, or it is none.
    """
    try:
        with _opened(data_directory) as connection:
            problems = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            problems += [
                f"{row[0]} row {row[1]} refers to a missing {row[2]}"
                for row in connection.execute("PRAGMA foreign_key_check")
            ]
            return Health(
                schema=_number(connection, "PRAGMA user_version"),
                jobs=_number(connection, "SELECT count(*) FROM jobs"),
                unfinished=_number(connection, "SELECT count(*) FROM jobs WHERE ended_at IS NULL"),
                undelivered=_number(
                    connection, "SELECT count(*) FROM outbox WHERE shown < wanted AND dead = 0"
                ),
                problems=tuple(problem for problem in problems if problem != "ok"),
            )
    except sqlite3.DatabaseError as error:
        path = data_directory / DATABASE_NAME
        raise StoreError("store.corrupt", path=str(path)) from error


def _number(connection: sqlite3.Connection, sql: str) -> int:
    [(value,)] = connection.execute(sql)
    return int(value)


@contextlib.contextmanager
def _opened(data_directory: Path) -> Iterator[sqlite3.Connection]:
    path = data_directory / DATABASE_NAME
    if not path.is_file():
        raise StoreError("store.missing", path=str(path))
    if not os.access(path, os.R_OK):
        raise StoreError("store.read_only", path=str(path))
    # Not read-only: reading a WAL database needs its shared memory file.
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        yield connection
