"""Idempotency keys: a repeated request is the same job, and a key is for one body only.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.http.access.guard import TOKEN
from bot.http.address import NAME, Address
from bot.http.body import Upload
from inference.domain.errors import UserError
from inference.domain.job import Job

MAX_KEY = 255
"""Characters of a key."""


def key_of(request: web.Request) -> str | None:
    """Return the stored form of an idempotency key, which counts for its token only.

    Raises:
        UserError: `http.key`.
    """
    given = request.headers.getall("Idempotency-Key", [])
    if not given:
        return None
    if len(given) > 1 or not 0 < len(given[0]) <= MAX_KEY or not given[0].isprintable():
        raise UserError("http.key", field="Idempotency-Key", limit=MAX_KEY)
    whole = json.dumps([request[TOKEN].id, given[0]])
    return f"{NAME}:{hashlib.sha256(whole.encode()).hexdigest()}"


def fingerprint(path: str, fields: Mapping[str, Any]) -> str:
    """Return a hash of what is asked: where, and the fields of the body, in JSON or in a form."""
    whole = json.dumps([path, fields], sort_keys=True, default=_hash)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def check_repeated(job: Job, body: str) -> None:
    """Check that a repeated request has the address and the body of the first one.

    Raises:
        UserError: `http.key_reused`: the first one asked for something else.
    """
    # Jobs of an older Rushes have none.
    if Address(**job.address).body not in {"", body}:
        raise UserError("http.key_reused", field="Idempotency-Key", job=job.id)


def _hash(upload: Upload) -> str:
    return hashlib.sha256(upload.data).hexdigest()
