"""`/mcp`: streamable HTTP on the port of the API, through a small ASGI adapter.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.http.access.guard import TOKEN, Guard, hostname
from bot.http.body import SMALL, may_be_large, read_body
from bot.http.mcp.tools import ToolCall, Tools
from bot.http.videos.creation import Creation
from bot.http.videos.requests import ImageReference, image_bytes
from bot.platform import Services
from inference.domain.errors import UserError
from inference.domain.job import Job

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/mcp"

MAX_BODY = 4 * 2**20
"""Bytes: a message with a picture of 3 MB."""

CLOSE_SECONDS = 1.0
"""How long answers may take when the server closes."""

REQUEST = "rushes"
"""Key of aiohttp's request in the scope."""

Message = MutableMapping[str, Any]


class McpRoute:
    """The route. The SDK is loaded by the first request."""

    def __init__(self, services: Services, guard: Guard, tools: Tools, creation: Creation) -> None:
        self._services = services
        self._guard = guard
        self._tools = tools
        self._creation = creation
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the route, of POST only: without sessions there is nothing to GET or DELETE."""
        return [web.post(PATH, self._answer)]

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve inside the block."""
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._idle.wait()
            self._stop.set()
            if self._task is not None:
                await self._task

    async def _run(self, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        """Own the SDK's tasks: they have to end in the task that they began in."""
        try:
            manager = await asyncio.to_thread(self._make)
            async with manager.run():
                ready.set_result(manager)
                await self._stop.wait()
        except Exception as error:  # noqa: BLE001 - the waiting request reports it
            if not ready.done():
                ready.set_exception(error)
                self._manager = None

    def _make(self) -> StreamableHTTPSessionManager:
        from bot.http.mcp.server import make_manager, make_server  # noqa: PLC0415 - it takes a second

        async def list_tools(request: Any) -> list[dict[str, Any]]:
            return self._tools.list_tools(self._guard.locale(request.scope[REQUEST]))

        async def run(
            request: Any, name: str, arguments: dict[str, Any], report: Any
        ) -> dict[str, Any]:
            asked: web.Request = request.scope[REQUEST]

            async def link(job: Job, _: Path) -> str:
                return f"{self._guard.base_url(asked)}/v1/videos/{job.id}/content"

            tool_call = ToolCall(
                call=self._guard.call(asked),
                turn=partial(self._turn, asked),
                link=link,
                report=report,
            )
            return await self._tools.run(name, arguments, tool_call)

        return make_manager(make_server(list_tools, run, locale=self._services.language))

    @contextlib.asynccontextmanager
    async def _turn(
        self, request: web.Request, pictures: Mapping[str, str]
    ) -> AsyncIterator[Mapping[str, str]]:
        """Keep pictures and wait for the turn of a tool that makes a job; see `Creation.turn`."""
        files = {
            name: image_bytes(ImageReference(image_url=picture), name)
            for name, picture in pictures.items()
        }
        fields = {name: name for name in files}
        async with self._creation.turn(request, files, fields=fields) as images:
            yield images

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._check_origin(request)
        async with contextlib.AsyncExitStack() as stack:
            if may_be_large(request):
                self._guard.admission.check_room(request[TOKEN])
                upload = self._guard.admission.upload(request, request[TOKEN])
                await stack.enter_async_context(upload)
            body = await read_body(request, MAX_BODY)
            if len(body) <= SMALL:
                await stack.aclose()
            elif not _brings_picture(body):
                raise UserError("http.too_large", limit_mb=SMALL // 2**20)
            manager = await self._ready()
            with self._count_request():
                return await _run_app(manager, request, [body])

    async def _ready(self) -> StreamableHTTPSessionManager:
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(self._manager), name="http-mcp")
        return await asyncio.shield(self._manager)

    @contextlib.contextmanager
    def _count_request(self) -> Iterator[None]:
        """Count the block as a request that is being answered."""
        self._answering += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    def _check_origin(self, request: web.Request) -> None:
        """Keep out pages that got a browser to talk to this server (DNS rebinding).

        Raises:
            UserError: `http.host` or `http.origin`.
        """
        host = request.headers.get("Host", "")
        if not self._guard.is_own_host(host):
            raise UserError("http.host", host=host[:100])
        for origin in request.headers.getall("Origin", []):
            if hostname(origin) not in self._guard.hosts:
                raise UserError("http.origin", origin=origin[:100])


def _brings_picture(body: bytes) -> bool:
    """Return whether a message calls the one tool that needs a large one."""
    try:
        return bool(json.loads(body)["params"]["name"] == "generate")
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


async def _run_app(
    manager: StreamableHTTPSessionManager, request: web.Request, pending: list[bytes]
) -> web.StreamResponse:
    """Run the ASGI application for one request; it ends with the client.

    Args:
        manager: Makes the answer.
        request: What is answered.
        pending: Its body; taken out, so that an answer that takes long does not hold it.
    """
    response = web.StreamResponse()
    left = asyncio.Event()

    async def receive() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        try:
            if message["type"] == "http.response.start":
                response.set_status(message["status"])
                for name, value in message.get("headers", ()):
                    response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
                await response.prepare(request)
            elif not left.is_set():
                await response.write(message.get("body", b""))
        except ConnectionError:  # the SDK would log it as its own bug
            left.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.raw_path.encode(),
        "query_string": request.query_string.encode(),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": None,
        "server": None,
        REQUEST: request,
    }
    await manager.handle_request(scope, receive, send)
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response
