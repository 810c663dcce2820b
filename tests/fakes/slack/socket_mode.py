"""Socket Mode: WebSockets to which envelopes are dealt out, one each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from tests.fakes.slack.limits import Meter
from tests.fakes.slack.mail import ACK_SECONDS, BUSY_SECONDS
from tests.fakes.slack.model import APP_ID, Json
from tests.fakes.slack.records import SlackError
from tests.fakes.slack.world import Age, World

MOST_CONNECTIONS = 10

OPENS_PER_MINUTE = 20
"""Of `apps.connections.open`. Slack's tier 1 allows one and lets a few more pass: a test that needs
the letter of it sets `SocketMode.opens_per_minute`."""

REFRESH_SECONDS = 0.5
"""Between the request to reconnect and the end, where nothing is under way."""

ANSWER_SECONDS = 10.0
"""What Slack gives for the rest."""

TICKET_SECONDS = 30.0

Condition = Literal["well", "silent", "dead"]


@dataclass(kw_only=True, eq=False)
class Connection:
    """One WebSocket of the app."""

    socket: web.WebSocketResponse
    request: web.Request
    condition: Condition = "well"
    """`silent`: open and answering pings, but nothing comes. `dead`: not even that."""
    waiting: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    """Envelopes that were not acknowledged yet."""
    sent: set[str] = field(default_factory=set)
    """Envelopes that it ever got."""
    leaving: bool = False
    """Was asked to reconnect: nothing new goes this way."""


class SocketMode:
    """The wire of apps in Socket Mode."""

    def __init__(self, world: World, *, ping_seconds: float) -> None:
        self.connections: list[Connection] = []
        self.opened = 0
        """Connections in all."""
        self.most_at_once = 0
        self.foreign = 0
        """Connections that other processes hold with the same app token."""
        self.enabled = True
        """Whether Socket Mode is switched on for the app."""
        self.opens_per_minute = OPENS_PER_MINUTE
        self._world = world
        self._ping_seconds = ping_seconds
        self._tickets: dict[str, Age] = {}
        self._turns = itertools.count()
        self._meter = Meter()

    # -- what tests do -----------------------------------------------------------------------

    def drop(self) -> None:
        """Tear every connection, without a word."""
        for connection in self.connections:
            if connection.request.transport is not None:
                connection.request.transport.abort()

    def numb(self, condition: Condition = "silent") -> None:
        """Let the open connections look alive, or dead, while nothing comes any more."""
        for connection in self.connections:
            connection.condition = condition

    async def ask_to_reconnect(self, *reasons: str) -> None:
        """Tell every connection that it ends, for a reason or more, and close it."""
        for connection in list(self.connections):
            await self._dismiss(connection, *(reasons or ("warning", "refresh_requested")))

    async def switch_off(self) -> None:
        """Switch Socket Mode off, as an admin of the app does."""
        self.enabled = False
        await self.ask_to_reconnect("link_disabled")

    async def _dismiss(self, connection: Connection, *reasons: str) -> None:
        connection.leaving = True
        for reason in reasons:
            said = {"type": "disconnect", "reason": reason, "debug_info": {"host": "loopback"}}
            with contextlib.suppress(ConnectionError):
                await connection.socket.send_json(said)
        if "refresh_requested" in reasons:
            await asyncio.sleep(REFRESH_SECONDS)
            if under_way := set(connection.waiting.values()):
                await asyncio.wait(under_way, timeout=ANSWER_SECONDS)
        await connection.socket.close()

    # -- the wire ----------------------------------------------------------------------------

    async def send(
        self, kind: str, payload: Json, *, attempt: int, reason: str | None
    ) -> Json | None:
        """Give an envelope to one connection; see `Wire`."""
        able = [connection for connection in self.connections if not connection.leaving]
        if not able:
            return None
        connection = able[next(self._turns) % len(able)]
        identity = secrets.token_hex(12)
        envelope: Json = {
            "envelope_id": identity,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": reason or ""}
        acknowledged: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        connection.waiting[identity] = acknowledged
        connection.sent.add(identity)
        try:
            if connection.condition == "well":
                await connection.socket.send_json(envelope)
            async with asyncio.timeout(
                BUSY_SECONDS if connection.condition == "well" else ACK_SECONDS
            ):
                return await acknowledged
        except (TimeoutError, ConnectionError):
            return None
        finally:
            connection.waiting.pop(identity, None)

    def ticket(self) -> str:
        """Hand out the right to connect once.

        Raises:
            SlackError: There were too many of them, or Socket Mode is off.
        """
        if not self.enabled:
            raise SlackError("socket_mode_disabled")
        wait = self._meter.take("apps.connections.open", "", self.opens_per_minute)
        if wait:
            raise SlackError("ratelimited", retry_after=wait)
        ticket = secrets.token_hex(16)
        self._tickets[ticket] = Age(self._world)
        return ticket

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to one connection until it ends."""
        age = self._tickets.pop(request.query.get("ticket", ""), None)
        if age is None or age.seconds > TICKET_SECONDS:
            raise web.HTTPForbidden(text="the ticket was used, or is too old")
        stream = web.WebSocketResponse(autoping=False)
        await stream.prepare(request)
        self.opened += 1
        connection = Connection(socket=stream, request=request)
        self.connections.append(connection)
        self.most_at_once = max(self.most_at_once, self._open)
        self._world.touch()
        async with asyncio.TaskGroup() as group:
            pings = group.create_task(self._ping(connection))
            try:
                if self._open + self.foreign > MOST_CONNECTIONS:
                    await self._dismiss(connection, "too_many_websockets")
                else:
                    await stream.send_json(self._hello())
                async for message in stream:
                    await self._hear(connection, message)
            except ConnectionError:
                pass  # torn by a test, or by the end of the app
            finally:
                pings.cancel()
                self.connections.remove(connection)
                self._lose(connection)
                self._world.touch()
        return stream

    async def close(self) -> None:
        """End every connection."""
        for connection in list(self.connections):
            await connection.socket.close(code=WSCloseCode.GOING_AWAY)

    @property
    def _open(self) -> int:
        """How many connections are not closed; what is closed may still be listed for a moment."""
        return sum(not connection.socket.closed for connection in self.connections)

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": self._open + self.foreign,
            "connection_info": {"app_id": APP_ID},
            "debug_info": {"host": "loopback", "approximate_connection_time": 18060},
        }

    async def _hear(self, connection: Connection, message: WSMessage) -> None:
        if connection.condition == "dead":
            return
        if message.type is WSMsgType.PING:
            await connection.socket.pong(message.data)
        if message.type is not WSMsgType.TEXT:
            return
        said = json.loads(message.data)
        identity = said.get("envelope_id", "")
        if identity not in connection.sent:
            self._world.violate(f"an acknowledgement of nothing that was sent: {said}")
        waiting = connection.waiting.get(identity)
        if waiting is not None and not waiting.done():
            waiting.set_result(said.get("payload") or {})

    async def _ping(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            if connection.condition == "well":
                with contextlib.suppress(ConnectionError):
                    await connection.socket.ping(b"Ping from loopback")

    def _lose(self, connection: Connection) -> None:
        for waiting in connection.waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the connection ended"))
