"""Lock file of the data directory: one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from inference.domain.errors import StoreError
from inference.store.data_directory import check_folder
from inference.store.privacy import UMASK


@contextlib.contextmanager
def own(directory: Path) -> Iterator[None]:
    """Hold the data directory for the length of the block, in which all new files are private.

    The kernel drops the lock with the process, however it dies, so there are no stale locks.

    Raises:
        StoreError: `store.locked` with the holder's pid, or what `check_folder` finds.
    """
    path = directory / "rushes.lock"
    umask = os.umask(UMASK)
    try:
        with _locked(directory, path):
            yield
    finally:
        os.umask(umask)


@contextlib.contextmanager
def _locked(directory: Path, path: Path) -> Iterator[None]:
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
