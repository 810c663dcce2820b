"""Numbered, forward-only migrations, applied on `PRAGMA user_version`."""

from __future__ import annotations

import re
from importlib import resources

import aiosqlite

from inference.errors import StoreError


def migrations() -> list[tuple[int, str]]:
    """Return (number, SQL) of every migration in the package, in order."""
    folder = resources.files("inference.store").joinpath("migrations")
    return sorted(
        (int(match[1]), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name))
    )


async def migrate(connection: aiosqlite.Connection) -> int:
    """Bring the schema up to date; each migration is one transaction. Return the version.

    Raises:
        StoreError: `store.too_new`: a later Rushes has written this database.
    """
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    known = migrations()
    if version > known[-1][0]:
        raise StoreError("store.too_new", version=version, known=known[-1][0])
    for number, sql in known:
        if number > version:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
    return known[-1][0]
