"""Socket Mode: a line on which Slack delivers, replaced when Slack asks, or when it is dead.

slack_sdk reconnects in place: what is being answered then loses its line, and it has been seen to
get stuck. Here each of its clients lives for one line only, and the next line is up before the
last is given up. A line is over when it closes, when Slack asks for that, or when it is up but
silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack.clients import Clients, problem
from bot.slack.errors import WIRE_ERRORS, delivery_error
from inference.errors import UserError

PING_SECONDS = 5.0
"""Between our pings; four of them unanswered end a line."""

SILENT_SECONDS = 40.0
"""A line on which Slack has stopped to ping is dead; it pings every few seconds."""

WORDLESS_SECONDS = 90.0
"""The same where no ping was ever seen: asking for a new line each minute is always allowed."""

LOOK_SECONDS = 5.0

CONNECT_SECONDS = 10.0

OVERLAP_SECONDS = 3.5
"""How long an old line stays beside the new one: acknowledgements are under way on it."""

CLOSE_SECONDS = 5.0

RETRY_SECONDS = (0.5, 2.0, 5.0, 15.0, 30.0)
"""Waits while Slack cannot be reached; the last one repeats."""

ASKED = "asked"
"""Why a line is over that still works for a moment."""

_SIGNS = frozenset({aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING})
"""What Slack sends of its own accord; answers to our pings are none."""

_ENDS = frozenset({aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR})

_log = structlog.get_logger(__name__)


class Connection:
    """Keeps one line up."""

    def __init__(
        self,
        app: AsyncApp,
        app_token: str,
        clients: Clients,
        logger: logging.Logger,
        *,
        patience: float = 1.0,
    ) -> None:
        """Get ready.

        Args:
            app: Takes what is delivered.
            app_token: Opens the lines.
            clients: For asking where to connect.
            logger: Of the library.
            patience: Multiplies how long a line may be silent.
        """
        self._app = app
        self._app_token = app_token
        self._clients = clients
        self._logger = logger
        self._patience = patience

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises:
            UserError: `slack.token_rejected`: Slack does not take the app token.
        """
        async with asyncio.TaskGroup() as closing:
            line = await self._open()
            try:
                while True:
                    reason = await line.over(self._patience)
                    _log.info("slack.reconnecting", reason=reason)
                    fresh = await self._open()
                    overlap = OVERLAP_SECONDS if reason == ASKED else 0.0
                    closing.create_task(_retire(line, overlap), name="slack-close")
                    line = fresh
            finally:
                await _close(line)

    async def _open(self) -> _Line:
        """Open a line, however long that takes."""
        failures = 0
        while True:
            try:
                return await self._connect()
            except WIRE_ERRORS as error:
                refusal = delivery_error(error)
                if not refusal.transient:
                    raise UserError("slack.token_rejected", problem=problem(error)) from error
                _log.warning("slack.unreachable", error=problem(error))
                wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                await asyncio.sleep(max(wait, refusal.retry_after or 0.0))
                failures += 1

    async def _connect(self) -> _Line:
        client = self._clients.anonymous()
        opened = await client.apps_connections_open(app_token=self._app_token)
        line = _Line(self._app_token, logger=self._logger, web_client=client)
        line.socket_mode_request_listeners.append(self._deliver)
        try:
            await line.listen(str(opened["url"]))
        except BaseException:
            await _close(line)
            raise
        _log.info("slack.connected")
        return line

    async def _deliver(self, line: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        """Let the app answer, on the line that brought the request."""
        begun = time.time()
        response = await run_async_bolt_app(self._app, request)
        # Without an acknowledgement Slack sends it again, which makes nothing twice.
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            await send_async_response(line, request, response, begun)


class _Line(SocketModeClient):
    """The library's client for the length of one line, watched."""

    def __init__(self, app_token: str, **options: object) -> None:
        super().__init__(app_token, ping_interval=PING_SECONDS, **options)  # type: ignore[arg-type]  # as given by the only caller
        self._over = asyncio.Event()
        self._reason = "closed"
        self._heard_at = 0.0
        self._pinged = False

    async def listen(self, address: str) -> None:
        """Connect to an address, which is good for once.

        Raises:
            OSError: It did not work in time.
        """
        line = self

        class Socket(aiohttp.ClientWebSocketResponse):
            """Tells the line of everything that comes: the library keeps pings to itself."""

            async def receive(self, timeout: float | None = None) -> aiohttp.WSMessage:  # noqa: ASYNC109 - aiohttp's signature
                message = await super().receive(timeout)
                line.hear(message.type)
                return message

        await self.aiohttp_client_session.close()
        self.aiohttp_client_session = aiohttp.ClientSession(
            ws_response_class=Socket, trust_env=True
        )
        self.wss_uri = address
        self._heard_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(CONNECT_SECONDS):
            await self.connect()  # type: ignore[no-untyped-call]  # the library's

    def hear(self, kind: aiohttp.WSMsgType) -> None:
        """Note what came."""
        if kind in _SIGNS:
            self._heard_at = asyncio.get_running_loop().time()
            self._pinged |= kind is aiohttp.WSMsgType.PING
        elif kind in _ENDS:
            self._over.set()

    async def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Do not: this line is over; `force` says that Slack asked for it."""
        self._reason = ASKED if force else "dead"
        self._over.set()

    async def over(self, patience: float) -> str:
        """Wait until the line is of no use any more, and return why."""
        loop = asyncio.get_running_loop()
        while True:
            limit = (SILENT_SECONDS if self._pinged else WORDLESS_SECONDS) * patience
            left = self._heard_at + limit - loop.time()
            if left <= 0:
                return "silent"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_SECONDS * patience)):
                    await self._over.wait()
                    return self._reason


async def _retire(line: _Line, after_seconds: float) -> None:
    """Close a line after a while, or sooner if the program ends."""
    try:
        await asyncio.sleep(after_seconds)
    finally:
        await _close(line)


async def _close(line: _Line) -> None:
    """Throw a line away, whatever state it is in."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await line.close()  # type: ignore[no-untyped-call]  # the library's
    except Exception as error:  # noqa: BLE001 - what is broken may break on closing too
        _log.info("slack.not_closed", error=problem(error))
        await line.aiohttp_client_session.close()
