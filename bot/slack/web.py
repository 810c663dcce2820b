"""The HTTP server: receives events in HTTP mode, and serves the OAuth pages."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.network.http_connection import connections, plain_refusal
from bot.network.http_limits import AddressLimiter, LogLimiter
from bot.slack.manifest import EVENTS_PATH, INSTALL_PATH, REDIRECT_PATH
from bot.slack.payloads import MalformedBody, check_body
from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import UserError

MAX_BODY = 2**20
"""Bytes; Slack's own payloads are a small part of that."""

READ_SECONDS = 10.0
"""How long a body may take to arrive."""

SHUTDOWN_SECONDS = 1.0

_SIGNED = {
    "X-Slack-Signature": re.compile(r"v0=[0-9a-f]{64}"),
    "X-Slack-Request-Timestamp": re.compile(r"[0-9]{1,12}"),
}
_PASSED_ON = ("Content-Type", *_SIGNED)
"""Headers of a delivery; slack-bolt obeys some others that Slack does not send."""

_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_Handler = Callable[[web.Request], Awaitable[web.Response]]
_Handle = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def serve(
    *, host: str, port: int, app: AsyncApp | None, flow: AsyncOAuthFlow | None, clock: Clock
) -> AsyncIterator[None]:
    """Serve inside the block.

    Args:
        host: Address to listen on; a proxy with TLS belongs in front.
        port: The same.
        app: Takes what Slack delivers, checking its signature; None in Socket Mode.
        flow: Installs the app; None where one token serves one workspace.
        clock: Paces what is limited.

    Raises:
        UserError: `slack.cannot_listen`.
    """
    gate = _RequestGuard(clock)
    application = web.Application(client_max_size=MAX_BODY)
    if app is not None:
        application.router.add_post(EVENTS_PATH, gate.delivery(app.async_dispatch))
    if flow is not None:
        application.router.add_get(INSTALL_PATH, gate.page(flow.handle_installation))
        application.router.add_get(REDIRECT_PATH, gate.page(flow.handle_callback))
    runner = web.AppRunner(application, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            server = await asyncio.get_running_loop().create_server(
                connections(runner, gate.refuse), host, port
            )
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise UserError(
                "slack.cannot_listen", address=f"{host}:{port}", problem=problem
            ) from error
        try:
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()


class _RequestGuard:
    """Turns away what does not come from Slack or asks too often, with one short log event."""

    def __init__(self, clock: Clock) -> None:
        self._visitors = AddressLimiter(clock)
        self._refusals = LogLimiter(clock)
        self._bugs = LogLimiter(clock)

    def delivery(self, handle: _Handle) -> _Handler:
        """Return the handler of what Slack delivers."""

        async def answer(request: web.Request) -> web.Response:
            try:
                asked = await _read_delivery(request)
            except _Rejected as refused:
                return self._refuse(refused.status, refused.reason)
            answered = await self._ask(handle, asked)
            if answered.status in {400, 401}:
                self._note_refusal("signature" if answered.status == 401 else "response_url")  # noqa: PLR2004 - unauthorized
            return answered

        return answer

    def page(self, handle: _Handle) -> _Handler:
        """Return the handler of a page that people open in their browser."""

        async def answer(request: web.Request) -> web.Response:
            wait = self._visitors.take(_address(request))
            if wait:
                refusal = self._refuse(429, "too_often")
                refusal.headers["Retry-After"] = str(wait)
                return refusal
            cookie = request.headers.get("Cookie", "")
            query = {name: request.query.getall(name) for name in request.query}
            if any(len(values) != 1 or "\0" in values[0] for values in query.values()):
                return self._refuse(400, "query")
            asked = AsyncBoltRequest(
                body="",
                query={name: value[0] for name, value in query.items()},
                headers={"Cookie": cookie},
            )
            answered = await self._ask(handle, asked)
            answered.headers.update(_PAGE_HEADERS)
            return answered

        return answer

    async def _ask(self, handle: _Handle, asked: AsyncBoltRequest) -> web.Response:
        try:
            return await to_aiohttp_response(await handle(asked))
        except Exception as error:  # noqa: BLE001 - aiohttp would log what was asked
            if self._bugs.count():
                log_bug(_log, "slack.bug", error, what="http")
            return web.Response(status=500)

    def _refuse(self, status: int, reason: str) -> web.Response:
        self._note_refusal(reason)
        return web.Response(status=status, text=reason, headers={"Connection": "close"})

    def _note_refusal(self, reason: str) -> None:
        count = self._refusals.count()
        if count:
            _log.warning("slack.http.refused", reason=reason, requests=count)

    def refuse(self, request: web.BaseRequest, status: int, bug_id: str) -> web.Response:
        """Return the answer to a request that no page answers: most are broken as HTTP."""
        if not bug_id:
            self._note_refusal("protocol")
        return plain_refusal(request, status, bug_id)


class _Rejected(Exception):
    """A request that is turned away before anything reads what it wants."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def _read_delivery(request: web.Request) -> AsyncBoltRequest:
    """Read a request from Slack for slack-bolt, which checks the signature.

    Raises:
        _Refused: Slack cannot have sent that.
    """
    found = {name: request.headers.getall(name, []) for name in _PASSED_ON}
    if any(len(values) > 1 for values in found.values()):
        raise _Rejected(400, "headers")
    headers = {name: values[0] for name, values in found.items() if values}
    try:
        async with asyncio.timeout(READ_SECONDS):
            raw = await request.read()
        text = check_body(raw, request.content_type, request.charset)
    except MalformedBody as error:
        raise _Rejected(400, str(error)) from None
    except TimeoutError:
        raise _Rejected(408, "slow") from None
    except web.RequestPayloadError:
        raise _Rejected(400, "protocol") from None
    except web.HTTPRequestEntityTooLarge:
        raise _Rejected(413, "too_large") from None
    if not all(_SIGNED[name].fullmatch(headers[name]) for name in _SIGNED if name in headers):
        raise _Rejected(401, "signature")  # slack-bolt's verifier fails on some of these
    try:
        return AsyncBoltRequest(body=text, headers={**headers})
    except (AttributeError, LookupError, TypeError, ValueError):  # of a shape it never saw
        raise _Rejected(400, "shape") from None


def _address(request: web.Request) -> str:
    """Return the client's address: as the proxy on this machine names it, else the peer's."""
    peer = request.remote or ""
    if peer in {"127.0.0.1", "::1"}:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return forwarded[-1].rpartition(",")[2].strip() if forwarded else peer
    return peer
