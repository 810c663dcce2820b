"""Opens the threads of clips: one on each job's card, when the clip is finished."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import discord
import structlog

from bot.config.values import ThreadMinutes
from bot.discord.address import Address, Posted
from bot.discord.errors import (
    THREAD_EXISTS,
    TOO_MANY_THREADS,
    UNKNOWN_MESSAGE,
    UNREACHABLE,
    refuses_words,
)
from bot.platform import Outgoing, Remember
from commands.text.messages import text
from commands.text.summary import thread_name
from inference.clock import Clock
from inference.domain.errors import DeliveryError

WAIT_SECONDS = 30.0
"""A clip waits so long for the rate limit of new threads; then it comes as a reply to its card."""

REMINDER_SECONDS = 86_400.0
"""Between two requests to a server's admins to archive threads."""

NAME_LENGTH = 100

_log = structlog.get_logger(__name__)


class Threads:
    """Opens threads.

    Args:
        minutes: Without a message, after which Discord hides a thread.
        clock: Says how long something waits.
    """

    def __init__(self, minutes: ThreadMinutes, clock: Clock) -> None:
        self._minutes = minutes
        self._clock = clock
        self._rooms: defaultdict[int | None, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._empty: set[int] = set()
        """Threads that were opened for something that is not in them yet."""
        self._reminded: dict[int | None, float] = {}

    async def open(
        self, client: discord.Client, card: Posted, message: Outgoing, remember: Remember, lang: str
    ) -> int:
        """Return the id of a card's thread, which is opened if needed.

        Args:
            client: Makes the requests.
            card: Carries the thread.
            message: What goes into it.
            remember: Keeps since when it waits for a rate limit.
            lang: Language of a name that is not the prompt.

        Raises:
            DeliveryError: There will be no thread; the message goes elsewhere.
            discord.RateLimited: In a few seconds there may be one.
            discord.HTTPException: No thread can be opened there.
        """
        if isinstance(client.get_channel(card.message), discord.Thread):
            return card.message  # a message and the thread opened from it have the same id
        self._empty.add(card.message)
        try:
            await self._open_somehow(client, card, message, lang)
        except discord.RateLimited as error:
            now = self._clock.now()
            since = min(now, message.trace.get("thread_busy_at", now))
            if now + error.retry_after - since > WAIT_SECONDS:
                raise _elsewhere("discord.why.thread_busy") from error
            await remember({"thread_busy_at": since})
            raise
        except discord.HTTPException as error:
            if error.code == UNKNOWN_MESSAGE:
                raise _elsewhere("discord.why.card_gone") from error
            raise
        return card.message

    def note_clip(self, thread: int) -> None:
        """Note that a thread has its clip."""
        self._empty.discard(thread)

    async def _open_somehow(
        self, client: discord.Client, card: Posted, message: Outgoing, lang: str
    ) -> None:
        """Open a thread; where a server has too many, one of ours makes room."""
        try:
            await self._open_named(client, card, message, lang)
        except discord.HTTPException as error:
            if error.code not in TOO_MANY_THREADS:
                raise
            await self._make_room(client, card, message, lang)

    async def _open_named(
        self, client: discord.Client, card: Posted, message: Outgoing, lang: str
    ) -> None:
        """Open a thread named after the prompt, or neutrally where its words are refused."""
        try:
            await self._open(client, card, thread_name(message.job, NAME_LENGTH))
        except discord.HTTPException as error:
            if not refuses_words(error):
                raise
            await self._open(client, card, text("discord.thread.name", lang, job=message.job.id))

    async def _open(self, client: discord.Client, card: Posted, called: str) -> None:
        try:
            await client.http.start_thread_with_message(
                card.channel, card.message, name=called, auto_archive_duration=self._minutes
            )
        except discord.HTTPException as error:
            if error.code != THREAD_EXISTS:
                raise

    async def _make_room(
        self, client: discord.Client, card: Posted, message: Outgoing, lang: str
    ) -> None:
        """Archive the oldest finished thread of ours in the server, and try once more."""
        guild = Address(**message.job.address).guild
        async with self._rooms[guild]:
            try:
                oldest = await self._oldest(client, guild)
                if oldest is None:
                    raise self._full(guild)
                await client.http.edit_channel(oldest, archived=True)
                await self._open_named(client, card, message, lang)
            except (discord.HTTPException, *UNREACHABLE) as error:
                raise self._full(guild) from error

    async def _oldest(self, client: discord.Client, guild: int | None) -> int | None:
        """Return the own thread in which nothing has been written for the longest time."""
        if guild is None or client.user is None:
            return None
        active = (await client.http.get_active_threads(guild))["threads"]
        mine = {
            int(thread["id"]): max(int(thread["id"]), int(thread.get("last_message_id") or 0))
            for thread in active
            if int(thread["owner_id"]) == client.user.id
        }
        return min(mine.keys() - self._empty, key=lambda each: mine[each], default=None)

    def _full(self, guild: int | None) -> DeliveryError:
        """Say why there is no thread; once a day with what admins can do about it."""
        now = self._clock.now()
        reminded = self._reminded.get(guild)
        if reminded is not None and now - reminded < REMINDER_SECONDS:
            return _elsewhere("discord.why.threads_full")
        self._reminded[guild] = now
        _log.warning("discord.threads_full", guild=guild)
        return _elsewhere("discord.why.threads_full_admins")


def _elsewhere(why: str) -> DeliveryError:
    reason = why.rpartition(".")[2]
    return DeliveryError("delivery.closed", transient=False, unsent=True, why=why, reason=reason)
