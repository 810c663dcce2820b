"""Expected schema of each version."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from pathlib import Path

from inference.domain.errors import StoreError
from inference.store.sqlite.identity import schema_version
from inference.store.sqlite.migrate import migrations, too_new


def schema_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of an open database of this Rushes.

    Raises:
        StoreError: It is empty, another program's, a later release's, or lacks tables or columns.
    """
    version = schema_version(connection, path)
    if not version:
        raise StoreError("store.empty", path=str(path))
    known = migrations()[-1][0]
    if version > known:
        raise too_new(connection, path, version, known)
    lacks = missing(connection, version)
    if lacks:
        raise StoreError("store.incomplete", path=str(path), missing=", ".join(lacks))
    return version


def missing(connection: sqlite3.Connection, version: int) -> list[str]:
    """Return the tables, and the columns as `table.column`, that a database of ours lacks."""
    there = _columns(connection)
    lacks = []
    for table, columns in sorted(columns_of(version).items()):
        if table not in there:
            lacks.append(table)
        else:
            lacks += [f"{table}.{column}" for column in sorted(columns - there[table])]
    return lacks


@functools.cache
def columns_of(version: int) -> dict[str, frozenset[str]]:
    """Return the columns of every table in a schema version."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for number, sql in migrations():
            if number <= version:
                connection.executescript(sql)
        return _columns(connection)


def _columns(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    rows = connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables"
        " JOIN pragma_table_xinfo(tables.name) AS columns WHERE tables.type = 'table'"
    ).fetchall()
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    return {table: frozenset(columns) for table, columns in found.items()}
