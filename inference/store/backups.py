"""Scheduled backups of the database: one a day, the newest kept, and the way back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from inference.clock import Clock
from inference.domain.errors import StoreError
from inference.retries import repeat
from inference.store.data_directory import own
from inference.store.maintenance import (
    DATABASE_NAME,
    backup,
    is_sound,
    open_read_only,
    passes_check,
)
from inference.store.sqlite.diagnosis import translate_sqlite_errors
from inference.store.sqlite.migrate import copy_database
from inference.store.sqlite.schema import schema_of

FOLDER = "backups"
"""In the data directory, unless the config names another place."""

HOURS = 24
"""Between two backups."""

LOOK_SECONDS = 600.0
"""Longest pause between two looks at the age: a clock may be set, and a full disk emptied."""

_NO_BACKUP = frozenset({"store.empty", "store.foreign", "store.incomplete", "store.not_a_file"})
"""Codes of what is no backup of this Rushes, whole or damaged."""

_NAME = re.compile(r"rushes-\d{8}T\d{6}Z(-\d+)?\.sqlite3")
_PARTS = ("", "-wal", "-shm")
"""Files of a database."""

_log = structlog.get_logger(__name__)


def newest(folder: Path) -> Path | None:
    """Return the newest backup in a folder, if there is one.

    Raises:
        OSError: The folder cannot be read.
    """
    found = _backups(folder)
    return found[-1] if found else None


def rotate(data_directory: Path, folder: Path, keep: int) -> Path:
    """Back the database up into a folder, and delete the oldest beyond `keep`; return the new one.

    With a `keep` of 0 there are no daily backups, so those in the folder were made by hand: none is
    deleted.

    Raises:
        StoreError: There is nothing to copy, it is damaged, or the folder cannot be written.
            Nothing was deleted then.
    """
    source = data_directory / DATABASE_NAME
    with translate_sqlite_errors(source):
        source.stat()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = {path.name for path in folder.iterdir()}
    except OSError as error:
        problem = error.strerror or "?"
        raise StoreError("store.backup_failed", path=str(folder), problem=problem) from error
    name = _free_name("rushes", ".sqlite3", taken)
    backup(data_directory, folder / name)
    for old in _backups(folder)[:-keep] if keep else ():
        with contextlib.suppress(OSError):
            old.unlink()
            _log.info("backup.removed", copy=old.name)
    _log.info("backup.done", copy=name)
    return folder / name


def restore(data_directory: Path, file: Path) -> Path | None:
    """Put a backup in the place of the database; return where the old one was put, if any.

    Raises:
        StoreError: `store.locked`: a process uses the folder. Or the backup is not there, damaged,
            of another program or of a later release; then nothing has changed.
    """
    database = data_directory / DATABASE_NAME
    part = data_directory / f"{DATABASE_NAME}.restore.part"
    with open_backup(file):  # before anything is made in the folder
        pass
    with own(data_directory), translate_sqlite_errors(database):
        part.unlink(missing_ok=True)
        try:
            # Errors name the database's path, not that of the backup.
            with open_backup(file) as source, translate_sqlite_errors(database):
                copy_database(source, part)
            if not is_sound(part):
                raise StoreError("store.backup_damaged", path=str(file))
            kept = _set_aside(database)
            part.replace(database)
        finally:
            part.unlink(missing_ok=True)
    return kept


@contextlib.contextmanager
def open_backup(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a backup that is whole, to restore it.

    Raises:
        StoreError: Why it cannot be restored, in words about a backup.
    """
    try:
        with open_read_only(file) as connection:
            schema_of(connection, file)
            sound = passes_check(connection)
            if sound:
                yield connection
    except StoreError as error:
        if error.code == "store.corrupt":
            raise StoreError("store.backup_damaged", path=str(file)) from error
        if error.code in _NO_BACKUP:
            raise StoreError("store.no_backup", path=str(file)) from error
        raise
    if not sound:
        raise StoreError("store.backup_damaged", path=str(file))


def _set_aside(database: Path) -> Path | None:
    """Give the database a second name; without its log, the first is ready to be replaced."""
    if not database.exists():
        return None
    taken = {path.name for path in database.parent.iterdir()}
    kept = database.with_name(_free_name(f"{database.name}.replaced", "", taken))
    for part in _PARTS:
        there = database.with_name(database.name + part)
        if there.exists():
            second = kept.with_name(kept.name + part)
            try:
                os.link(there, second)
            except OSError:  # a file system without links
                shutil.copy2(there, second)
    for part in _PARTS[1:]:
        database.with_name(database.name + part).unlink(missing_ok=True)
    return kept


class DailyBackups:
    """Backs the database up once a day, by the age of the newest backup."""

    def __init__(
        self,
        data_directory: Path,
        folder: Path,
        *,
        keep: int,
        clock: Clock,
        report: Callable[[StoreError | None], None],
    ) -> None:
        """Prepare.

        Args:
            data_directory: Has the database.
            folder: Gets the backups.
            keep: How many stay there.
            clock: Tells the time.
            report: Hears of a backup that failed, and of one that succeeded (None).
        """
        self._data_directory = data_directory
        self._folder = folder
        self._keep = keep
        self._clock = clock
        self._report = report
        self._made_at: float | None = None

    async def run(self) -> None:
        """Make backups until cancelled."""
        await repeat(self._turn, name="backups", clock=self._clock)

    async def _turn(self) -> None:
        pause = LOOK_SECONDS
        try:
            left = await asyncio.to_thread(self._seconds_left)
            if left <= 0:
                await asyncio.to_thread(rotate, self._data_directory, self._folder, self._keep)
                self._made_at = self._clock.now()
            else:
                pause = min(left, LOOK_SECONDS)
        except StoreError as error:
            _log.error("backup.failed", code=error.code)
            self._report(error)
        else:
            self._report(None)
        await self._clock.sleep(pause)

    def _seconds_left(self) -> float:
        """Return the seconds until the next backup is due."""
        made_at = self._made_at
        if made_at is None and self._folder.is_dir():  # the one of an earlier process
            last = newest(self._folder)
            made_at = None if last is None else last.stat().st_mtime
        if made_at is None:
            return 0.0
        age = self._clock.now() - made_at
        # One of the future was made while the clock was ahead.
        return HOURS * 3600 - age if age > -LOOK_SECONDS else 0.0


def _backups(folder: Path) -> list[Path]:
    """Return the backups in a folder, the newest last; other files are ignored."""
    if not folder.exists():
        return []
    found = [
        path for path in folder.iterdir() if _NAME.fullmatch(path.name) and not path.is_symlink()
    ]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _free_name(stem: str, end: str, taken: set[str]) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, number = f"{stem}-{stamp}{end}", 1
    while name in taken:
        name, number = f"{stem}-{stamp}-{number}{end}", number + 1
    return name
