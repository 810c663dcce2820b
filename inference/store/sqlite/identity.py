"""Identity of a database file: application id and schema version."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import structlog

from inference.domain.errors import StoreError
from inference.store.sqlite.undecodable import decode_text

APPLICATION_ID = 0x52555348
"""`PRAGMA application_id` of our databases: "RUSH". Those of before schema 8 have none."""

CORE_TABLES = frozenset({"jobs", "outbox", "counters"})
"""Every version of a Rushes database has these."""

_COPY = re.compile(r"\.schema-(\d+)\.\d{8}T\d{6}Z(-\d+)?\.bak$")

_log = structlog.get_logger(__name__)


def make_private(path: Path) -> None:
    """Restrict the database files to their owner.

    Raises:
        OSError: It cannot be made.
        StoreError: `store.read_only` or `store.not_a_file`: there can be no file.
    """
    if path.exists() and not path.is_file():
        raise StoreError("store.not_a_file", path=str(path))
    try:
        path.touch(mode=0o600)
    except FileNotFoundError as error:
        raise StoreError("store.read_only", path=str(path)) from error
    try:
        path.chmod(0o600)
    except PermissionError:  # somebody else's file that we may write
        _log.warning("store.not_private", path=str(path))


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of a database that is ours, 0 for one with nothing in it.

    Raises:
        StoreError: `store.foreign`: another program's.
        sqlite3.Error: It cannot be read.
    """
    connection.text_factory = decode_text
    [(application,)] = connection.execute("PRAGMA application_id")
    [(version,)] = connection.execute("PRAGMA user_version")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if not tables and not version and not application:
        return 0
    if application not in {0, APPLICATION_ID} or not tables >= CORE_TABLES or not version:
        raise StoreError("store.foreign", path=str(path))
    return int(version)


def copies(path: Path) -> list[tuple[int, Path]]:
    """Return (schema version, file) of the copies made before migrations, the newest last."""
    found = []
    for beside in path.parent.iterdir():
        match = _COPY.search(beside.name)
        ours = match and beside.name == f"{path.name}{match[0]}"
        if match and ours and beside.is_file() and not beside.is_symlink():
            found.append((int(match[1]), beside))
    return sorted(found, key=lambda copy: (copy[1].stat().st_mtime_ns, copy[1].name))
