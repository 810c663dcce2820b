"""Connections of our HTTP servers, which neither quote nor log what they refuse.

aiohttp answers broken HTTP with the line that is broken, and logs it: it may hold a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NoReturn

import structlog
from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from bot.network.http_limits import LogLimiter
from inference.bug_report import log_bug
from inference.clock import SystemClock

MAX_LINE = 8 * 2**10
"""Bytes of a method with an address."""

MAX_HEADER = 16 * 2**10
"""Bytes of a header."""

MAX_HEADERS = 128

LINGER_SECONDS = 1.0
"""After broken HTTP, or a body that is refused, how long what still arrives is read: unread, it
would reset the connection before the client has read why."""

WATCH_SECONDS = 0.25
"""How often a connection that is not read is asked whether its client is still there."""

_HUNG_UP = getattr(select, "POLLRDHUP", 0)  # Linux has it; elsewhere POLLHUP, always told, says so

Refuse = Callable[[web.BaseRequest, int, str], web.Response]
"""Makes the answer to a request that no route answers, from its status and the id of a bug."""

_log = structlog.get_logger(__name__)


def plain_refusal(_request: web.BaseRequest, status: int, _bug_id: str) -> web.Response:
    """Return an answer that has the words of its status only."""
    return web.Response(status=status, text=f"{status}: {HTTPStatus(status).phrase}")


def connections(
    runner: web.AppRunner, refuse: Refuse = plain_refusal, **options: Any
) -> Callable[[], Connection]:
    """Return the factory of connections of a runner that is set up.

    Args:
        runner: Its server has the routes.
        refuse: Makes the answers that no route makes.
        options: Of aiohttp's `RequestHandler`.
    """
    server = runner.server
    assert server is not None  # noqa: S101 - it was set up
    loop = asyncio.get_running_loop()
    bugs = LogLimiter(SystemClock())

    def make() -> Connection:
        return Connection(
            server,
            refuse=refuse,
            bugs=bugs,
            loop=loop,
            access_log=None,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            **options,
        )

    return make


class Connection(RequestHandler):
    """One connection."""

    __slots__ = ("_broken", "_bugs", "_gone", "_refuse", "_watched")

    def __init__(
        self, server: web.Server, *, refuse: Refuse, bugs: LogLimiter, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._bugs = bugs
        self._refuse = refuse
        self._broken = False
        self._gone = asyncio.Event()
        self._watched = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._gone.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a handler that waits for more of a broken body is told at once."""
        super().data_received(data)
        asked = self._current_request
        broken = bool(self._messages) and isinstance(self._messages[-1][0], _ErrInfo)
        if broken and asked is not None and not asked.content.is_eof():
            self._broken = True
            asked.content.set_exception(web.RequestPayloadError())

    def _pause_transport_reading(self) -> None:
        """Stop reading; asyncio does not see then that the client leaves."""
        super()._pause_transport_reading()
        if not self._watched:
            self._watched = True
            self._loop.call_later(WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        """End the connection if its client left, as far as the data before that allows to see."""
        self._watched = False
        if self.transport is None or self.transport.is_closing() or self.transport.is_reading():
            return
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), _HUNG_UP)
        if poll.poll(0):
            self.transport.abort()
        else:
            self._watched = True
            self._loop.call_later(WATCH_SECONDS, self._watch)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Return the answer to broken HTTP, or to a request that met a bug."""
        bug_id = ""
        if isinstance(exc, ConnectionError) and _is_gone(request):
            cut_off(request)
        if isinstance(exc, HttpProcessingError | web.RequestPayloadError):
            self._broken = True
            status = _status(exc)
        else:
            bug_id = log_bug(_log, "http.connection.bug", exc or TimeoutError())
        if request.writer.output_size > 0:
            cut_off(request)
        response = self._refuse(request, status, bug_id)
        response.force_close()
        request._version = HttpVersion11  # noqa: SLF001 - aiohttp says 1.0 of what it cannot read
        return response

    def log_exception(self, *_: Any, **fields: Any) -> None:
        """Log a bug of a connection without its message; a broken body is no bug.

        aiohttp reads on in a body that was answered, and so meets again what broke it.
        """
        error = fields.get("exc_info")
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            return
        if isinstance(error, BaseException) and (count := self._bugs.count()):
            log_bug(_log, "http.connection.bug", error, times=count)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; one that aiohttp made itself is replaced by ours."""
        if isinstance(resp, web.HTTPException):
            made = self._refuse(request, resp.status, "")
            if "Allow" in resp.headers:
                made.headers["Allow"] = resp.headers["Allow"]
            made.force_close()
            resp = made
        if not request.content.is_eof():  # what was answered before it was sent is not read on
            resp.force_close()
        sent = await super().finish_response(request, resp, start_time)
        if self._broken or not (resp.keep_alive or request.content.is_eof()):
            await self._linger()
        return sent

    async def _linger(self) -> None:
        """Close our half of the connection, and discard input until the client closes the other."""
        self.close()
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._gone.wait()
        self.force_close()


def _is_gone(request: web.BaseRequest) -> bool:
    """Return whether an error only means that the client has disconnected."""
    return request.transport is None or request.transport.is_closing()


def cut_off(request: web.BaseRequest) -> NoReturn:
    """Abort a connection with a half-sent response; aiohttp sees it as a disconnect."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionError


def _status(error: BaseException) -> int:
    """Return the status that broken HTTP is answered with."""
    if isinstance(error, LineTooLong):
        return 414 if MAX_LINE in error.args else 431
    return 431 if str(error).startswith("400, message:\n  Too many headers") else 400
