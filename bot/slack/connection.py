"""Socket Mode: a connection that Slack delivers on, replaced when it is up but dead.

slack_sdk reconnects when Slack asks for it, when the socket closes and when pings stay unanswered.
It has been seen to get stuck over that, and a connection that answers pings may still deliver
nothing. So there is a second look from outside, which builds everything anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError

from bot.slack.clients import REJECTED, Clients, problem
from inference.errors import UserError

PING_SECONDS = 5.0

LOOK_SECONDS = 1.0

DOWN_SECONDS = 20.0
"""A connection that the library has not brought back for so long is built anew."""

SILENT_SECONDS = 90.0
"""So is one on which Slack has said nothing for so long: one call a minute is always allowed."""

OVERLAP_SECONDS = 3.5
"""How long an old connection stays beside the new one: acknowledgements are under way on it."""

CLOSE_SECONDS = 5.0

RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Waits while Slack cannot be reached; the last one repeats."""

_log = structlog.get_logger(__name__)


class Connection:
    """Keeps one live connection."""

    def __init__(
        self,
        app: AsyncApp,
        app_token: str,
        clients: Clients,
        logger: logging.Logger,
        *,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._app = app
        self._app_token = app_token
        self._clients = clients
        self._logger = logger
        self._silent_seconds = silent_seconds

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises:
            UserError: `slack.token_rejected`: Slack does not take the app token.
        """
        async with asyncio.TaskGroup() as closing:
            while True:
                line = await self._open()
                try:
                    # A silent line stays until the next is up: it may speak again meanwhile.
                    while await line.silent():
                        fresh = await self._open()
                        closing.create_task(line.close(OVERLAP_SECONDS), name="slack-close")
                        line = fresh
                finally:
                    await line.close()

    async def _open(self) -> _Line:
        handler = AsyncSocketModeHandler(
            self._app,
            self._app_token,
            logger=self._logger,
            web_client=self._clients.anonymous(),
            ping_interval=PING_SECONDS,
        )
        line = _Line(handler, self._silent_seconds)
        try:
            # Asked for here, so that a token that is no good is told from a bad line.
            handler.client.wss_uri = await self._address()
            await handler.client.connect()  # type: ignore[no-untyped-call]  # the library's
        except BaseException:
            await line.close()
            raise
        _log.info("slack.connected")
        return line

    async def _address(self) -> str:
        """Ask Slack where to connect, for as long as it takes."""
        failures = 0
        while True:
            try:
                client = self._clients.anonymous()
                opened = await client.apps_connections_open(app_token=self._app_token)
                return str(opened["url"])
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                if problem(error) in REJECTED:
                    raise UserError("slack.token_rejected", problem=problem(error)) from error
                _log.warning("slack.unreachable", error=problem(error))
                wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                await asyncio.sleep(max(wait, _retry_after(error)))
                failures += 1


class _Line:
    """One connection, watched."""

    def __init__(self, handler: AsyncSocketModeHandler, silent_seconds: float) -> None:
        self._handler = handler
        self._silent_seconds = silent_seconds
        self._heard = asyncio.get_running_loop().time()
        handler.client.message_listeners.append(self._hear)

    async def silent(self) -> bool:
        """Wait until it is no good; return whether it is merely silent, not down."""
        loop = asyncio.get_running_loop()
        up = loop.time()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = loop.time()
            if await self._handler.client.is_connected():
                up = now
            if now - up > DOWN_SECONDS:
                _log.warning("slack.reconnecting", reason="down")
                return False
            if now - self._heard > self._silent_seconds:
                _log.info("slack.reconnecting", reason="silent")
                return True

    async def close(self, after_seconds: float = 0.0) -> None:
        """Throw it away, whatever state it is in."""
        await asyncio.sleep(after_seconds)
        with contextlib.suppress(Exception):  # what is broken may break on closing too
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._handler.client.close()  # type: ignore[no-untyped-call]  # the library's

    async def _hear(self, *_: Any) -> None:
        self._heard = asyncio.get_running_loop().time()


def _retry_after(error: BaseException) -> float:
    if not isinstance(error, SlackApiError):
        return 0.0
    told = str(error.response.headers.get("Retry-After", ""))
    return float(told) if told.isdecimal() else 0.0
