"""One WebSocket of Slack's Socket Mode: opened once, watched for silence, never reconnected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp
from slack_sdk.socket_mode.aiohttp import SocketModeClient

from bot.network.connector import open_session
from bot.slack.payloads import Envelope, MalformedBody

PING_SECONDS = 5.0
"""Between our pings; four of them unanswered end a socket."""

SILENT_SECONDS = 40.0
"""A socket on which Slack has stopped to ping is dead; it pings every few seconds."""

NO_PING_SECONDS = 90.0
"""The same where no ping was ever seen: asking for a new socket each minute is always allowed."""

CHECK_SECONDS = 5.0

CONNECT_SECONDS = 10.0

HELLO_SECONDS = 10.0
"""How long a new socket may take to say hello, or to be refused."""

CROWDED_SECONDS = 300.0
"""After which a new socket shows whether Slack still counts sockets that are not ours."""

CROWDED = "crowded"

_SIGNS = frozenset({aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING})
"""What Slack sends unasked; answers to our pings do not count."""

_ENDS = frozenset({aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR})


class Socket(SocketModeClient):
    """The library's Socket Mode client for one WebSocket, watched for silence."""

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
        self._ended = asyncio.Event()
        self._greeting = asyncio.Event()
        self._reason = "closed"
        self._last_frame_at = 0.0
        self._pinged = False

    @property
    def broken(self) -> bool:
        """Whether Slack may not know that it has ended."""
        return self._reason in {"silent", "dead", "closed"}

    async def listen(self, address: str) -> None:
        """Connect to a single-use address.

        Raises:
            OSError: It did not work in time.
            aiohttp.ClientError: The same.
        """
        watched = self

        class WatchedResponse(aiohttp.ClientWebSocketResponse):
            """Notes everything that comes: the library keeps pings to itself."""

            async def receive(self, timeout: float | None = None) -> aiohttp.WSMessage:  # noqa: ASYNC109 - aiohttp's signature
                message = await super().receive(timeout)
                watched.note_frame(message.type)
                return message

        await self.aiohttp_client_session.close()
        self.aiohttp_client_session = open_session(ws_response_class=WatchedResponse)
        self.wss_uri = address
        self._last_frame_at = asyncio.get_running_loop().time()
        # Not the library's `connect`: that tries a used address again and again.
        async with asyncio.timeout(CONNECT_SECONDS):
            self.current_session = await self.aiohttp_client_session.ws_connect(
                address, autoping=False, heartbeat=PING_SECONDS
            )
        self.current_session_monitor = asyncio.ensure_future(self.monitor_current_session())
        self.message_receiver = asyncio.ensure_future(self.receive_messages())

    def note_frame(self, kind: aiohttp.WSMsgType) -> None:
        """Note a frame, as a sign of life."""
        if kind in _SIGNS:
            self._last_frame_at = asyncio.get_running_loop().time()
            self._pinged |= kind is aiohttp.WSMsgType.PING
        elif kind in _ENDS:
            self._end("closed")

    async def enqueue_message(self, message: str) -> None:
        """Handle messages about the socket itself; queue the others."""
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
            # Unreadable payloads would only come again.
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                await self.send_socket_mode_response({"envelope_id": identity})

    async def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the library's signature
        """Do not: this socket has ended."""
        self._end("dead")

    async def wait_for_hello(self) -> str | None:
        """Wait for Slack's hello; return why the socket has ended already, or None."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELLO_SECONDS):
                await self._greeting.wait()
        return self._reason if self._ended.is_set() else None

    async def wait_for_end(self) -> str:
        """Wait until the socket has ended, and return why."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            limit = SILENT_SECONDS if self._pinged else NO_PING_SECONDS
            left = self._last_frame_at + limit - loop.time()
            if left <= 0:
                self._end("silent")
            elif self.crowded and loop.time() - begun >= CROWDED_SECONDS:
                self._end(CROWDED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(left, CHECK_SECONDS))):
                    await self._ended.wait()
                    return self._reason

    def _end(self, reason: str) -> None:
        """Note why it has ended; what Slack said first counts."""
        if not self._ended.is_set():
            self._reason = reason
            self._ended.set()
            self._greeting.set()
