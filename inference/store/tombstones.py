"""Tombstones: keyed hashes that stand for people who were forgotten.

Names of people are few enough to be tried out, so that a hash without a key would hide nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import json

import aiosqlite


async def secret(connection: aiosqlite.Connection) -> bytes:
    """Return the key of this database's hashes, inside a transaction."""
    rows = await connection.execute_fetchall("SELECT value FROM secrets WHERE name = 'tombstones'")
    return next((bytes(row[0]) for row in rows if isinstance(row[0], bytes)), b"")


def tombstone(key: bytes, *names: str) -> str:
    """Return what stands for a person who was forgotten; nothing stands for nobody."""
    if not any(names):
        return ""
    digest = hmac.new(key, json.dumps(names).encode(), hashlib.sha256).hexdigest()
    return f"#{digest[:32]}"


async def last_request(connection: aiosqlite.Connection, person: str) -> float | None:
    """Return when a person who was forgotten since last asked for something, Unix seconds."""
    rows = await connection.execute_fetchall(
        "SELECT last_request_at FROM tombstones WHERE person = ?",
        (tombstone(await secret(connection), person),),
    )
    return next((row[0] for row in rows), None)
