"""What Discord's refusals mean for a delivery, in the terms of `DeliveryError`.

| answer                                       | meaning                                          |
| -------------------------------------------- | ------------------------------------------------ |
| 413, code 40005                              | smaller, please                                  |
| code 30046: too many edits of an old message | this message is closed; others are not           |
| 429, 5xx, 401, no answer                     | later; with the wait that Discord asks for       |
| 403, 404, other 4xx                          | this place is closed                             |
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import aiohttp
import discord

from inference.errors import DeliveryError

TOO_LARGE = 40005
TOO_MANY_EDITS = 30046
ARCHIVED = 50083
THREAD_EXISTS = 160004
ACKNOWLEDGED = 40060

_UNAUTHORIZED = 401
_PAYLOAD_TOO_LARGE = 413
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
"""What a request raises that got no answer; whether it was carried out is not known."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what discord.py raises inside the block into `DeliveryError`."""
    try:
        yield
    except discord.RateLimited as error:
        raise DeliveryError(
            "delivery.busy", transient=True, retry_after=error.retry_after
        ) from error
    except discord.HTTPException as error:
        raise refusal(error) from error
    except UNREACHABLE as error:
        raise DeliveryError("delivery.unreachable", transient=True) from error


def refusal(error: discord.HTTPException) -> DeliveryError:
    """Return what an answer other than success means."""
    if error.status == _PAYLOAD_TOO_LARGE or error.code == TOO_LARGE:
        return DeliveryError("delivery.too_large", transient=False)
    if error.code == TOO_MANY_EDITS:
        return DeliveryError("delivery.closed", transient=False, reason=error.code)
    if error.status == _TOO_MANY_REQUESTS:
        return DeliveryError("delivery.busy", transient=True, retry_after=_asked_wait(error))
    if error.status >= _SERVER_ERRORS or error.status == _UNAUTHORIZED:
        return DeliveryError("delivery.unreachable", transient=True)
    return DeliveryError("delivery.closed", transient=False, reason=error.code or error.status)


def _asked_wait(error: discord.HTTPException) -> float | None:
    try:
        return float(error.response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
