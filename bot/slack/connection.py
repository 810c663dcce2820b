"""Socket Mode: the WebSocket on which Slack delivers, replaced when Slack asks or when it is dead.

slack_sdk reconnects in place: what is being answered then loses its socket, and it has been seen to
get stuck. Here each of its clients lives for one socket only. The next one is up before a working
one is given up, so there are never more than two. Sockets that do not last are followed by growing
pauses with jitter: Slack closes the sockets of an app that opens too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from http import HTTPStatus

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.connector import open_session
from bot.health import Health
from bot.slack.api.clients import Clients, problem
from bot.slack.api.errors import TOKEN_ERRORS, WIRE_ERRORS, delivery_error
from bot.slack.envelopes import Envelope
from bot.slack.http_body import MalformedBody
from bot.slack.http_limits import LogLimiter
from commands.text.messages import error_text
from inference.clock import Clock, SystemClock
from inference.domain.errors import UserError

PING_SECONDS = 5.0
"""Between our pings; four of them unanswered end a socket."""

SILENT_SECONDS = 40.0
"""A socket on which Slack has stopped to ping is dead; it pings every few seconds."""

WORDLESS_SECONDS = 90.0
"""The same where no ping was ever seen: asking for a new socket each minute is always allowed."""

LOOK_SECONDS = 5.0

CONNECT_SECONDS = 10.0

HELLO_SECONDS = 10.0
"""How long a new socket may take to say hello, or to be refused."""

OVERLAP_SECONDS = 3.5
"""How long an old socket stays beside the new one: acknowledgements are under way on it."""

CLOSE_SECONDS = 5.0

STABLE_SECONDS = 30.0
"""A socket that lasted this long was fine: the next failure is a first one."""

FIRST_PAUSE_SECONDS = 1.0

LONGEST_PAUSE_SECONDS = 60.0

CROWDED_SECONDS = 300.0
"""After which a new socket shows whether Slack still counts sockets that are not ours."""

HALF_OPEN_SECONDS = 120.0
"""How long Slack may go on counting a socket that broke."""

MOST_SOCKETS = 2

TOO_MANY = "too_many_websockets"
DISABLED = "link_disabled"
CROWDED = "crowded"

_REPLACED_IN_TIME = frozenset({"warning", "refresh_requested", CROWDED})
"""Why a socket is over that still works for a moment."""

_SIGNS = frozenset({aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING})
"""What Slack sends of its own accord; answers to our pings are none."""

_ENDS = frozenset({aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR})

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
        self._pauses = _Pauses()
        self._refusals = LogLimiter(clock)
        self._sockets: set[_Socket] = set()
        self._broken_at: list[float] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()
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
                    reason = await socket.over()
                    _log.info("slack.socket.over", reason=reason)
                    works = self.connected = reason in _REPLACED_IN_TIME
                    if self._clock.monotonic() - socket.opened_at >= STABLE_SECONDS:
                        self._pauses.reset()
                    if not works:
                        self._retire(socket, group, 0.0)
                    if reason == TOO_MANY:
                        await self._retired()
                    await self._clock.sleep(self._pause_after(reason))
                    fresh = await self._open()
                    if works:
                        self._retire(socket, group, OVERLAP_SECONDS)
                    socket = fresh
            finally:
                await self._close(socket)

    # -- opening -----------------------------------------------------------------------------

    async def _open(self) -> _Socket:
        """Open a socket that Slack lets stay, however long that takes."""
        while True:
            if len(self._sockets) >= MOST_SOCKETS:
                await self._retired()
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
                    pause = self._pauses.next(first=FIRST_PAUSE_SECONDS)
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

    async def _connect(self) -> tuple[_Socket, str | None]:
        """Open a socket; also return why it is over already, if it is."""
        client = self._clients.anonymous()
        opened = await client.apps_connections_open(app_token=self._app_token)
        socket = _Socket(
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
            return socket, await socket.greeted()
        except BaseException:
            await self._close(socket)
            raise

    def _welcome(self, socket: _Socket) -> None:
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
        """Return how long to wait before the next socket, and report what lasts."""
        if reason == TOO_MANY:
            self._report("slack.connections", UserError("slack.too_many_connections"))
            return self._pauses.next(first=FIRST_PAUSE_SECONDS)
        if reason == DISABLED:
            self._report("slack.socket_mode", UserError("slack.socket_mode_off"))
            return LONGEST_PAUSE_SECONDS
        return 0.0 if reason == CROWDED else self._pauses.next()

    def _report(self, key: str, error: UserError) -> None:
        self._health.report(key, error_text(error, self._language))

    # -- closing -----------------------------------------------------------------------------

    def _retire(self, socket: _Socket, group: asyncio.TaskGroup, overlap: float) -> None:
        """Close a socket after a while, or sooner if its place is needed or the program ends."""

        async def retire() -> None:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(overlap):
                        await self._hurry.wait()
            finally:
                await self._close(socket)

        task = group.create_task(retire(), name="slack-close")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retired(self) -> None:
        """Wait until every socket that was replaced is closed."""
        self._hurry.set()
        if self._retiring:
            await asyncio.wait(set(self._retiring))
        self._hurry.clear()

    async def _close(self, socket: _Socket) -> None:
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


class _Pauses:
    """Growing pauses with jitter between tries that do not last; the first costs none."""

    def __init__(self) -> None:
        self._failures = 0

    def next(self, *, first: float = 0.0) -> float:
        """Count a failure and return how long to wait after it."""
        ceiling = FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1) if self._failures else first
        self._failures = min(self._failures + 1, 30)
        return min(ceiling, LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads tries, guards nothing

    def reset(self) -> None:
        """Forget the failures."""
        self._failures = 0


class _Socket(SocketModeClient):
    """The library's client for the length of one WebSocket, watched."""

    def __init__(
        self,
        app_token: str,
        *,
        opened_at: float,
        note_refusal: Callable[[str], None],
        **options: object,
    ) -> None:
        super().__init__(app_token, ping_interval=PING_SECONDS, **options)  # type: ignore[arg-type]  # as given by the only caller
        self._note_refusal = note_refusal
        self.opened_at = opened_at
        """Monotonic seconds."""
        self.counted = 0
        """How many sockets of the app Slack counted at its hello."""
        self.crowded = False
        """Whether that were more than there should be: then it is worth looking again."""
        self._over = asyncio.Event()
        self._greeting = asyncio.Event()
        self._reason = "closed"
        self._heard_at = 0.0
        self._pinged = False

    @property
    def broken(self) -> bool:
        """Whether Slack may not know that it is over."""
        return self._reason in {"silent", "dead", "closed"}

    async def listen(self, address: str) -> None:
        """Connect to an address, which is good for once.

        Raises:
            OSError: It did not work in time.
            aiohttp.ClientError: The same.
        """
        watched = self

        class Heard(aiohttp.ClientWebSocketResponse):
            """Notes everything that comes: the library keeps pings to itself."""

            async def receive(self, timeout: float | None = None) -> aiohttp.WSMessage:  # noqa: ASYNC109 - aiohttp's signature
                message = await super().receive(timeout)
                watched.hear(message.type)
                return message

        await self.aiohttp_client_session.close()
        self.aiohttp_client_session = open_session(ws_response_class=Heard)
        self.wss_uri = address
        self._heard_at = asyncio.get_running_loop().time()
        # Not the library's `connect`: that tries a used address again and again.
        async with asyncio.timeout(CONNECT_SECONDS):
            self.current_session = await self.aiohttp_client_session.ws_connect(
                address,
                autoping=False,
                heartbeat=PING_SECONDS,
            )
        self.current_session_monitor = asyncio.ensure_future(self.monitor_current_session())
        self.message_receiver = asyncio.ensure_future(self.receive_messages())

    def hear(self, kind: aiohttp.WSMsgType) -> None:
        """Note what came."""
        if kind in _SIGNS:
            self._heard_at = asyncio.get_running_loop().time()
            self._pinged |= kind is aiohttp.WSMsgType.PING
        elif kind in _ENDS:
            self._end("closed")

    async def enqueue_message(self, message: str) -> None:
        """Take what Slack says of the socket itself, before it closes; queue what it delivers."""
        identity = ""
        try:
            said = Envelope.read(message)
            identity = said.id
            match said.type:
                case "hello":
                    counted = said.content.get("num_connections")
                    self.counted = counted if isinstance(counted, int) else 0
                    self._greeting.set()
                case "disconnect":
                    self._end(str(said.content.get("reason") or "unknown"))
                case _:
                    said.check()
                    await super().enqueue_message(message)
        except MalformedBody as error:
            self._note_refusal(str(error))
            if not identity:
                return
            # What nobody can read would only come again.
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                await self.send_socket_mode_response({"envelope_id": identity})

    async def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the library's signature
        """Do not: this socket is over."""
        self._end("dead")

    async def greeted(self) -> str | None:
        """Wait for Slack's hello; return why the socket is over already, or None."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELLO_SECONDS):
                await self._greeting.wait()
        return self._reason if self._over.is_set() else None

    async def over(self) -> str:
        """Wait until the socket is of no use any more, and return why."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            limit = SILENT_SECONDS if self._pinged else WORDLESS_SECONDS
            left = self._heard_at + limit - loop.time()
            if left <= 0:
                self._end("silent")
            elif self.crowded and loop.time() - begun >= CROWDED_SECONDS:
                self._end(CROWDED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(left, LOOK_SECONDS))):
                    await self._over.wait()
                    return self._reason

    def _end(self, reason: str) -> None:
        """Note why it is over; what Slack said first counts."""
        if not self._over.is_set():
            self._reason = reason
            self._over.set()
            self._greeting.set()
