"""Middleware of all routes: authentication, limits, and errors as responses."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.http import HttpVersion11

from bot.config.sections import HttpSection
from bot.http.access import tokens
from bot.http.access.admission import Admission
from bot.http.access.proxies import Proxies
from bot.http.access.revocation import Revocation
from bot.http.access.tokens import Token
from bot.http.address import CHANNEL, NAME, Address
from bot.http.error_responses import error_response, protocol_error_response
from bot.http.metrics import Metrics
from bot.network.http_connection import cut_off
from bot.network.http_limits import AddressLimiter, LogLimiter
from bot.platform import Services
from commands.caller import Channel
from commands.context import Call
from commands.text.messages import language
from inference.bug_report import log_bug
from inference.clock import Clock
from inference.domain.errors import NotFound, RushesError, UserError

PER_TOKEN = 64
"""Requests of one token under way, streams included."""

SCHEME = "bearer"

OPEN = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json"})
"""Routes that need no token."""

NO_SNIFFING = ("X-Content-Type-Options", "nosniff")

TOKEN = web.RequestKey("token", Token)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


class Guard:
    """The middleware of all routes."""

    def __init__(
        self, section: HttpSection, services: Services, metrics: Metrics, clock: Clock
    ) -> None:
        self._proxies = Proxies(section.proxies)
        self._public_url = section.public_url
        self.hosts = {"localhost", "127.0.0.1", "::1", section.host}
        """Names of this server."""
        if section.public_url is not None:
            self.hosts.add(urlsplit(section.public_url).hostname or "")
        self._services = services
        self._metrics = metrics
        self._clock = clock
        self.admission = Admission(clock, services)
        """Of requests that make jobs."""
        self.revocation = Revocation(services.database, clock)
        self._failures = AddressLimiter(clock)
        self._refusals = LogLimiter(clock)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Authenticate and count a request, and answer errors in OpenAI's format."""
        began, status = time.perf_counter(), 499  # the client left
        try:
            response = await self._answer(request, handler)
            status = response.status
        except ConnectionError:
            if request.writer.output_size > 0:  # sendfile says so before the transport does
                cut_off(request)
            raise
        finally:
            route = request.match_info.route.resource
            name = "none" if route is None else route.canonical
            self._metrics.request(name, request.method, status, time.perf_counter() - began)
        response.headers.setdefault(*NO_SNIFFING)
        return response

    async def _answer(  # noqa: PLR0911 - one for each kind of error
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        locale = self.locale(request)
        if not _is_plainly_framed(request):
            return self.refuse(request, 400, "")
        try:
            async with self._count_request(await self._token(request)) as token:
                if token is not None:
                    request[TOKEN] = token
                return await _send(request, await handler(request))
        except web.HTTPMethodNotAllowed as error:
            method = request.method if request.method in error.allowed_methods else "this method"
            shown = request.method if len(request.method) < 10 else method  # noqa: PLR2004
            answer = error_response(UserError("http.method", method=shown), locale)
            answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return answer
        except web.HTTPNotFound:
            return error_response(NotFound("http.no_route"), locale)
        except UserError as error:
            return self._refuse(request, error, locale)
        except RushesError as error:
            _log.warning("http.failed", route=request.match_info.route.name, code=error.code)
            return _instead(request, error_response(error, locale))
        except web.RequestPayloadError:
            return _instead(request, self.refuse(request, 400, ""))
        except (ConnectionError, web.HTTPException):
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: a bug ends here, logged
            bug_id = log_bug(_log, "http.bug", error)
            return _instead(request, error_response(RushesError("internal", job=bug_id), locale))

    # -- who ---------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> Token | None:
        """Return the token of a request; None where none is needed.

        Raises:
            UserError: `http.unauthorized`, or `http.too_often` after too many of these.
        """
        if request.path in OPEN:
            return None
        given = request.headers.getall("Authorization", [])
        scheme, _, presented = (given[0] if len(given) == 1 else "").partition(" ")
        presented = presented.strip() if scheme.lower() == SCHEME else ""
        found = await tokens.find(self._services.database, presented, self._clock.now())
        if found is not None:
            return found
        wait = self._failures.take(self._proxies.client(request.remote, request.headers))
        if wait:
            raise UserError("http.too_often", seconds=wait)
        raise UserError("http.unauthorized")

    @contextlib.asynccontextmanager
    async def _count_request(self, token: Token | None) -> AsyncIterator[Token | None]:
        """Count a request of a token while it is under way; it ends with its token.

        Raises:
            UserError: `http.connections`, or `http.unauthorized`: the token ended.
        """
        if token is None:
            yield None
            return
        if self.revocation.under_way(token) >= PER_TOKEN:
            raise UserError("http.connections", limit=PER_TOKEN)
        async with self.revocation.watch(token):
            yield token

    def call(self, request: web.Request, *, key: str | None = None, body: str = "") -> Call:
        """Return the call of a request, with its token's caller.

        Args:
            request: One that was let in.
            key: Makes a repeated request the same job.
            body: Fingerprint of what is asked under the key.
        """
        token = request[TOKEN]
        return self._services.call(
            caller=token.caller,
            channel=Channel(
                platform=NAME,
                tenant=token.tenant,
                address=asdict(Address(token=token.id, body=body)),
                id=CHANNEL,
                title="HTTP",
                private=False,
                admitted=True,
                asks=False,
            ),
            locale=self.locale(request),
            key=key,
        )

    def locale(self, request: web.BaseRequest) -> str:
        """Return the language that a request asks for, or that of the config."""
        first = request.headers.get("Accept-Language", "").partition(",")[0].partition(";")[0]
        return language(first.strip()) if first.strip() else self._services.language

    def base_url(self, request: web.Request) -> str:
        """Return the address under which the API was asked: the config's, or the request's own.

        A `Host` that does not name this server is not repeated; the address of the socket is.
        A trusted proxy says in `X-Forwarded-Proto` and `X-Forwarded-Host` what it was asked for.
        """
        if self._public_url is not None:
            return self._public_url.rstrip("/")
        host = request.host
        if not self.is_own_host(host) and not self._proxies.trusts(request.remote):
            host = _local_address(request)
        return self._proxies.base_url(
            request.remote, request.headers, scheme=request.scheme, host=host
        )

    def is_own_host(self, host: str) -> bool:
        """Return whether a `Host` names this server: anybody can write anything there."""
        return hostname(f"//{host}") in self.hosts

    # -- what is said ------------------------------------------------------------------------

    def _refuse(self, request: web.Request, error: UserError, locale: str) -> web.Response:
        if error.code in {"http.unauthorized", "http.too_often"}:
            self._note(error.code)
        wait, known = self._wait(request, error), self._services.installation.options
        return _instead(request, error_response(error, locale, options=known, wait=wait))

    def _wait(self, request: web.Request, error: UserError) -> float | None:
        """Return when the tenant's next job starts, in seconds, and makes room, or None."""
        if not error.code.startswith("queue.full") or TOKEN not in request:
            return None
        return self._services.jobs.next_start_in(request[TOKEN].tenant)

    def _note(self, reason: str) -> None:
        if count := self._refusals.count():
            _log.warning("http.refused", reason=reason, requests=count)

    def refuse(self, request: web.BaseRequest, status: int, bug_id: str) -> web.Response:
        """Return the answer to a request that no route answers: most are broken as HTTP."""
        if not bug_id:
            self._note("protocol")
        return protocol_error_response(status, bug_id, self.locale(request))


async def _send(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Send an answer here and not in aiohttp, so that also a long one ends with its token."""
    if not response.prepared:
        response.headers.setdefault(*NO_SNIFFING)
        await response.prepare(request)
        await response.write_eof()
    return response


def _instead(request: web.Request, answer: web.Response) -> web.Response:
    """Return the response for an error; a response that has begun is cut off."""
    if request.writer.output_size > 0:
        cut_off(request)
    return answer


def hostname(url: str) -> str | None:
    """Return the host of a URL, or None if it has none or is no URL."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _local_address(request: web.Request) -> str:
    """Return the address and port that a request came in at."""
    found = request.transport and request.transport.get_extra_info("sockname")
    address, port = found[:2] if found else ("localhost", 0)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _is_plainly_framed(request: web.Request) -> bool:
    """Return whether a body has no transfer coding, or only that of HTTP/1.1: chunked."""
    codings = request.headers.getall("Transfer-Encoding", [])
    plain = [coding.strip().lower() for coding in codings] == ["chunked"]
    return not codings or (plain and request.version >= HttpVersion11)
