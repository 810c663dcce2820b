"""The control socket: HTTP for the command line and the terminal chat, on a Unix socket.

```
POST /v1/commands   {"as", "guild", "text", ...}       a typed command, as in any chat
POST /v1/buttons    {"as", "guild", "custom_id", ...}  a press of a button
POST /v1/confirmations  {"as", "guild", "custom_id"}  the question before a press of Delete
POST /v1/words      {"as", "guild", ...}               their jobs and presets, for completion
GET  /v1/jobs/{id}?guild=                              how a job stands, and what came of it
GET  /v1/events?guild=                                 what is posted, and the queue as it moves
GET  /v1/health
POST /v1/tools             {"as", "guild", ...}        the tools of MCP
POST /v1/tools/{name}      {..., "arguments"}          one of them: progress, then its answer
```

A client that can open the socket may act as anybody: file permissions (mode 0600) guard it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import structlog
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bot.app import App
from bot.control.card_json import card_to_json
from bot.control.events import EventStream
from bot.control.job_report import find_posted_file, job_report
from bot.control.socket_path import SOCKET_NAME, short_socket_path
from bot.http.mcp.tools import ToolCall, Tools
from bot.http.shutdown import Shutdown
from bot.network.http_connection import connections
from bot.readiness import list_problems, unready
from bot.terminal.form import as_card
from bot.terminal.platform import NAME, Address, TerminalPlatform, tenant_of
from commands.caller import Caller, Channel
from commands.context import Call
from commands.forms import Form
from commands.handlers import job_status
from commands.policy.visibility import Viewer, can_see
from commands.run import confirm, execute, press
from commands.text.card import Card, CardKind, plain
from commands.text.messages import error_text
from inference.clock import SystemClock
from inference.domain.errors import NotFound, RushesError, UserError
from inference.domain.job import Job

_log = structlog.get_logger(__name__)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]


WORDS = 20
"""Jobs whose ids are completed."""

CHANNEL = "general"
"""The channel of a guild in the terminal, if none is named."""


class _Request(BaseModel):
    """The fields about the person in every request; `/v1/words` and `/v1/tools` have no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    person: Name = Field(alias="as")
    guild: Name
    admin: bool = False
    roles: tuple[Name, ...] = Field(default=(), max_length=100)
    channel: Name = CHANNEL
    language: str | None = None
    directory: str = "/"
    """What relative paths of the person are relative to."""
    key: str | None = Field(default=None, max_length=64)
    """The same key is the same request: it is carried out once."""


class CommandRequest(_Request):
    """The body of `POST /v1/commands`."""

    text: str


class ButtonRequest(_Request):
    """The body of `POST /v1/buttons`."""

    custom_id: str


class ToolRequest(_Request):
    """The body of `POST /v1/tools/{name}`."""

    arguments: dict[str, Any]


@contextlib.asynccontextmanager
async def serve_control(app: App) -> AsyncIterator[None]:
    """Answer on the socket in the data directory, which the caller owns, inside the block."""
    control = _Control(app)
    runner = web.AppRunner(control.application(), handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    with _listen(app.config.bot.data_dir / SOCKET_NAME) as listening:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(connections(runner), sock=listening)
        try:
            yield
        finally:
            control.stop_streams()
            server.close()
            await runner.cleanup()


@contextlib.contextmanager
def _listen(path: Path) -> Iterator[socket.socket]:
    # A file there is of a process that was killed: the lock on the folder says that it is gone.
    path.unlink(missing_ok=True)
    with short_socket_path(path) as address, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        # No client can connect before it listens, so none came before the mode was set.
        path.chmod(0o600)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


class _Control:
    """The routes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._jobs = app.core.jobs
        self._clock = SystemClock()
        files_seconds = app.config.retention.files_seconds
        self._shutdown = Shutdown()
        self._tools = Tools(app.services, files_seconds=files_seconds, shutdown=self._shutdown)
        self._stopping = asyncio.Event()

    def application(self) -> web.Application:
        """Return the routes with their error boundary."""
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.post("/v1/commands", self._command),
                web.post("/v1/buttons", self._button),
                web.post("/v1/confirmations", self._confirm),
                web.post("/v1/words", self._words),
                web.get("/v1/jobs/{job}", self._job),
                web.get("/v1/events", self._events),
                web.get("/v1/health", self._health),
                web.post("/v1/tools", self._list_tools),
                web.post("/v1/tools/{name}", self._tool),
            ]
        )
        return application

    def stop_streams(self) -> None:
        """End the event streams, which do not end by themselves."""
        self._stopping.set()
        self._shutdown.begin()

    # -- routes ------------------------------------------------------------------------------

    async def _command(self, request: web.Request) -> web.Response:
        body = CommandRequest.model_validate_json(await request.read())
        return _answer(await execute(body.text, self._call(body)))

    async def _button(self, request: web.Request) -> web.Response:
        body = ButtonRequest.model_validate_json(await request.read())
        call = self._call(body)
        answer = await press(body.custom_id, call)
        if isinstance(answer, Form):
            answer = as_card(answer, call.installation.options, call.locale)
        return _answer(answer)

    async def _confirm(self, request: web.Request) -> web.Response:
        body = ButtonRequest.model_validate_json(await request.read())
        return _answer(await confirm(body.custom_id, self._call(body)))

    async def _words(self, request: web.Request) -> web.Response:
        call = self._call(_Request.model_validate_json(await request.read()))
        tenant, person = call.channel.tenant, call.caller.id
        jobs = await call.jobs.recent(tenant, person, limit=WORDS)
        presets = await call.policy.presets.visible(tenant, person)
        return web.json_response(
            {
                "jobs": [job.id for job in await call.visible(jobs) if job.removed_at is None],
                "presets": [preset.name for preset in presets],
            }
        )

    async def _job(self, request: web.Request) -> web.Response:
        locale = self._locale(request.query.get("language"))
        tenant = tenant_of(request.query.get("guild", ""))
        wanted = request.match_info["job"].upper()
        job = await self._jobs.get(wanted, tenant=tenant)
        if not can_see(job, Viewer(tenant=tenant)):
            raise NotFound("job.unknown", job=wanted)
        return web.json_response(await job_report(self._app, job, locale))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        tenant = tenant_of(request.query.get("guild", ""))
        locale = self._locale(request.query.get("language"))
        stream = EventStream(
            terminal=self._terminal(),
            events=self._app.core.events,
            tenant=tenant,
            queue=lambda: self._queue(tenant, locale),
        )
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        if request.method == "HEAD":
            return response
        # Subscribed before the headers go out: who has those misses nothing from then on.
        with stream.subscribe():
            await response.prepare(request)
            try:
                await stream.run(
                    lambda data: response.write(json.dumps(data).encode() + b"\n"), self._stopping
                )
            except* ConnectionError:
                pass  # the listener has gone
        return response

    async def _health(self, request: web.Request) -> web.Response:
        services, locale = self._app.services, self._locale(request.query.get("language"))
        problems, reasons = list_problems(services, locale), await unready(services, locale)
        return web.json_response(
            {
                "status": "problem" if problems or reasons else "ok",
                "ready": not reasons,
                "reasons": reasons,
                "platforms": list(self._app.platforms),
                "problems": problems,
            }
        )

    async def _list_tools(self, request: web.Request) -> web.Response:
        body = _Request.model_validate_json(await request.read())
        return web.json_response({"tools": self._tools.list_tools(self._locale(body.language))})

    async def _tool(self, request: web.Request) -> web.StreamResponse:
        body = ToolRequest.model_validate_json(await request.read())
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})

        async def send(data: dict[str, Any]) -> None:
            await response.write(json.dumps(data).encode() + b"\n")

        @contextlib.asynccontextmanager
        async def turn(pictures: Mapping[str, str]) -> AsyncIterator[Mapping[str, str]]:
            yield pictures  # paths, which the terminal reads

        async def link(job: Job, file: Path) -> str:
            return (await find_posted_file(self._app, job) or file).absolute().as_uri()

        async def report(percent: float, line: str) -> None:
            await send({"percent": percent, "line": line})

        tool_call = ToolCall(call=self._call(body), turn=turn, link=link, report=report)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the client has gone
            answer = await self._tools.run(request.match_info["name"], body.arguments, tool_call)
            await send({"answer": answer})
            await response.write_eof()
        return response

    # -- how ---------------------------------------------------------------------------------

    def _call(self, body: _Request) -> Call:
        """Return the person's call.

        Raises:
            UserError: `control.no_terminal`: no platform would deliver their jobs.
        """
        check = self._terminal().images.make_check(self._app.services.media)
        tenant = tenant_of(body.guild)
        return self._app.services.call(
            # Who can open the socket runs this machine, so their admins may do everything.
            caller=Caller(
                id=body.person,
                name=body.person,
                roles=frozenset(body.roles),
                admin=body.admin,
                operator=body.admin,
            ),
            channel=Channel(
                platform=NAME,
                tenant=tenant,
                address=asdict(Address(guild=body.guild, directory=body.directory)),
                id=body.channel,
                title=body.guild,
                private=False,
                admitted=True,
                pictures=NAME,
                local_folder=body.directory,
            ),
            locale=self._locale(body.language),
            key=None if body.key is None else json.dumps([tenant, body.key]),
            check_picture=check,
        )

    def _terminal(self) -> TerminalPlatform:
        platform = self._app.platforms.get(NAME)
        if not isinstance(platform, TerminalPlatform):
            raise UserError("control.no_terminal")
        return platform

    def _locale(self, asked: str | None) -> str:
        return asked or self._app.services.language

    async def _queue(self, tenant: str, locale: str) -> list[Card]:
        viewer = Viewer(tenant=tenant)
        jobs = await self._jobs.waiting(tenant)
        installation = self._app.services.installation
        return [
            job_status.card([job], self._jobs, installation, self._clock, locale)
            for job in jobs
            if can_see(job, viewer)
        ]

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turn what is raised into `{"error": {"code", "text"}}`."""
        locale = self._locale(request.query.get("language"))
        try:
            return await handler(request)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            problem = UserError("control.bad_request", key=key, problem=first["msg"].lower())
            return _refusal(problem, locale, status=400)
        except NotFound as error:
            return _refusal(error, locale, status=404)
        except UserError as error:
            return _refusal(error, locale, status=422)
        except RushesError as error:
            _log.warning("control.failed", route=request.path, code=error.code)
            return _refusal(error, locale, status=503)


def _answer(card: Card) -> web.Response:
    data: dict[str, Any] = {"card": card_to_json(card), "job": card.job}
    if card.kind is not CardKind.ERROR:
        return web.json_response(data)
    return web.json_response(
        data | {"error": {"code": "command.refused", "text": plain(card)}}, status=422
    )


def _refusal(error: RushesError, locale: str, *, status: int) -> web.Response:
    text = error_text(error, locale)
    return web.json_response({"error": {"code": error.code, "text": text}}, status=status)
