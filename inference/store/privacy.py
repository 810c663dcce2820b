"""File permissions of the data directory: owner only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

UMASK = 0o077
"""Of the process that owns the directory."""

_OTHERS = 0o077
_FOLDERS = ("jobs", "threads")
"""Below the data directory, with all that is in them; other folders are not ours to change."""
_FILES = "rushes.*"


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
