"""An HTTP proxy on loopback that demands a password and remembers what went through it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, urlsplit

USER = "studio@team"
PASSWORD = "p@ss/w:rd#1"  # noqa: S105 - opens nothing but this


@dataclass(kw_only=True)
class LoopbackProxy:
    """Forwards requests in absolute form, and tunnels; 407 without the right password."""

    password: str = PASSWORD
    seen: list[str] = field(default_factory=list)
    """`METHOD target` of every request that was let through."""
    refused: list[str] = field(default_factory=list)
    host: str = ""
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The value for the environment, with user and password."""
        return f"http://{quote(USER)}:{quote(PASSWORD, safe='')}@{self.host}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.host = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._forward(reader, writer)
            finally:
                writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *headers = head.rstrip("\r\n").split("\r\n")
        method, target, version = request.split(" ")
        named = {
            name.lower(): value.strip() for name, _, value in (h.partition(":") for h in headers)
        }
        wanted = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if named.get("proxy-authorization") != f"Basic {wanted}":
            self.refused.append(f"{method} {target}")
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="loopback"\r\n'
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        self.seen.append(f"{method} {target}")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            inward, outward = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            inward, outward = await asyncio.open_connection(parts.hostname, parts.port or 80)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            # One request a connection, unless it becomes a WebSocket.
            kept = [
                header
                for header in headers
                if not header.lower().startswith("proxy-")
                and ("upgrade" in named or not header.lower().startswith("connection:"))
            ]
            closing = [] if "upgrade" in named else ["Connection: close"]
            lines = [f"{method} {path or '/'} {version}", *kept, *closing, "", ""]
            outward.write("\r\n".join(lines).encode("latin-1"))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pipe(reader, outward))
                tasks.create_task(_pipe(inward, writer))
        finally:
            outward.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # the other side may have gone
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
