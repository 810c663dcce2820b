"""The Web API: who asks, may they, how often, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from tests.fakes.slack import chat, files, lookups, views
from tests.fakes.slack.asking import Ask, Method, decoded
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.model import Installation, Json
from tests.fakes.slack.oauth import Authorizations
from tests.fakes.slack.records import Call, SlackError, Trouble
from tests.fakes.slack.responses import respond

METHODS = {
    method.name: method
    for method in (*chat.METHODS, *files.METHODS, *lookups.METHODS, *views.METHODS)
}

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset instead of a farewell."""

Act = Callable[[], Awaitable[Json]]


@dataclass(kw_only=True, frozen=True)
class Incoming:
    """One call as it arrived."""

    request: web.Request
    method: str
    args: Json
    as_json: bool
    token: str
    installation: Installation | None
    """Whose token it is."""


class Api:
    """Answers calls under `/api/`."""

    def __init__(
        self, hub: Hub, authorizations: Authorizations, *, app_token: str, open_socket: Act
    ) -> None:
        self._hub = hub
        self._authorizations = authorizations
        self._app_token = app_token
        self._open_socket = open_socket

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call and write it down."""
        args, as_json = await _arguments(request)
        token = _token(request, args)
        installations = self._hub.world.installations
        incoming = Incoming(
            request=request,
            method=request.match_info["method"],
            args=args,
            as_json=as_json,
            token=token,
            installation=next((i for i in installations if i.token == token), None),
        )
        return await self._answer(incoming)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take the bytes of a file."""
        return await self._transfer(request, "upload", files.upload)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Hand out the bytes of a file."""
        return await self._transfer(request, "download", files.download)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Take the answer to an act."""
        return await respond(self._hub, request)

    async def _transfer(
        self,
        request: web.Request,
        name: str,
        handler: Callable[[Hub, web.Request], Awaitable[web.Response]],
    ) -> web.StreamResponse:
        trouble = self._hub.trouble_for(name)
        if trouble is None:
            return await handler(self._hub, request)
        response = await handler(self._hub, request) if trouble.taken else None
        await asyncio.sleep(trouble.slow_seconds)
        if trouble.reset:
            _reset(request)
        if response is None or trouble.status != HTTPStatus.OK:
            response = web.Response(status=max(trouble.status, HTTPStatus.INTERNAL_SERVER_ERROR))
        return response

    async def _act(self, incoming: Incoming) -> Json:
        request, method, args = incoming.request, incoming.method, decoded(incoming.args)
        if method == "apps.connections.open":
            if incoming.token != self._app_token or "Authorization" not in request.headers:
                raise SlackError("invalid_auth")
            return await self._open_socket()
        if method == "oauth.v2.access":
            return await self._authorizations.access(request, args)
        installation = _admitted(incoming)
        ask = Ask(hub=self._hub, method=method, args=args, installation=installation)
        known = METHODS.get(method)
        if known is None:
            ask.violate("no such method")
            raise SlackError("unknown_method")
        problems = self._hub.contract.problems(method, args, as_json=incoming.as_json)
        ask.refuse(problems, "invalid_arguments")
        ask.need_scope(known.scope)
        self._count(ask, known)
        return await known.handler(ask)

    def _count(self, ask: Ask, method: Method) -> None:
        if method.per_minute is None:
            return
        team = ask.installation.team.id
        wait = self._hub.meter.take(method.name, team, method.per_minute)
        if wait:
            if method.name == "chat.update":
                ask.violate(f"more than {method.per_minute} in a minute")
            raise SlackError("ratelimited", retry_after=wait)

    async def _answer(self, incoming: Incoming) -> web.StreamResponse:
        trouble = self._hub.trouble_for(incoming.method)
        answer: Json = {"ok": True}
        status = HTTPStatus.OK
        headers = {}
        if incoming.installation is not None:
            headers["X-OAuth-Scopes"] = ",".join(sorted(incoming.installation.scopes))
        try:
            if trouble is None or trouble.taken:
                answer |= await self._act(incoming)
            if trouble is not None:
                await asyncio.sleep(trouble.slow_seconds)
                _raise(trouble)
                answer |= trouble.answer
                status = HTTPStatus(trouble.status)
        except SlackError as error:
            answer = {"ok": False, "error": error.code, **error.more}
            if error.code == "ratelimited":
                status = HTTPStatus.TOO_MANY_REQUESTS
                headers["Retry-After"] = str(answer.pop("retry_after"))
        self._note(incoming, answer, status)
        if trouble is not None and trouble.reset:
            _reset(incoming.request)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return web.Response(status=status, text="upstream connect error")
        return web.json_response(answer, status=status, headers=headers)

    def _note(self, incoming: Incoming, answer: Json, status: HTTPStatus) -> None:
        installation = incoming.installation
        call = Call(
            at=time.monotonic(),
            method=incoming.method,
            team=installation.team.id if installation else None,
            args={name: value for name, value in incoming.args.items() if name != "token"},
            error=answer.get("error") or (None if status < HTTPStatus.BAD_REQUEST else "http"),
            status=status,
        )
        self._hub.world.calls.append(call)
        self._hub.world.touch()


def _admitted(incoming: Incoming) -> Installation:
    """Return whose token it is.

    Raises:
        SlackError: It is nobody's, or no longer good.
    """
    installation = incoming.installation
    if not incoming.token:
        raise SlackError("not_authed")
    if installation is None:
        raise SlackError("invalid_auth")
    if installation.revoked:
        raise SlackError(installation.revoked)
    if installation.expires_at is not None and time.time() > installation.expires_at:
        raise SlackError("token_expired")
    return installation


async def _arguments(request: web.Request) -> tuple[Json, bool]:
    """Read query, form or JSON; say whether it was JSON."""
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        return args | json.loads(await request.text() or "{}"), True
    return args | dict(await request.post()), False


def _token(request: web.Request, args: Json) -> str:
    header = request.headers.get("Authorization", "")
    return header.removeprefix("Bearer ") or str(args.get("token") or "")


def _raise(trouble: Trouble) -> None:
    if trouble.error == "ratelimited":
        raise SlackError("ratelimited", retry_after=trouble.retry_after or 1)
    if trouble.error is not None:
        raise SlackError(trouble.error)


def _reset(request: web.Request) -> None:
    """Close the connection so that the other side does not know what happened."""
    if request.transport is not None:
        wire: socket.socket = request.transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request.transport.abort()
