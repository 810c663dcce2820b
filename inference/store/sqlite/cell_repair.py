"""Repair of cells of the wrong type, before a migration changes their rows.

SQLite checks a whole row of a STRICT table when one of its columns is changed, so a single damaged
cell, even of history, would keep every later release from starting. What takes its place has the
right type and cannot be meant: reading sets such a row aside. The copy that is made before a
migration holds it as it was found.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from inference.store.sqlite.undecodable import decode_text

_STORED: Mapping[str, tuple[frozenset[str], object]] = {
    "TEXT": (frozenset({"text"}), ""),
    "INTEGER": (frozenset({"integer"}), -1),
    "INT": (frozenset({"integer"}), -1),
    "REAL": (frozenset({"real"}), -1.0),
    "BLOB": (frozenset({"blob"}), b""),
}
"""Declared type -> the storage classes it may have, and what takes the place of others."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    name: str
    allowed: frozenset[str]
    substitute: object
    """None where a cell may be empty."""


def repair_cells(path: Path) -> None:
    """Give every cell the type that its column promises, in one transaction.

    Raises:
        sqlite3.Error: It cannot be read or written.
    """
    address = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.closing(
        sqlite3.connect(address, uri=True, timeout=10, isolation_level=None)
    ) as connection:
        connection.text_factory = decode_text
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
        for table in _tables(connection):
            _repair(connection, table)
        connection.execute("COMMIT")


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Return the strict tables whose rows have numbers."""
    rows = connection.execute(
        "SELECT name FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND strict AND NOT wr"
    )
    return [name for (name,) in rows]


def _repair(connection: sqlite3.Connection, table: str) -> None:
    columns = list(_columns(connection, table))
    kinds = ", ".join(f"typeof({column.name})" for column in columns)
    wrong = " OR ".join(
        f"typeof({column.name}) NOT IN ({', '.join(map(repr, sorted(column.allowed)))})"
        for column in columns
    )
    found = connection.execute(f"SELECT rowid, {kinds} FROM {table} WHERE {wrong}").fetchall()
    if not found:
        return
    with _without_triggers(connection, table):
        for number, *stored in found:
            damaged = [
                column
                for column, kind in zip(columns, stored, strict=True)
                if kind not in column.allowed
            ]
            _substitute(connection, table, number, damaged)


def _columns(connection: sqlite3.Connection, table: str) -> Iterator[_Column]:
    for _, name, declared, required, _, key in connection.execute(f"PRAGMA table_info({table})"):
        if declared not in _STORED or (key and declared == "INTEGER"):  # that is the row's number
            continue
        allowed, substitute = _STORED[declared]
        optional = not required and not key
        yield _Column(
            name=name,
            allowed=allowed | {"null"} if optional else allowed,
            substitute=None if optional else substitute,
        )


def _substitute(
    connection: sqlite3.Connection, table: str, number: int, damaged: list[_Column]
) -> None:
    assignments = ", ".join(f"{column.name} = ?" for column in damaged)
    values = [column.substitute for column in damaged]
    try:
        connection.execute(f"UPDATE {table} SET {assignments} WHERE rowid = ?", (*values, number))
    except sqlite3.IntegrityError:  # a key that another row has, or that others refer to
        connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))
    names = ", ".join(column.name for column in damaged)
    _log.error("store.cell_repaired", table=table, row=number, column=names)


@contextlib.contextmanager
def _without_triggers(connection: sqlite3.Connection, table: str) -> Iterator[None]:
    """Keep triggers, which would read what is damaged, away for the length of the block."""
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?", (table,)
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    yield
    for _, sql in triggers:
        connection.execute(sql)
