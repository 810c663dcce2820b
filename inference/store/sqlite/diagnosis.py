"""Translation of SQLite and disk errors into `StoreError`.

"Damaged" is said of what SQLite calls damaged and of nothing else: every other cause has
another code, and so another sentence.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from inference.domain.errors import StoreError
from inference.store.data_directory import NETWORK_FILE_SYSTEMS, file_system, no_permission

_PRIMARY = 0xFF
"""The part of a result code that names its kind; the rest names the case."""

_CODES = {
    sqlite3.SQLITE_FULL: "store.full",
    sqlite3.SQLITE_BUSY: "store.busy",
    sqlite3.SQLITE_LOCKED: "store.busy",
    sqlite3.SQLITE_PROTOCOL: "store.busy",
    sqlite3.SQLITE_NOMEM: "store.no_memory",
    sqlite3.SQLITE_INTERRUPT: "store.interrupted",
    sqlite3.SQLITE_ABORT: "store.interrupted",
    sqlite3.SQLITE_NOLFS: "store.full",
    sqlite3.SQLITE_CORRUPT: "store.corrupt",
    sqlite3.SQLITE_NOTADB: "store.corrupt",
}
_ACCESS = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
)
"""The file system knows more about these than SQLite says."""

_LOCKS = frozenset(
    {
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_RDLOCK,
        sqlite3.SQLITE_IOERR_UNLOCK,
        sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
    }
)
_UNSOUND = _ACCESS | {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_PROTOCOL,
}
_ERRNO = {
    errno.ENOENT: "store.missing",
    errno.ENOSPC: "store.full",
    errno.EDQUOT: "store.full",
    errno.EFBIG: "store.full",
    errno.EROFS: "store.read_only",
    errno.EACCES: "store.no_permission",
    errno.EPERM: "store.no_permission",
    errno.EISDIR: "store.not_a_file",
    errno.ENOTDIR: "store.not_a_file",
    errno.ELOOP: "store.not_a_file",
    errno.ENOMEM: "store.no_memory",
    errno.EIO: "store.io",
}

_ROOM_LEAST = 1 << 20
"""Bytes; a disk with less is full, whatever SQLite calls the write that failed."""


def explain(error: BaseException, path: Path) -> StoreError | None:
    """Return the `StoreError` for an error, or None when it is a bug.

    Looks at the disk for some errors: not for the event loop.
    """
    match error:
        case StoreError():
            return error
        case MemoryError():  # how Python passes SQLITE_NOMEM on
            return _error("store.no_memory", path)
        case OSError():
            return _error(_ERRNO.get(error.errno or 0, "store.io"), _named(error, path))
        case sqlite3.Error():
            return _of_sqlite(getattr(error, "sqlite_errorcode", 0), path)
    return None


def _of_sqlite(extended: int, path: Path) -> StoreError | None:
    primary = extended & _PRIMARY
    if extended == sqlite3.SQLITE_IOERR_NOMEM:
        return _error("store.no_memory", path)
    if primary == sqlite3.SQLITE_IOERR or primary in _ACCESS:
        return _of_disk(extended, path)
    code = _CODES.get(primary)
    return None if code is None else _error(code, path)


def leaves_unsound(error: BaseException) -> bool:
    """Return whether a connection must be replaced after this error."""
    if isinstance(error, MemoryError):
        return True
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _UNSOUND


@contextlib.contextmanager
def translate_sqlite_errors(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Translate errors of SQLite and the disk inside the block into `StoreError`.

    Args:
        path: The database.
        opening: Whether somebody waits for an answer, so that nothing is tried again by itself.
    """
    try:
        yield
    except Exception as error:
        found = explain(error, path)
        if found is None or found is error:
            raise
        if opening and found.code == "store.busy":
            found = _error("store.in_use", path)
        raise found from error


def obstacle(path: Path) -> StoreError | None:
    """Return why a database file cannot be read or written, or None if nothing is found."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return explain(error, path)
    if not stat.S_ISREG(mode):
        return _error("store.not_a_file", path)
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return _error("store.read_only", path)
    for beside in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        if beside.exists() and not os.access(beside, os.R_OK | os.W_OK):
            code = "store.no_permission" if beside == path else "store.leftover"
            return _error(code, beside)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return _error("store.no_permission", path.parent)
    return None


def _of_disk(extended: int, path: Path) -> StoreError:
    primary = extended & _PRIMARY
    if extended in _LOCKS and (kind := file_system(path)) in NETWORK_FILE_SYSTEMS:
        return StoreError("store.network", path=str(path), kind=kind)
    if primary in _ACCESS:
        found = obstacle(path)
        if found is not None:
            return found
        read_only = primary == sqlite3.SQLITE_READONLY
        return _error("store.read_only" if read_only else "store.no_permission", path)
    return _error("store.full" if is_full(path) else "store.io", path)


def is_full(path: Path) -> bool:
    """Return whether the disk of a database has no room left; looks at the disk."""
    with contextlib.suppress(OSError):
        at = os.statvfs(path.parent)
        return at.f_bavail * at.f_frsize < _ROOM_LEAST
    return False


def _named(error: OSError, path: Path) -> Path:
    return Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path


def _error(code: str, path: Path) -> StoreError:
    if code == "store.no_permission":
        return no_permission(path)
    return StoreError(code, path=str(path))
