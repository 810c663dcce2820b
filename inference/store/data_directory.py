"""Checks of the data directory before anything in it is opened."""

from __future__ import annotations

import errno
import os
import pwd
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from inference.domain.errors import StoreError

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"}
)
"""Where locks and SQLite's write-ahead log are not to be relied on: https://sqlite.org/wal.html"""

_ESCAPE = re.compile(r"\\([0-7]{3})")
"""How the kernel writes a space in a path."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_log = structlog.get_logger(__name__)


def check_folder(directory: Path) -> None:
    """Create the data directory if needed, and check that this process can use it.

    Raises:
        StoreError: `store.not_a_folder`, `store.no_permission` with the owner, `store.read_only`
            or `store.full`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError("store.not_a_folder", path=str(directory)) from error
    except OSError as error:
        raise _explained(error, directory) from error
    for path in _contents(directory):
        needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
        if not os.access(path, needed):
            raise _explained(PermissionError(errno.EACCES, ""), path)
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(b"Rushes")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise _explained(error, directory) from error
    if (kind := file_system(directory)) in NETWORK_FILE_SYSTEMS:
        _log.warning("store.network_file_system", path=str(directory), kind=kind)


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the file system that holds `path`, such as `ext4`; "" if unknown.

    Args:
        path: An existing file or directory.
        mounts: The kernel's table; see proc_pid_mountinfo(5).
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    resolved = path.resolve()
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:  # noqa: PLR2004 - the fifth is where it is mounted
            continue
        point = Path(_ESCAPE.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def _contents(directory: Path) -> Iterator[Path]:
    """Yield the directory and those parts of it that the process writes to."""
    yield directory
    for name in ("rushes.sqlite3", "rushes.sqlite3-wal", "rushes.sqlite3-shm", "rushes.lock"):
        if (directory / name).exists():
            yield directory / name
    for name in ("jobs", "threads", "cache"):
        folder = directory / name
        if folder.is_dir():
            yield folder
            if os.access(folder, os.R_OK | os.X_OK):
                yield from (Path(entry) for entry in os.scandir(folder) if _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _explained(error: OSError, path: Path) -> StoreError:
    """Return what keeps `path` from being used, with what mends it."""
    if error.errno in _FULL:
        return StoreError("store.full", path=str(path))
    if error.errno == errno.EROFS or _read_only(path):
        return StoreError("store.read_only", path=str(path))
    if error.errno in {errno.EACCES, errno.EPERM}:
        closed = _nearest(path)
        owner = closed.stat().st_uid
        return StoreError(
            "store.no_permission", path=str(closed), owner=_user(owner), user=os.getuid()
        )
    return StoreError("store.unusable", path=str(path), problem=error.strerror or "unknown")


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(_nearest(path)).f_flag & os.ST_RDONLY)


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that can be looked at."""
    for candidate in (path, *path.parents):
        try:
            candidate.stat()
        except OSError:
            continue
        return candidate
    return Path("/")


def _user(number: int) -> str:
    """Return how a user is called and numbered; containers run under numbers without a name."""
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)
