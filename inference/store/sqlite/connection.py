"""Opens and closes connections to the SQLite file, with the pragmas that every one needs."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import aiosqlite

from inference.domain.errors import StoreError
from inference.store.sqlite.diagnosis import translate_sqlite_errors
from inference.store.sqlite.identity import make_private
from inference.store.sqlite.schema import schema_of
from inference.store.sqlite.undecodable import decode_text

CLOSE_SECONDS = 5.0
"""A connection that is replaced gets so long to close; one that hangs is left to itself."""

_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # acceptance survives a power cut, not only a crash
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is deleted leaves no words in free pages
)


def prepare(path: Path) -> None:
    """Check that the file is ours before anything is written to it, and make it private."""
    with translate_sqlite_errors(path, opening=True):
        make_private(path)
        address = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            try:
                schema_of(connection, path)
            except StoreError as error:
                if error.code != "store.empty":
                    raise


async def connect(path: Path, *, make: bool) -> aiosqlite.Connection:
    """Open a connection; `make` lets SQLite make the file, which else must be there.

    Raises:
        StoreError: It cannot be opened.
    """
    with translate_sqlite_errors(path):
        # Opened outside aiosqlite, whose thread would outlive the loop after a failure.
        opened = await asyncio.to_thread(_open, path, make=make)
        connection = await aiosqlite.Connection(lambda: opened, iter_chunk_size=64)
        try:
            connection.row_factory = sqlite3.Row
            for pragma in _PRAGMAS:
                await connection.execute(pragma)
        except BaseException:
            await close(connection)
            raise
        return connection


def _open(path: Path, *, make: bool) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode={'rwc' if make else 'rw'}"
    opened = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    opened.text_factory = decode_text
    return opened


async def close(connection: aiosqlite.Connection) -> None:
    """Close a connection, whatever state it is in."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()


async def is_broken(connection: aiosqlite.Connection) -> bool:
    """Return whether a connection no longer answers a query."""
    try:
        await connection.execute_fetchall("SELECT 1")
    except Exception:  # noqa: BLE001 - whatever it was, the connection does not work
        return True
    return False
