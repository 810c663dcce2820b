"""The control socket: HTTP for the command line and the terminal chat, on a Unix socket.

```
POST /v1/commands   {"as", "guild", "text", ...}       a typed command, as in any chat
POST /v1/buttons    {"as", "guild", "custom_id", ...}  a press of a button
GET  /v1/jobs/{id}?guild=                              how a job stands, and what came of it
GET  /v1/events?guild=                                 what is posted, and the queue as it moves
GET  /v1/health
```

Whoever can open the socket may say who they are: the file system decides who that is (mode 0600).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path, PurePath
from typing import Annotated, Any

import structlog
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bot.app import App
from bot.control.card_json import card_to_json
from bot.control.events import EventStream
from bot.control.socket_path import SOCKET_NAME, short_socket_path
from bot.terminal.form import as_card
from bot.terminal.platform import NAME, Address, TerminalPlatform, tenant_of
from commands.caller import Caller, Channel
from commands.context import Call
from commands.forms import Form
from commands.handlers import job_status
from commands.policy.visibility import Viewer, can_see
from commands.run import execute, press
from commands.text import cards
from commands.text.card import Card, CardKind, plain
from commands.text.messages import error_text
from inference.clock import SystemClock
from inference.domain.errors import NotFound, RushesError, UserError
from inference.domain.job import Job, JobState
from inference.domain.outbox import ActKind, Route

_log = structlog.get_logger(__name__)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]


CHANNEL = "general"
"""The channel of a guild in the terminal, where nobody names another."""


class _Request(BaseModel):
    """What every request says of the person."""

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


@contextlib.asynccontextmanager
async def serve_control(app: App) -> AsyncIterator[None]:
    """Answer on the socket in the data directory, which the caller owns, inside the block."""
    control = _Control(app)
    runner = web.AppRunner(
        control.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0
    )
    await runner.setup()
    with _listening(app.config.bot.data_dir / SOCKET_NAME) as listening:
        try:
            await web.SockSite(runner, listening).start()
            yield
        finally:
            control.stop_streams()
            await runner.cleanup()


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    # What lies there is of a process that was killed: the lock on the folder says that it is gone.
    path.unlink(missing_ok=True)
    with short_socket_path(path) as address, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        # Nobody can connect before it listens, so nobody was too early for the mode either.
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
        self._stopping = asyncio.Event()

    def application(self) -> web.Application:
        """Return the routes with their error boundary."""
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.post("/v1/commands", self._command),
                web.post("/v1/buttons", self._button),
                web.get("/v1/jobs/{job}", self._job),
                web.get("/v1/events", self._events),
                web.get("/v1/health", self._health),
            ]
        )
        return application

    def stop_streams(self) -> None:
        """End the streams: by themselves they go on for ever."""
        self._stopping.set()

    # -- routes ------------------------------------------------------------------------------

    async def _command(self, request: web.Request) -> web.Response:
        body = CommandRequest.model_validate_json(await request.read())
        return _answer(await execute(body.text, self._call(body)))

    async def _button(self, request: web.Request) -> web.Response:
        body = ButtonRequest.model_validate_json(await request.read())
        call = self._call(body)
        answer = await press(body.custom_id, call)
        return _answer(as_card(answer, call.locale) if isinstance(answer, Form) else answer)

    async def _job(self, request: web.Request) -> web.Response:
        locale = self._locale(request.query.get("language"))
        tenant = tenant_of(request.query.get("guild", ""))
        wanted = request.match_info["job"].upper()
        job = await self._jobs.get(wanted, tenant=tenant)
        if not can_see(job, Viewer(tenant=tenant)):
            raise NotFound("job.unknown", job=wanted)
        result = await self._result(job, locale)
        return web.json_response(
            {
                "id": job.id,
                "state": job.state.value,
                "settled": await self._settled(job),
                "card": card_to_json(self._card(job, locale)),
                "result": result and card_to_json(result),
            }
        )

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
        # Subscribed before the headers go out: who has those misses nothing from then on.
        with stream.subscribed():
            await response.prepare(request)
            try:
                await stream.run(
                    lambda data: response.write(json.dumps(data).encode() + b"\n"), self._stopping
                )
            except* ConnectionError:
                pass  # the listener has gone
        return response

    async def _health(self, _: web.Request) -> web.Response:
        problems = dict(self._app.services.health.problems)
        return web.json_response(
            {
                "status": "problem" if problems else "ok",
                "platforms": list(self._app.platforms),
                "problems": problems,
            }
        )

    # -- how ---------------------------------------------------------------------------------

    def _call(self, body: _Request) -> Call:
        """Return the person's call.

        Raises:
            UserError: `control.no_terminal`: nobody would deliver what they order.
        """
        self._terminal()
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
                address=Address(guild=body.guild, directory=body.directory).as_dict(),
                id=body.channel,
                title=body.guild,
                private=False,
                admitted=True,
                local_files=True,
            ),
            locale=self._locale(body.language),
            key=None if body.key is None else json.dumps([tenant, body.key]),
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
        return [self._card(job, locale) for job in jobs if can_see(job, viewer)]

    def _card(self, job: Job, locale: str) -> Card:
        services = self._app.services
        standing = job_status.standing(job, self._jobs, self._clock)
        return cards.status(
            job, standing, locale, job_status.capabilities(job, services.installation)
        )

    async def _result(self, job: Job, locale: str) -> Card | None:
        """Return the message that ended a job, as it was posted."""
        if job.state in {JobState.FAILED, JobState.REFUSED, JobState.EXPIRED}:
            return cards.failure(job, locale)
        if job.state is not JobState.DONE or job.manifest is None:
            return None
        # What was posted is the person's to keep; the job's own file expires.
        posted = self._terminal().thread(job) / f"{job.id}{PurePath(job.manifest.name).suffix}"
        there = await asyncio.to_thread(posted.is_file)
        file = posted if there else self._jobs.files(job)
        if file is None:
            return None
        return cards.clip(
            job, file, locale, job_status.capabilities(job, self._app.services.installation)
        )

    async def _settled(self, job: Job) -> bool:
        """Return whether a job has ended and its requester was told."""
        if not job.ended:
            return False
        told = await self._app.core.outbox.get(job.id, ActKind.NOTICE)
        return told is None or told.shown > 0 or told.route is Route.KEPT

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
