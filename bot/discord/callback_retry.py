"""Retries answers to interactions faster than discord.py, and detects answers of another process.

They have three seconds in all. Discord takes the first answer; a second one is refused with 40060.
That is fine where an earlier try of ours may have arrived. Otherwise another process answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import aiohttp
import discord
from discord.webhook.async_ import AsyncWebhookAdapter, async_context

from bot.discord.errors import ACKNOWLEDGED
from inference.retries import backoff

TRIES = 4
FIRST_SECONDS = 0.1
LONGEST_SECONDS = 0.4
"""Of the pauses after errors of Discord's servers; the library waits 1, 3 and 5 seconds."""

KEPT = 5000
"""Interactions whose answers are remembered as ours, far more than arrive in three seconds."""

_CALLBACK = "/callback"


class AnsweredElsewhereError(discord.HTTPException):
    """Another process with our token answered an interaction first."""


def answer_fast(elsewhere: Callable[[], None]) -> None:
    """Set up answers to all interactions that arrive in this context and its tasks.

    Args:
        elsewhere: Called for each interaction that another process answered.
    """
    async_context.set(_Adapter(elsewhere))


class _Adapter(AsyncWebhookAdapter):
    def __init__(self, elsewhere: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library has no types there
        self._elsewhere = elsewhere
        self._ours: OrderedDict[str, None] = OrderedDict()
        """Tokens of interactions that an answer of ours may have reached."""

    async def request(self, route: Any, session: Any, **how: Any) -> Any:
        """Send a request.

        Raises:
            AnsweredElsewhereError: It is an answer, and another process gave one.
        """
        token = str(route.webhook_token)
        is_answer = route.path.endswith(_CALLBACK)
        retrying = _Retrying(session, lambda: self._note(token) if is_answer else None)
        try:
            answer = await super().request(route, retrying, **how)  # type: ignore[arg-type]  # it only calls `request`
        except discord.HTTPException as error:
            if is_answer and error.code == ACKNOWLEDGED and token not in self._ours:
                self._elsewhere()
                raise AnsweredElsewhereError(error.response, error.text) from error
            raise
        # The library reads an id even where there was nothing to say.
        return answer or {"interaction": {"id": str(route.webhook_id)}}

    def _note(self, token: str) -> None:
        self._ours[token] = None
        self._ours.move_to_end(token)
        if len(self._ours) > KEPT:
            self._ours.popitem(last=False)


class _Retrying:
    """HTTP session that retries requests after errors of the server.

    Args:
        session: Sends.
        arrived: Called when a request was taken, or may have been.
    """

    def __init__(self, session: aiohttp.ClientSession, arrived: Callable[[], None]) -> None:
        self._session = session
        self._arrived = arrived

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, *, data: Any, **how: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        # A form can be sent once: its files are read while it is.
        tries = 1 if isinstance(data, aiohttp.FormData) else TRIES
        for failures in range(tries):
            async with contextlib.AsyncExitStack() as stack:
                request = self._session.request(method, url, data=data, **how)
                try:
                    response = await stack.enter_async_context(request)
                except BaseException:
                    self._arrived()
                    raise
                failed = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
                if failed or response.ok:
                    self._arrived()
                if not failed or failures + 1 == tries:
                    yield response
                    return
            pause = backoff(failures, first=FIRST_SECONDS, longest=LONGEST_SECONDS)
            await asyncio.sleep(pause)
