"""Numbered, forward-only migrations.

Those of the job core are applied on `PRAGMA user_version`. A package with tables brings
`PackageMigrations`, whose version is in the table `packages`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

import aiosqlite
import structlog

from inference.domain.errors import StoreError
from inference.store.sqlite.cell_repair import repair_cells
from inference.store.sqlite.diagnosis import explain
from inference.store.sqlite.identity import copies

COPIES_KEPT = 3
"""Copies of older schemas beside the database; the oldest goes when another is made."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageMigrations:
    """The migrations of a package that has tables."""

    name: str
    """Of the package in the table `packages`."""
    package: str
    """Python package with a folder `migrations` of files such as `0001_initial.sql`."""

    def steps(self) -> tuple[tuple[int, str], ...]:
        """Return (number, SQL) of each, in order."""
        return _steps(self.package)


def migrations() -> tuple[tuple[int, str], ...]:
    """Return (number, SQL) of every migration of the job core, in order."""
    return _steps("inference.store")


@functools.cache
def _steps(package: str) -> tuple[tuple[int, str], ...]:
    folder = resources.files(package).joinpath("migrations")
    found = (
        (int(match[1]), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name))
    )
    return tuple(sorted(found))


async def migrate(connection: aiosqlite.Connection, path: Path | None = None) -> int:
    """Apply pending migrations; return the schema version.

    A new database gets all of them in one transaction, an old one each in its own. A database with
    something in it is copied first: there is no way back otherwise.

    Args:
        connection: To the database.
        path: Its file; None for one that is not worth a copy.

    Raises:
        StoreError: `store.too_new`: a later Rushes has written this database. `store.no_copy`: it
            is as it was, because there is no room for the copy. `store.not_migrated`: what is in
            it does not fit.
    """
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    known = migrations()
    latest = known[-1][0]
    if version > latest:
        raise StoreError(
            "store.too_new", version=version, known=latest, release="?", path=str(path)
        )
    if 0 < version < latest and path is not None:
        await asyncio.to_thread(copy_before, path, version)
        await asyncio.to_thread(repair_cells, path)
    pending = [step for step in known if step[0] > version]
    # A new database is made in one commit, because each waits for the disk.
    for together in [[step] for step in pending] if version else [pending]:
        number = together[-1][0]
        script = "\n".join(sql for _, sql in together)
        try:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error as error:
            if path is None or explain(error, path) is not None:
                raise  # told with its cause where the database is opened
            _log.error("store.migration_failed", schema=number, error=type(error).__name__)
            raise StoreError("store.not_migrated", schema=number, path=str(path)) from error
    if version < latest:
        await _sign(connection, latest)
    if 0 < version < latest:
        _log.info("store.migrated", old=version, new=latest)
    return latest


class TimeLimit:
    """A progress handler of SQLite that interrupts a statement once time is up."""

    STEPS = 10_000
    """Of SQLite's machine between two looks at the clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Return whether time is up."""
        return time.monotonic() > self._end


async def migrate_package(
    connection: aiosqlite.Connection,
    path: Path,
    package: PackageMigrations,
    seconds: float | None = None,
) -> None:
    """Apply what is pending of a package's migrations, in the caller's transaction.

    Args:
        connection: To the database.
        path: Its file.
        package: Whose tables they are.
        seconds: That this may take; None sets no limit.

    Raises:
        StoreError: `store.too_new`: a later release of the package has been here.
        TimeoutError: It took too long.
    """
    version = await package_version(connection, package.name)
    steps = package.steps()
    latest = steps[-1][0]
    if version > latest:
        raise StoreError(
            "store.too_new", version=version, known=latest, release="?", path=str(path)
        )
    if version == latest:
        return
    _log.info("store.package_migrating", package=package.name, old=version, new=latest)
    pending = [each for number, sql in steps if number > version for each in statements(sql)]
    limit = None if seconds is None else TimeLimit(seconds)
    if limit is not None:
        await connection.set_progress_handler(limit.is_over, TimeLimit.STEPS)
    try:
        for statement in pending:
            await connection.execute(statement)
    except sqlite3.OperationalError as error:
        if limit is not None and limit.is_over():
            raise TimeoutError from error
        raise
    finally:
        if limit is not None:
            await connection.set_progress_handler(lambda: None, 0)  # none
    await connection.execute(
        "INSERT OR REPLACE INTO packages (name, version) VALUES (?, ?)", (package.name, latest)
    )
    _log.info("store.package_migrated", package=package.name, old=version, new=latest)


async def package_version(connection: aiosqlite.Connection, name: str) -> int:
    """Return the version of a package's tables; 0 where it has none yet."""
    rows = await connection.execute_fetchall("SELECT version FROM packages WHERE name = ?", (name,))
    return next((int(version) for (version,) in rows), 0)


def statements(sql: str) -> Iterator[str]:
    """Yield the statements of a script: `executescript` would end the transaction."""
    *parts, rest = sql.split(";")
    statement = ""
    for part in parts:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if (statement + rest).strip():
        yield statement + rest


async def _sign(connection: aiosqlite.Connection, version: int) -> None:
    """Record the release that made this schema, for the errors of older releases."""
    with contextlib.suppress(sqlite3.Error):  # a schema without that table is one of a test
        await connection.execute(
            "INSERT OR REPLACE INTO releases (schema, release, at) VALUES (?, ?, ?)",
            (version, metadata.version("rushes"), time.time()),
        )


def too_new(connection: sqlite3.Connection, path: Path, version: int, known: int) -> StoreError:
    """Return the refusal of a later schema, with its release and the copy to go back to."""
    release = "?"
    with contextlib.suppress(sqlite3.Error):
        rows = connection.execute("SELECT release FROM releases ORDER BY schema DESC LIMIT 1")
        release = next((str(name) for (name,) in rows), release)
    usable = [copy for schema, copy in copies(path) if schema <= known]
    params = {"version": version, "known": known, "release": release, "path": str(path)}
    if usable:
        return StoreError("store.too_new_copy", copy=str(usable[-1]), **params)
    return StoreError("store.too_new", **params)


def copy_before(path: Path, version: int) -> None:
    """Copy the database beside itself, complete and private, or raise and leave nothing."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, number = f"{path.name}.schema-{version}.{stamp}.bak", 1
    while path.with_name(name).exists():
        name, number = f"{path.name}.schema-{version}.{stamp}-{number}.bak", number + 1
    target = path.with_name(name)
    part = path.with_name(f"{name}.part")
    try:
        address = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=10)) as original:
            copy_database(original, part)
        part.replace(target)
        _sync(path.parent)
    except (sqlite3.Error, OSError, MemoryError) as error:
        found = explain(error, path)
        if found is not None and found.code in {"store.full", "store.io"}:
            found = StoreError("store.no_copy", path=str(path))
        raise found or error from error
    finally:
        part.unlink(missing_ok=True)
    _log.info("store.copied", schema=version, copy=str(target))
    for _, old in copies(path)[:-COPIES_KEPT]:
        old.unlink(missing_ok=True)
        _log.info("store.copy_removed", copy=str(old))


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database as of now to a new private file, and see it on the disk.

    Raises:
        sqlite3.Error: It cannot be read or written.
        OSError: The file exists or cannot be made.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
