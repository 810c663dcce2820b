"""Socket Mode: keeps one WebSocket to Slack up, and replaces it when Slack asks or it is dead.

slack_sdk reconnects in place: what is being answered then loses its socket, and it has been seen to
get stuck. Here each of its clients lives for one socket only. The next one is up before a working
one is given up, so there are never more than two. Sockets that do not last are followed by growing
pauses with jitter: Slack closes the sockets of an app that opens too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from http import HTTPStatus

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.health import Health
from bot.network.http_limits import LogLimiter
from bot.slack.api.clients import Clients, problem
from bot.slack.api.errors import TOKEN_ERRORS, WIRE_ERRORS, delivery_error
from bot.slack.socket_mode.socket import CROWDED, Socket
from commands.text.messages import error_text
from inference.clock import Clock, SystemClock
from inference.domain.errors import UserError
from inference.retries import Backoff

OVERLAP_SECONDS = 3.5
"""How long an old socket stays beside the new one: acknowledgements are under way on it."""

CLOSE_SECONDS = 5.0

STABLE_SECONDS = 30.0
"""A socket that lasted this long was fine: the next failure is a first one."""

FIRST_PAUSE_SECONDS = 1.0

LONGEST_PAUSE_SECONDS = 60.0

HALF_OPEN_SECONDS = 120.0
"""How long Slack may go on counting a socket that broke."""

MAX_SOCKETS = 2

TOO_MANY = "too_many_websockets"
DISABLED = "link_disabled"

_REPLACED_IN_TIME = frozenset({"warning", "refresh_requested", CROWDED})
"""Reasons for the end of a socket that still works for a moment."""

_log = structlog.get_logger(__name__)


class Connection:
    """Keeps one socket up."""

    def __init__(
        self,
        app: AsyncApp,
        app_token: str,
        clients: Clients,
        logger: logging.Logger,
        *,
        health: Health,
        language: str,
        clock: Clock = SystemClock(),  # noqa: B008 - it has no state
    ) -> None:
        """Get ready.

        Args:
            app: Takes what is delivered.
            app_token: Opens the sockets.
            clients: For asking where to connect.
            logger: Of the library.
            health: Where lasting problems are reported.
            language: Of the sentences there.
            clock: Paces what is opened.
        """
        self._app = app
        self._app_token = app_token
        self._clients = clients
        self._logger = logger
        self._health = health
        self._language = language
        self._clock = clock
        self._backoff = Backoff(
            clock, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS, jitter=0.5
        )
        self._refusals = LogLimiter(clock)
        self._sockets: set[Socket] = set()
        self._broken_at: list[float] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._retire_now = asyncio.Event()
        self.connected = False
        """Whether a socket is up."""

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises:
            UserError: `slack.token_rejected`: Slack does not take the app token.
        """
        async with asyncio.TaskGroup() as group:
            socket = await self._open()
            try:
                while True:
                    self.connected = True
                    reason = await socket.wait_for_end()
                    _log.info("slack.socket.ended", reason=reason)
                    works = self.connected = reason in _REPLACED_IN_TIME
                    if self._clock.monotonic() - socket.opened_at >= STABLE_SECONDS:
                        self._backoff.reset()
                    if not works:
                        self._retire(socket, group, 0.0)
                    if reason == TOO_MANY:
                        await self._wait_for_retired()
                    await self._clock.sleep(self._pause_after(reason))
                    fresh = await self._open()
                    if works:
                        self._retire(socket, group, OVERLAP_SECONDS)
                    socket = fresh
            finally:
                await self._close(socket)

    # -- opening -----------------------------------------------------------------------------

    async def _open(self) -> Socket:
        """Open a socket that Slack lets stay, however long that takes."""
        while True:
            if len(self._sockets) >= MAX_SOCKETS:
                await self._wait_for_retired()
            try:
                socket, refused = await self._connect()
            except WIRE_ERRORS as error:
                refusal = delivery_error(error)
                code = problem(error)
                if code in TOKEN_ERRORS:
                    raise UserError("slack.token_rejected", problem=code) from error
                _log.warning("slack.unreachable", error=code)
                if code in {TOO_MANY, DISABLED}:
                    pause = self._pause_after(code)
                else:
                    pause = max(FIRST_PAUSE_SECONDS, self._backoff.next())
                    if not refusal.transient:
                        refused_by = UserError("slack.socket_refused", problem=code)
                        self._report("slack.socket", refused_by)
                await self._clock.sleep(max(pause, refusal.retry_after or 0.0))
                continue
            if refused is None:
                self._welcome(socket)
                return socket
            _log.warning("slack.socket.refused", reason=refused)
            await self._close(socket)
            await self._clock.sleep(self._pause_after(refused))

    async def _connect(self) -> tuple[Socket, str | None]:
        """Open a socket; also return why it has ended already, if it has."""
        client = self._clients.anonymous()
        opened = await client.apps_connections_open(app_token=self._app_token)
        socket = Socket(
            self._app_token,
            opened_at=self._clock.monotonic(),
            note_refusal=self._note_refusal,
            logger=self._logger,
            web_client=client,
        )
        socket.socket_mode_request_listeners.append(self._deliver)
        self._sockets.add(socket)
        try:
            await socket.listen(str(opened.get("url")))
            return socket, await socket.wait_for_hello()
        except BaseException:
            await self._close(socket)
            raise

    def _welcome(self, socket: Socket) -> None:
        """Compare how many sockets Slack counts with how many there are."""
        now = self._clock.monotonic()
        self._broken_at = [at for at in self._broken_at if now - at < HALF_OPEN_SECONDS]
        ours = len(self._sockets) + len(self._broken_at)
        _log.info("slack.connected", sockets=len(self._sockets), counted=socket.counted)
        for key in ("slack.socket", "slack.socket_mode"):
            self._health.clear(key)
        socket.crowded = socket.counted > len(self._sockets)
        if socket.counted > ours:
            _log.warning("slack.connections.foreign", counted=socket.counted, ours=ours)
            self._report(
                "slack.connections",
                UserError("slack.token_shared", counted=socket.counted, ours=ours),
            )
        else:
            self._health.clear("slack.connections")

    def _pause_after(self, reason: str) -> float:
        """Return the pause before the next socket, and report a problem that lasts."""
        if reason == TOO_MANY:
            self._report("slack.connections", UserError("slack.too_many_connections"))
            return max(FIRST_PAUSE_SECONDS, self._backoff.next())
        if reason == DISABLED:
            self._report("slack.socket_mode", UserError("slack.socket_mode_off"))
            return LONGEST_PAUSE_SECONDS
        return 0.0 if reason == CROWDED else self._backoff.next()

    def _report(self, key: str, error: UserError) -> None:
        self._health.report(key, error_text(error, self._language))

    # -- closing -----------------------------------------------------------------------------

    def _retire(self, socket: Socket, group: asyncio.TaskGroup, overlap: float) -> None:
        """Close a socket after a while, or sooner if its place is needed or the program ends."""

        async def retire() -> None:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(overlap):
                        await self._retire_now.wait()
            finally:
                await self._close(socket)

        task = group.create_task(retire(), name="slack-close")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _wait_for_retired(self) -> None:
        """Wait until every socket that was replaced is closed."""
        self._retire_now.set()
        if self._retiring:
            await asyncio.wait(set(self._retiring))
        self._retire_now.clear()

    async def _close(self, socket: Socket) -> None:
        """Throw a socket away, whatever state it is in."""
        if socket not in self._sockets:
            return
        if socket.broken:
            self._broken_at.append(self._clock.monotonic())
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close()  # type: ignore[no-untyped-call]  # the library's
        except Exception as error:  # noqa: BLE001 - what is broken may break on closing too
            _log.info("slack.not_closed", error=problem(error))
            await socket.aiohttp_client_session.close()
        finally:
            self._sockets.discard(socket)

    async def _deliver(self, socket: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        """Let the app answer, on the socket that brought the request."""
        begun = time.time()
        try:
            response = await run_async_bolt_app(self._app, request)
        except (AttributeError, LookupError, TypeError, ValueError):  # of a shape it never saw
            self._note_refusal("shape")
            response = BoltResponse(status=HTTPStatus.BAD_REQUEST)
        if 400 <= response.status < 500:  # noqa: PLR2004 - as bad the next time
            response = BoltResponse(status=HTTPStatus.OK)
        # Without an acknowledgement Slack sends it again, which makes nothing twice.
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            await send_async_response(socket, request, response, begun)

    def _note_refusal(self, reason: str) -> None:
        """Log once in a while that something came which Slack cannot have sent."""
        count = self._refusals.count()
        if count:
            _log.warning("slack.delivery.refused", reason=reason, deliveries=count)
