"""Address of a job of the HTTP API: its token and the fingerprint of its request."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "http"
"""Of the platform."""

CHANNEL = "http"
"""What a guild's settings know the API by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The token of a request, and the fingerprint of its body; results are fetched, not posted."""

    token: str
    """Id of the token that it was asked for with."""
    body: str = ""
    """Fingerprint of what was asked, where an idempotency key came with it."""
