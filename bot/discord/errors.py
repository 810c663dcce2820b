"""What Discord's refusals mean for a delivery, in the terms of `DeliveryError`.

| answer                                      | meaning                                           |
| ------------------------------------------- | ------------------------------------------------- |
| 413, code 40005                             | smaller, please                                   |
| 429, an empty bucket                        | later; with the wait that Discord asks for        |
| 5xx, 401, no answer                         | later; the message may have arrived               |
| 403 (50001, 50013, …), a locked or archived | closed for a while: a bot's time-out, permissions |
| thread, too many threads                    | that are being changed; tried for an hour         |
| 404 with a code, 50007, other 4xx           | closed: deleted, or a person takes no messages    |
| 20009, 200000, 200001, 240000, words in     | not with these words (`refuses_words`)            |
| 50035                                       |                                                   |
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import aiohttp
import discord

from bot.discord.rate_limits import asked_wait, patience
from inference.domain.errors import DeliveryError

TOO_LARGE = 40005
TOO_MANY_EDITS = 30046
UNKNOWN_MESSAGE = 10008
ARCHIVED = 50083
NO_REPLY = 160002
"""Replies are for those who may read what they reply to."""

THREAD_EXISTS = 160004
TOO_MANY_THREADS = frozenset({160006, 160007})
"""Active ones in the server; the second is for announcement channels."""

ACKNOWLEDGED = 40060
INVALID_FORM = 50035

NO_DIRECT_MESSAGES = frozenset({50007, 50278})
"""The person takes no messages from the bot: their own decision."""

WORDS = frozenset({20009, 20031, 200000, 200001, 240000})
"""The words are not taken: explicit, forbidden, AutoMod (messages, titles), harmful links."""

SLOWED = frozenset({20016, 20022, 20028, 20029})
"""Limits of writing that are not those of a bucket: slow mode, announcements, channel, server."""

WORD_FIELDS = frozenset({"name", "content", "embeds", "attachments"})
"""Fields of a form that carry what somebody has written."""

LOCKED = frozenset({ARCHIVED, 40058, 160005}) | TOO_MANY_THREADS
"""A thread, or its channel, does not take messages now."""

OVERLOADED = 130000

BUSY_SECONDS = 2.0
"""A delivery waits at most so long for a rate limit; then the outbox does other work."""

OLD_EDIT_SECONDS = 60.0
"""Until an old message is edited again, where Discord does not say when that is allowed."""

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_PAYLOAD_TOO_LARGE = 413
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
"""What a request raises that got no answer; whether it was carried out is not known."""


@contextlib.contextmanager
def translate_errors(why: str | None = None) -> Iterator[None]:
    """Turn what discord.py raises inside the block into `DeliveryError`.

    Args:
        why: What to tell whoever gets the message elsewhere because of a refusal.
    """
    try:
        with patience(BUSY_SECONDS):
            yield
    except discord.RateLimited as error:
        raise DeliveryError(
            "delivery.busy", transient=True, retry_after=error.retry_after, unsent=True
        ) from error
    except discord.HTTPException as error:
        raise refusal(error, why) from error
    except UNREACHABLE as error:
        raise DeliveryError("delivery.unreachable", transient=True) from error


def refusal(error: discord.HTTPException, why: str | None = None) -> DeliveryError:
    """Return what an answer other than success means; `why` as for `translate_errors`."""
    status, code = error.status, error.code
    if status == _PAYLOAD_TOO_LARGE or code == TOO_LARGE:
        return DeliveryError("delivery.too_large", transient=False, unsent=True)
    if status == _TOO_MANY_REQUESTS or code in SLOWED:
        wait = asked_wait(error.response.headers, OLD_EDIT_SECONDS)
        return DeliveryError("delivery.busy", transient=True, retry_after=wait, unsent=True)
    if status >= _SERVER_ERRORS or status == _UNAUTHORIZED or code == OVERLOADED:
        return DeliveryError("delivery.unreachable", transient=True)
    return DeliveryError(
        "delivery.closed",
        transient=False,
        unsent=True,
        passing=_may_open_again(status, code),
        why=why,
        reason=code or status,
    )


def refuses_words(error: discord.HTTPException) -> bool:
    """Whether the same request with other words would be taken, or may be."""
    if error.code in WORDS:
        return True
    fields = _wrong_fields(error)
    return error.code == INVALID_FORM and (not fields or bool(WORD_FIELDS & fields))


def _wrong_fields(error: discord.HTTPException) -> set[str]:
    """Return the fields of a form that Discord complains about, as the library writes them."""
    return set(re.findall(r"^In (\w+)", error.text, re.MULTILINE))


def _may_open_again(status: int, code: int) -> bool:
    if code in LOCKED:
        return True
    if status == _FORBIDDEN:
        return code not in NO_DIRECT_MESSAGES | WORDS
    return status == _NOT_FOUND and not code  # not Discord's own: something on the way
