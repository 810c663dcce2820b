"""Tombstones: keyed hashes in place of erased people.

Names of people are few enough to be tried out, so that a hash without a key would hide nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import aiosqlite
import structlog

KEY_BYTES = 32

QUERY = "SELECT value FROM secrets WHERE name = 'tombstones'"

_log = structlog.get_logger(__name__)


def key_in(rows: Iterable[Sequence[Any]]) -> bytes | None:
    """Return the key that `QUERY` found, or None where it was lost."""
    values = (row[0] for row in rows)
    sound = (value for value in values if isinstance(value, bytes) and len(value) == KEY_BYTES)
    return next(sound, None)


async def secret(connection: aiosqlite.Connection) -> bytes:
    """Return the key of this database's hashes, inside a transaction; a lost one is renewed."""
    key = key_in(await connection.execute_fetchall(QUERY))
    if key is None:
        key = secrets.token_bytes(KEY_BYTES)
        await connection.execute(
            "INSERT OR REPLACE INTO secrets (name, value) VALUES ('tombstones', ?)", (key,)
        )
        _log.error("store.key_renewed")
    return key


def tombstone(key: bytes, *names: str) -> str:
    """Return the keyed hash of a person."""
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
    return next((row[0] for row in rows if _is_time(row[0])), None)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
