"""The data directory: checks before anything in it is opened, permissions, and the lock file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from inference.domain.errors import StoreError

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph"}
    | {"fuse.sshfs", "fuse.rclone", "fuse.glusterfs"}
)
"""Where locks and SQLite's write-ahead log are not to be relied on: https://sqlite.org/wal.html"""

_ESCAPE = re.compile(r"\\([0-7]{3})")
"""How the kernel writes a space in a path."""

UMASK = 0o077
"""Of the process that owns the directory."""

_OTHERS = 0o077
_FOLDERS = ("jobs", "threads")
"""Below the data directory, with all that is in them; other folders are not ours to change."""
_FILES = "rushes.*"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_log = structlog.get_logger(__name__)


def check_folder(directory: Path) -> None:
    """Create the data directory if needed, and check that this process can use it.

    Raises:
        StoreError: `store.not_a_folder`, what `no_permission` returns, `store.read_only` or
            `store.full`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o777 & ~UMASK)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError("store.not_a_folder", path=str(directory)) from error
    except OSError as error:
        raise _folder_error(error, directory) from error
    _check_contents(directory)


def check_place(directory: Path) -> None:
    """Check that this process can use the data directory, or make it; does not make it.

    Raises:
        StoreError: As of `check_folder`.
    """
    if os.path.exists(directory):  # noqa: PTH110 - pathlib's raises behind a closed folder
        if not directory.is_dir():
            raise StoreError("store.not_a_folder", path=str(directory))
        _check_contents(directory)
        return
    try:
        write_into(_nearest(directory.absolute()))
    except NotADirectoryError as error:
        raise StoreError("store.not_a_folder", path=str(directory)) from error
    except OSError as error:
        raise _folder_error(error, directory) from error


def _check_contents(directory: Path) -> None:
    for path in _contents(directory):
        needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
        if not os.access(path, needed):
            raise _folder_error(PermissionError(errno.EACCES, ""), path)
    try:
        write_into(directory)
    except OSError as error:
        raise _folder_error(error, directory) from error
    if (kind := file_system(directory)) in NETWORK_FILE_SYSTEMS:
        _log.warning("store.network_file_system", path=str(directory), kind=kind)


def write_into(folder: Path) -> None:
    """Write a test file and delete it, because some file systems, such as /proc, refuse files.

    Raises:
        OSError: Why it cannot be written.
    """
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"Rushes")
        probe.flush()
        os.fsync(probe.fileno())


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


def _folder_error(error: OSError, path: Path) -> StoreError:
    """Return the error for a `path` that cannot be used, with the remedy."""
    if error.errno in _FULL:
        return StoreError("store.full", path=str(path))
    if error.errno == errno.EROFS or _read_only(path):
        return StoreError("store.read_only", path=str(path))
    if error.errno in {errno.EACCES, errno.EPERM}:
        return no_permission(path)
    return StoreError("store.unusable", path=str(path), problem=error.strerror or "unknown")


def no_permission(path: Path) -> StoreError:
    """Return the error for a `path` that this user may not use, with its owner and the remedy."""
    closed = _nearest(path)
    who = {"path": str(closed), "owner": owner(closed), "user": os.geteuid()}
    if closed.stat().st_uid == os.geteuid():
        return StoreError("store.mode", **who)
    if closed != path:  # not ours to change the owner of
        return StoreError("store.closed_above", **who | {"path": str(path), "above": str(closed)})
    return StoreError("store.no_permission", **who)


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


def owner(path: Path) -> str:
    """Return the name and uid of the owner; in containers a uid may have no name."""
    number = path.stat().st_uid
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)


def open_to_others(directory: Path) -> Path | None:
    """Return the folder, or the first of our files in it, that other users can read.

    A folder for all users, such as /tmp, stays open; only its files can be closed.
    """
    mode = directory.stat().st_mode
    if not mode & stat.S_IRWXO:
        return None
    if not mode & stat.S_ISVTX:
        return directory
    ours = (*sorted(directory.glob(_FILES)), *(directory / name for name in _FOLDERS))
    for path in ours:
        with contextlib.suppress(OSError):
            found = path.lstat().st_mode
            if found & stat.S_IRWXO and _plain(found):
                return path
    return None


def make_private(directory: Path) -> None:
    """Take all permissions of group and others away from what an older version left open.

    Files that may not be changed are named in the log and stay as they are.
    """
    refused: list[str] = []
    _tighten(directory, refused)
    for path in directory.glob(_FILES):
        _tighten(path, refused)
    for name in _FOLDERS:
        folder = directory / name
        if folder.is_symlink():
            continue  # it leads out of what is ours
        for place, folders, files in os.walk(folder):
            _tighten(Path(place), refused)
            for entry in (*folders, *files):
                _tighten(Path(place, entry), refused)
    if refused:
        _log.warning("store.not_private", first=refused[0], count=len(refused))


def _tighten(path: Path, refused: list[str]) -> None:
    try:
        found = path.lstat()
        shared = found.st_mode & stat.S_ISVTX or path.parent == path
        if not found.st_mode & _OTHERS or not _plain(found.st_mode):
            return
        if shared:  # /tmp and the like belong to everybody
            refused.append(str(path))
            return
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    except FileNotFoundError:
        return
    except OSError:
        refused.append(str(path))


def _plain(mode: int) -> bool:
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode)


@contextlib.contextmanager
def own(directory: Path) -> Iterator[None]:
    """Lock the data directory for the length of the block, in which all new files are private.

    The kernel drops the lock with the process, however it dies, so there are no stale locks.

    Raises:
        StoreError: `store.locked` with the holder's pid, or what `check_folder` finds.
    """
    path = directory / "rushes.lock"
    umask = os.umask(UMASK)
    try:
        with _lock(directory, path):
            yield
    finally:
        os.umask(umask)


@contextlib.contextmanager
def _lock(directory: Path, path: Path) -> Iterator[None]:
    check_folder(directory)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError("store.unusable", path=str(path), problem=error.strerror) from error
    with os.fdopen(descriptor, "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = file.read().strip() or "?"
            raise StoreError("store.locked", pid=holder, path=str(directory)) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
