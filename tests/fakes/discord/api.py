"""The HTTP side: every request is recorded, limited, checked, acted on and answered here."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from tests.fakes.discord.contract import Contract
from tests.fakes.discord.entities import File
from tests.fakes.discord.posting import Form
from tests.fakes.discord.rate_limits import RateLimits
from tests.fakes.discord.refusals import KNOWN, Refusal
from tests.fakes.discord.troubles import Trouble, Troubles

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset instead of a farewell."""

_VIA = {"Via": "1.1 loopback"}
"""A 429 without this header is taken for a ban by an intermediary."""

MAX_REQUEST_BYTES = 200 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that passed every check of form."""

    path: dict[str, str]
    query: dict[str, str]
    body: Any
    uploads: dict[str, File]

    def id(self, name: str) -> int:
        """Return an id out of the path.

        Raises:
            Refusal: It is no id.
        """
        if not self.path[name].isdecimal():
            raise Refusal(50035, problems=[f"{name}: no snowflake"])
        return int(self.path[name])

    @property
    def form(self) -> Form:
        """The body as the form of a message."""
        return Form(body=self.body or {}, uploads=self.uploads)


Handler = Callable[[Call], tuple[int, Any]]
"""Acts, and returns status and JSON."""


@dataclass(slots=True, kw_only=True, eq=False)
class Seen:
    """A request, as the witness remembers it."""

    method: str
    path: str
    template: str
    at: float
    """Monotonic seconds."""
    size: int
    body: Any = None
    status: int | None = None
    """None while it is under way, or where the connection was reset."""
    code: int = 0
    seconds: float | None = None
    trouble: Trouble | None = field(default=None, repr=False)


class Api:
    """The routes of API version 10.

    Args:
        token: The bot's.
        contract: What requests are held against.
    """

    PREFIX = "/api/v10"

    def __init__(self, *, token: str, contract: Contract) -> None:
        self.token = token
        self.limits = RateLimits()
        self.troubles = Troubles()
        self.requests: list[Seen] = []
        self.violations: list[str] = []
        self.slips: list[str] = []
        """Answers of ours that the contract does not foresee."""
        self._contract = contract
        self._routes: list[web.RouteDef] = []

    def route(self, method: str, template: str, handler: Handler, *, public: bool = False) -> None:
        """Add a route.

        Args:
            method: In upper case.
            template: As Discord's contract writes it.
            handler: What it does.
            public: Whether it is authorised by a token in the path instead of the bot's.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, template, handler, public=public)

        self._routes.append(web.route(method, self.PREFIX + template, handle))

    def mount(self, application: web.Application) -> None:
        """Serve the routes; everything else below the prefix is a violation."""
        application.add_routes(self._routes)
        application.router.add_route("*", "/api/{path:.*}", self._unknown)

    async def _unknown(self, request: web.Request) -> web.Response:
        self.violations.append(f"{request.method} {request.path}: no such route")
        return _json({"message": "404: Not Found", "code": 0}, status=404, headers=_VIA)

    async def _handle(
        self, request: web.Request, template: str, handler: Handler, *, public: bool
    ) -> web.StreamResponse:
        seen = Seen(
            method=request.method,
            path=request.path.removeprefix(self.PREFIX),
            template=template,
            at=time.monotonic(),
            size=request.content_length or 0,
        )
        self.requests.append(seen)
        body, uploads, problem = await _read(request)
        seen.body = body
        trouble = self.troubles.hit(f"{seen.method} {seen.path}", seen.size)
        seen.trouble = trouble
        if trouble is not None and not trouble.taken:
            response = await self._spoil(trouble, request)
            if response is not None:
                return self._note(seen, response)
        verdict = self.limits.pass_by(
            seen.method, template, dict(request.match_info), counts_globally=not public
        )
        if verdict.wait:
            return self._note(seen, _limited(verdict.wait, verdict.scope, verdict.headers))
        call = Call(
            path=dict(request.match_info), query=dict(request.query), body=body, uploads=uploads
        )
        status, answer = self._act(seen, call, handler, request, problem, public=public)
        known = status != 429  # the contract has it without the body that explains it
        wrong = self._contract.answer_problems(seen.method, template, status, answer) * known
        self.slips += [f"{seen.method} {template}: {slip}" for slip in wrong]
        if trouble is not None and trouble.taken:
            response = await self._spoil(trouble, request)
            if response is not None:
                return self._note(seen, response)
        headers = {**_VIA, **verdict.headers}
        if status == 429:  # a finer limit than that of the bucket
            headers["Retry-After"] = str(int(answer["retry_after"]) + 1)
            headers["X-RateLimit-Scope"] = "user"
        if status == 204:
            return self._note(seen, web.Response(status=204, headers=headers))
        seen.code = answer.get("code", 0) if isinstance(answer, dict) and status >= 400 else 0
        return self._note(seen, _json(answer, status=status, headers=headers))

    def _act(
        self,
        seen: Seen,
        call: Call,
        handler: Handler,
        request: web.Request,
        problem: str | None,
        *,
        public: bool,
    ) -> tuple[int, Any]:
        try:
            self._check(seen, call, request, problem, public=public)
            return handler(call)
        except Refusal as refusal:
            if refusal.code == 50035 and refusal.field is None:
                told = "; ".join(refusal.problems)
                self.violations.append(f"{seen.method} {seen.template}: {told}")
            return refusal.status, refusal.body()
        except Exception:  # noqa: BLE001 - a form that slips through every check must not look like an outage
            bug = traceback.format_exc()
            self.violations.append(f"{seen.method} {seen.template}: not understood\n{bug}")
            return 500, {"message": "500: Internal Server Error", "code": 0}

    def _check(
        self,
        seen: Seen,
        call: Call,
        request: web.Request,
        problem: str | None,
        *,
        public: bool,
    ) -> None:
        if not public and request.headers.get("Authorization") != f"Bot {self.token}":
            raise Refusal(0, status=401)
        problems = [problem] if problem else []
        agent = request.headers.get("User-Agent", "")
        if not public and not agent.startswith("DiscordBot ("):
            problems.append(f"User-Agent {agent!r}")
        problems += self._contract.problems(
            seen.method, seen.template, query=call.query, body=call.body
        )
        if problems:
            raise Refusal(50035, problems=problems)

    async def _spoil(self, trouble: Trouble, request: web.Request) -> web.Response | None:
        """Do what a trouble does; None where the request goes on after a wait."""
        if trouble.slow_seconds:
            await asyncio.sleep(trouble.slow_seconds)
        if trouble.until is not None:
            await trouble.until.wait()
        if trouble.reset:
            _reset(request)
            return web.Response(status=499)
        if trouble.retry_after is not None:
            limited = _limited(trouble.retry_after, trouble.scope, {}, trouble.code)
            if trouble.stripped:
                del limited.headers["Via"]
            return limited
        if trouble.status is None:
            return None
        if trouble.status in {502, 503, 504}:
            page = f"<html><body>{trouble.status}</body></html>"
            return web.Response(
                status=trouble.status, text=page, content_type="text/html", headers=_VIA
            )
        if trouble.code:
            refusal = Refusal(trouble.code)
            return _json(refusal.body(), status=refusal.status, headers=_VIA)
        said = {"message": f"{trouble.status}: on purpose", "code": 0}
        return _json(said, status=trouble.status, headers=_VIA)

    def _note(self, seen: Seen, response: web.Response) -> web.Response:
        seen.status = None if response.status == 499 else response.status
        seen.seconds = time.monotonic() - seen.at
        return response


async def _read(request: web.Request) -> tuple[Any, dict[str, File], str | None]:
    """Return the JSON body, the files, and what is wrong with the form."""
    if request.content_type != "multipart/form-data":
        text = await request.text()
        if not text:
            return None, {}, None
        if request.content_type != "application/json":
            return None, {}, f"Content-Type {request.content_type}"
        try:
            return json.loads(text), {}, None
        except ValueError:
            return None, {}, "body: no JSON"
    parts: dict[str, bytes] = {}
    files: dict[str, File] = {}
    problem = None
    reader = await request.multipart()
    while isinstance(part := await reader.next(), BodyPartReader):
        name = part.name or ""
        data = bytes(await part.read(decode=False))
        if name == "payload_json":
            parts[name] = data
        elif name.startswith("files[") and part.filename:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            files[name] = File(name=part.filename, data=data, content_type=kind)
        else:
            problem = f"multipart: part {name!r}"
    try:
        return json.loads(parts.get("payload_json", b"{}")), files, problem
    except ValueError:
        return None, files, "payload_json: no JSON"


def _json(said: Any, *, status: int, headers: dict[str, str]) -> web.Response:
    """Answer with a bare `application/json`: clients compare the header word by word."""
    data = json.dumps(said).encode()
    return web.Response(body=data, status=status, headers=headers, content_type="application/json")


def _limited(seconds: float, scope: str, headers: dict[str, str], code: int = 0) -> web.Response:
    said = {
        "message": KNOWN[code][1] if code else "You are being rate limited.",
        "code": code,
        "retry_after": round(seconds, 3),
        "global": scope == "global",
    }
    told = {"Retry-After": str(int(seconds) + 1), "X-RateLimit-Scope": scope}
    if scope == "global":
        told["X-RateLimit-Global"] = "true"
    return _json(said, status=429, headers={**_VIA, **headers, **told})


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
