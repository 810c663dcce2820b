"""Atomic file writes, safe against power loss."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inference.domain.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors for no space, no quota, and the sandbox's limit on file size."""


@contextmanager
def part_file(target: Path) -> Iterator[Path]:
    """Context manager that yields `<target>.part` to write to, and renames it to `target`.

    The file is fsynced before it is renamed. If the block raises, the part file is deleted and an
    existing `target` is unchanged.

    Raises:
        EngineError: `disk.full`.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        yield part
        _sync(part)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno in _DISK_FULL:
            raise EngineError("disk.full", path=str(target)) from error
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a whole file atomically; see `part_file`.

    Raises:
        EngineError: `disk.full`.
    """
    with part_file(target) as part:
        part.write_bytes(data)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
