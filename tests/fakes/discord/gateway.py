"""The gateway: sessions that outlive their connections, and connections that tests can break."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.discord import payloads
from tests.fakes.discord.entities import Guild
from tests.fakes.discord.world import World

DISPATCH, RECONNECT, INVALID, HELLO, ACK = 0, 7, 9, 10, 11

UNKNOWN_OPCODE, DECODE, NOT_AUTHENTICATED, AUTHENTICATION, ALREADY = 4001, 4002, 4003, 4004, 4005
TOO_MANY, BAD_SHARD, BAD_INTENTS, PRIVILEGED_INTENTS = 4008, 4010, 4013, 4014

GUILDS_INTENT, GUILD_MESSAGES_INTENT, DIRECT_MESSAGES_INTENT = 1 << 0, 1 << 9, 1 << 12
MESSAGE_CONTENT_INTENT = 1 << 15
PRIVILEGED = 1 << 1 | 1 << 8 | MESSAGE_CONTENT_INTENT

SENDS_PER_MINUTE = 120
HEARTBEAT_MS = 41_250

ACK_SECONDS = 0.02


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """What a client may come back to."""

    id: str
    shard: tuple[int, int]
    intents: int
    events: list[dict[str, Any]] = field(default_factory=list)
    """All dispatches; sequence number n at index n - 1."""
    connection: Connection | None = None

    def wants(self, name: str, guild: Guild | None) -> bool:
        """Whether an event goes to this session."""
        number, count = self.shard
        if (guild.id >> 22) % count != number if guild else number != 0:
            return False
        if name.startswith("MESSAGE"):
            intent = GUILD_MESSAGES_INTENT if guild else DIRECT_MESSAGES_INTENT
        elif name.startswith(("GUILD", "CHANNEL", "THREAD")):
            intent = GUILDS_INTENT
        else:
            return True
        return bool(self.intents & intent)

    def push(self, name: str, data: dict[str, Any]) -> None:
        """Add an event; it is sent as soon as there is a connection."""
        sequence = len(self.events) + 1
        self.events.append({"op": DISPATCH, "t": name, "s": sequence, "d": data})
        if self.connection is not None:
            self.connection.wake.set()


class Gateway:
    """All sessions of the bot.

    Args:
        token: The bot's.
        on_interaction: Called when INTERACTION_CREATE is handed over, with its data.
    """

    def __init__(
        self, world: World, *, token: str, on_interaction: Callable[[dict[str, Any]], None]
    ) -> None:
        self.world = world
        self.token = token
        self.on_interaction = on_interaction
        self.url = ""
        self.privileged_allowed = 0
        self.heartbeat_ms = HEARTBEAT_MS
        self.identifies = 0
        self.resumes = 0
        self.closes: list[int] = []
        """Codes that connections were closed with, by us, for what the client did."""
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()

    @property
    def ready(self) -> bool:
        """Whether a client is connected and knows its session."""
        return any(connection.session for connection in self.connections)

    def publish(self, name: str, data: dict[str, Any], guild: Guild | None) -> None:
        """Tell every session that is to know."""
        for session in self.sessions.values():
            if session.wants(name, guild):
                session.push(name, self._redacted(session, name, data))

    def drop(self) -> None:
        """Break the connections off without a word; their sessions can be resumed."""
        for connection in [*self.connections]:
            connection.abort()

    def ask_to_reconnect(self) -> None:
        """Send opcode 7."""
        for connection in [*self.connections]:
            connection.say({"op": RECONNECT, "d": None})

    def invalidate(self, *, resumable: bool = False) -> None:
        """Send opcode 9; sessions that are not resumable end."""
        for connection in [*self.connections]:
            if not resumable and connection.session is not None:
                self.sessions.pop(connection.session.id, None)
            connection.say({"op": INVALID, "d": resumable})

    def close(self, code: int) -> None:
        """Close the connections with a code."""
        for connection in [*self.connections]:
            connection.hang_up(code)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        compressed = request.query.get("compress") == "zlib-stream"
        connection = Connection(self, socket, request, compressed=compressed)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            if connection.session and connection.session.connection is connection:
                connection.session.connection = None
            self.world.bell.ring()
        return socket

    def _redacted(self, session: Session, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """Leave out what needs the message content intent."""
        if not name.startswith("MESSAGE_") or "content" not in data:
            return data
        own = data["author"]["id"] == str(self.world.bot.id)
        named = any(user["id"] == str(self.world.bot.id) for user in data["mentions"])
        if own or named or "guild_id" not in data or session.intents & MESSAGE_CONTENT_INTENT:
            return data
        return data | {"content": "", "embeds": [], "attachments": [], "components": []}


class Connection:
    """One WebSocket: a reader, and a writer that follows its session's events."""

    def __init__(
        self,
        gateway: Gateway,
        socket: web.WebSocketResponse,
        request: web.Request,
        *,
        compressed: bool,
    ) -> None:
        self.session: Session | None = None
        self.wake = asyncio.Event()
        self._gateway = gateway
        self._socket = socket
        self._request = request
        self._deflate = zlib.compressobj() if compressed else None
        self._sent = 0
        """Sequence number of the last event that was handed over."""
        self._first: deque[dict[str, Any]] = deque()
        """Payloads that go before events."""
        self._received: deque[float] = deque()
        self._close_code: int | None = None

    def say(self, payload: dict[str, Any]) -> None:
        """Send something that is no event."""
        self._first.append(payload)
        self.wake.set()

    def hang_up(self, code: int) -> None:
        """Close after what is to be said."""
        self._close_code = code
        self.wake.set()

    def abort(self) -> None:
        """Break off without closing."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def run(self) -> None:
        """Serve until the connection ends."""
        self.say({"op": HELLO, "d": {"heartbeat_interval": self._gateway.heartbeat_ms}})
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.TEXT:
                    break
                self._receive(message.data)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer

    async def _write(self) -> None:
        while True:
            await self.wake.wait()
            self.wake.clear()
            while self._first:
                await self._send(self._first.popleft())
            session = self.session
            while session is not None and self._sent < len(session.events):
                event = session.events[self._sent]
                self._sent += 1
                if event["t"] == "INTERACTION_CREATE":
                    self._gateway.on_interaction(event["d"])
                await self._send(event)
            if self._close_code is not None:
                await self._socket.close(code=self._close_code)

    async def _send(self, payload: dict[str, Any]) -> None:
        text = json.dumps(payload)
        if self._deflate is None:
            await self._socket.send_str(text)
            return
        data = self._deflate.compress(text.encode())
        await self._socket.send_bytes(data + self._deflate.flush(zlib.Z_SYNC_FLUSH))

    def _refuse(self, code: int) -> None:
        self._gateway.closes.append(code)
        self.hang_up(code)

    def _receive(self, text: str) -> None:
        if self._too_fast():
            self._refuse(TOO_MANY)
            return
        try:
            payload = json.loads(text)
            operation, data = payload["op"], payload.get("d")
        except (ValueError, KeyError, TypeError):
            self._refuse(DECODE)
            return
        match (operation, self.session):
            case (1, _):
                # A moment later: the library takes an instant answer for that to its last beat.
                loop = asyncio.get_running_loop()
                loop.call_later(ACK_SECONDS, self.say, {"op": ACK, "d": None})
            case (2, None):
                self._identify(data)
            case (6, None):
                self._resume(data)
            case (2 | 6, _):
                self._refuse(ALREADY)
            case (3 | 4 | 8, None):
                self._refuse(NOT_AUTHENTICATED)
            case (8, Session() as session):
                self._list_members(session, data)
            case (3 | 4, _):
                pass  # presence and voice change nothing that anybody looks at here
            case _:
                self._refuse(UNKNOWN_OPCODE)

    def _too_fast(self) -> bool:
        now = time.monotonic()
        self._received.append(now)
        while self._received[0] < now - 60:
            self._received.popleft()
        return len(self._received) > SENDS_PER_MINUTE

    def _identify(self, data: dict[str, Any]) -> None:
        gateway, world = self._gateway, self._gateway.world
        gateway.identifies += 1
        number, count = data.get("shard") or (0, 1)
        intents = data.get("intents")
        if data.get("token") != gateway.token:
            self._refuse(AUTHENTICATION)
        elif not 0 <= number < count:
            self._refuse(BAD_SHARD)
        elif not isinstance(intents, int) or intents >> 26:
            self._refuse(BAD_INTENTS)
        elif intents & PRIVILEGED & ~gateway.privileged_allowed:
            self._refuse(PRIVILEGED_INTENTS)
        else:
            session = Session(id=secrets.token_hex(16), shard=(number, count), intents=intents)
            gateway.sessions[session.id] = session
            self._take(session)
            guilds = [
                guild
                for guild in world.guilds.values()
                if world.bot.id in guild.members and (guild.id >> 22) % count == number
            ]
            session.push(
                "READY",
                {
                    "v": 10,
                    "user": payloads.user(world.bot),
                    "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
                    "session_id": session.id,
                    "resume_gateway_url": gateway.url,
                    "shard": [number, count],
                    "application": {"id": str(world.application_id), "flags": 0},
                    "private_channels": [],
                },
            )
            for guild in guilds:
                if session.wants("GUILD_CREATE", guild):
                    session.push("GUILD_CREATE", payloads.guild(world, guild))
            world.bell.ring()

    def _resume(self, data: dict[str, Any]) -> None:
        gateway = self._gateway
        session = gateway.sessions.get(data.get("session_id") or "")
        if data.get("token") != gateway.token:
            self._refuse(AUTHENTICATION)
        elif session is None or not 0 <= (data.get("seq") or 0) <= len(session.events):
            self.say({"op": INVALID, "d": False})
        else:
            gateway.resumes += 1
            self._sent = data.get("seq") or 0
            self._take(session)
            session.push("RESUMED", {})
            gateway.world.bell.ring()

    def _take(self, session: Session) -> None:
        if session.connection is not None:
            session.connection.abort()
        session.connection = self
        self.session = session
        self.wake.set()

    def _list_members(self, session: Session, data: dict[str, Any]) -> None:
        guild = self._gateway.world.guilds[int(data["guild_id"])]
        wanted = data.get("user_ids")
        wanted = {str(each) for each in (wanted if isinstance(wanted, list) else [wanted])}
        found = [
            payloads.member(member) | {"user": payloads.user(member.user)}
            for member in guild.members.values()
            if str(member.user.id) in wanted
        ]
        told = {"guild_id": str(guild.id), "members": found, "chunk_index": 0, "chunk_count": 1}
        if data.get("nonce"):
            told["nonce"] = data["nonce"]
        session.push("GUILD_MEMBERS_CHUNK", told)
