"""Translates Discord's errors into `DeliveryError`: retry later, wait a while, or go elsewhere.

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
from http import HTTPStatus

import aiohttp
import discord

from bot.discord.access import only_threads_are_closed
from bot.discord.address import Address
from bot.discord.rate_limits import patience, read_retry_after
from inference.domain.errors import DeliveryError
from inference.domain.job import Job

TOO_LARGE = 40005
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

WORD_FIELDS = frozenset({"name", "content", "embeds", "attachments", "components"})
"""Fields of a form that carry text typed by a person."""

LOCKED = frozenset({ARCHIVED, 40058, 160005}) | TOO_MANY_THREADS
"""A thread, or its channel, does not take messages now."""

OVERLOADED = 130000

BUSY_SECONDS = 2.0
"""A delivery waits at most so long for a rate limit; then the outbox does other work."""

OUTAGE_SECONDS = 15.0
"""Between two looks whether a server that Discord has lost is back."""

OLD_EDIT_SECONDS = 60.0
"""Until an old message is edited again, where Discord does not say when that is allowed."""

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
"""What a request raises that got no answer; whether it was carried out is not known."""


@contextlib.contextmanager
def translate_errors(
    client: discord.Client, job: Job, why: str | None = None, *, thread: bool = False
) -> Iterator[None]:
    """Turn what discord.py raises inside the block into `DeliveryError`.

    Args:
        client: Knows servers and channels.
        job: What is delivered.
        why: What to tell the person who gets the message elsewhere because of a refusal.
        thread: Whether it goes into a thread of the job's own, opened in the channel that it was
            asked for in.

    Raises:
        DeliveryError: Also in a server that Discord has lost for now: what seems to be gone there
            comes back.
    """
    address = Address(**job.address)
    guild = None if address.guild is None else client.get_guild(address.guild)
    if guild is not None and guild.unavailable:
        raise DeliveryError(
            "delivery.unreachable", transient=True, retry_after=OUTAGE_SECONDS, unsent=True
        )
    try:
        with patience(BUSY_SECONDS):
            yield
    except discord.RateLimited as error:
        raise DeliveryError(
            "delivery.busy", transient=True, retry_after=error.retry_after, unsent=True
        ) from error
    except discord.HTTPException as error:
        refused = refusal(error, why)
        refused.passing = refused.passing and not _is_final(
            client, address, guild, error.code, thread=thread
        )
        raise refused from error
    except UNREACHABLE as error:
        raise DeliveryError("delivery.unreachable", transient=True) from error


def _is_final(
    client: discord.Client,
    address: Address,
    guild: discord.Guild | None,
    code: int,
    *,
    thread: bool,
) -> bool:
    """Whether what is known of a server says that a refusal there will last."""
    if guild is None:
        return address.guild is not None and client.is_ready()  # the bot has left it
    channel = guild.get_channel(address.channel)
    return thread and (
        code in LOCKED
        or (isinstance(channel, discord.TextChannel) and only_threads_are_closed(channel))
    )


def refusal(error: discord.HTTPException, why: str | None = None) -> DeliveryError:
    """Return the error for a failed response; `why` as for `translate_errors`."""
    status, code = error.status, error.code
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or code == TOO_LARGE:
        return DeliveryError("delivery.too_large", transient=False, unsent=True)
    if status == HTTPStatus.TOO_MANY_REQUESTS or code in SLOWED:
        wait = read_retry_after(error.response.headers, OLD_EDIT_SECONDS)
        return DeliveryError("delivery.busy", transient=True, retry_after=wait, unsent=True)
    down = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.UNAUTHORIZED
    if down or code == OVERLOADED:
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


def refuses_layout(error: discord.HTTPException) -> bool:
    """Whether the same card may be taken as an embed instead of a layout."""
    return error.code == INVALID_FORM


def refuses_files(error: discord.HTTPException) -> bool:
    """Whether the same message without its picture may be taken."""
    too_large = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or error.code == TOO_LARGE
    return too_large or error.status == HTTPStatus.FORBIDDEN


def _wrong_fields(error: discord.HTTPException) -> set[str]:
    """Return the fields of a form that Discord complains about, as the library writes them."""
    return set(re.findall(r"^In (\w+)", error.text, re.MULTILINE))


def _may_open_again(status: int, code: int) -> bool:
    if code in LOCKED:
        return True
    if status == HTTPStatus.FORBIDDEN:
        return code not in NO_DIRECT_MESSAGES | WORDS
    return status == HTTPStatus.NOT_FOUND and not code  # not Discord's own: something on the way
