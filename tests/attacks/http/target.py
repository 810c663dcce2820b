"""The server under attack, and requests that are made by hand."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import socket
import threading

import aiohttp
import pytest
from PIL import Image

from tests.scenario.http_client import SECONDS, SMALL, ended, http_config, make_token, serving

GOOD = {"prompt": "a fox", "rushes": SMALL}
JSON, FORM = "application/json", "multipart/form-data; boundary=x"
CHUNKED = "Transfer-Encoding: chunked"


class Loop(asyncio.SelectorEventLoop):
    """A loop whose connections have small buffers, which the kernel does not let grow.

    So a client that has sent a large body knows that it was read.
    """

    async def create_server(self, *arguments, **options):
        server = await super().create_server(*arguments, **options)
        for listening in server.sockets:  # what it accepts has its buffers
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**17)
        return server


class Served:
    """A Rushes in a thread of its own, for all attacks, with a finished clip to be after."""

    def __init__(self, directory):
        self.directory = directory
        self.names = itertools.count()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(self.serve())

    async def serve(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        config = http_config(
            self.directory, queue={"waiting_per_user": 999, "waiting_per_guild": 999}
        )
        async with serving(config) as house:
            self.url = house.url
            self.mine = house.token(guild="mine", name="me")
            self.same = house.token(guild="mine", name="colleague")
            self.other = house.token(guild="other", name="eve")
            async with house.session(self.mine) as session:
                async with session.post("/v1/videos", json=GOOD) as response:
                    self.video = (await response.json())["id"]
                assert (await ended(session, self.video))["status"] == "completed"
            self._jobs = house.app.core.jobs
            self.ready.set()
            await self.stop.wait()

    @contextlib.asynccontextmanager
    async def session(self, token=None):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            yield session

    def token(self, name: str) -> str:
        """Return a token of a guild of its own: what it leaves under way is in nobody's way."""
        return make_token(self.directory, guild=name, name=f"{name} {next(self.names)}")

    async def drain(self) -> None:
        """Take no new jobs until `resume`."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._jobs.drain(), self.loop))

    async def resume(self) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._jobs.resume(), self.loop))

    async def jobs(self, token):
        async with self.session(token) as session, session.get("/v1/videos?limit=100") as answer:
            return [video["id"] for video in (await answer.json())["data"]]

    def raw(
        self,
        data: bytes,
        *,
        end: bool = True,
        whole: bool = False,
        seconds: float = SECONDS,
    ) -> bytes:
        """Send bytes as they are, and return what comes back until the other side closes.

        Where there is more to send, the head of the answer is enough: a server lingers for it.
        """
        port = int(self.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    received += chunk
                    if not end and not whole and b"\r\n\r\n" in received:
                        break
        return received


def attacks(kind, rows):
    """Return parameters: each row is what is tried, then the arguments."""
    return [
        pytest.param(*arguments, marks=pytest.mark.attack(kind, what), id=what)
        for what, *arguments in rows
    ]


async def asked(served, method, path, *, token=None, **given):
    async with served.session(token) as session, session.request(method, path, **given) as answer:
        body = await answer.read()
        assert b"Traceback" not in body
        return answer.status, body


def form(*parts: bytes, boundary=b"x", end=True) -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return body + (b"--" + boundary + b"--\r\n" if end else b"")


def field(name: str, value: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value


PROMPT = field("prompt", b"a fox")


def head(served, *more: str, path="/v1/videos", token: str | None = None) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {token or served.mine}",
        "Content-Type: application/json",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def picture(side: int, mode="RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "PNG")
    return file.getvalue()


def tool(name, arguments):
    """Return what calls a tool of MCP."""
    call = {"name": name, "arguments": arguments}
    return {
        "json": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
        "headers": {"Accept": "application/json, text/event-stream"},
    }
