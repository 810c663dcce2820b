"""The server: routes, limits of connections, and the port it listens on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from bot.config.sections import HttpSection
from bot.http.access.guard import Guard
from bot.http.body import MAX_BODY
from bot.http.images import Images
from bot.http.mcp.route import McpRoute
from bot.http.mcp.tools import Tools
from bot.http.metrics import Metrics
from bot.http.models import Models
from bot.http.moderations import Moderations
from bot.http.probes import Probes
from bot.http.videos.routes import Videos
from bot.http.videos.uploads import Uploads
from bot.platform import Services
from inference.clock import Clock
from inference.domain.errors import UserError

HEADER_SECONDS = 15.0
"""How long a connection may be open without a whole request."""

SHUTDOWN_SECONDS = 1.0

LOGGER = "rushes.http"
"""Of aiohttp's server."""


@contextlib.asynccontextmanager
async def serve(
    section: HttpSection,
    services: Services,
    *,
    uploads: Uploads,
    files_seconds: float,
    clock: Clock,
) -> AsyncIterator[int]:
    """Serve inside the block; yield the port.

    Args:
        section: Where to listen; a proxy with TLS belongs in front.
        services: What is asked for.
        uploads: Keeps reference images.
        files_seconds: How long finished files are kept.
        clock: For what expires and what is limited.

    Raises:
        UserError: `http.cannot_listen`.
    """
    metrics = Metrics()
    guard = Guard(section, services, metrics, clock)
    application = web.Application(middlewares=[guard.middleware], client_max_size=MAX_BODY)
    videos = Videos(services, guard, uploads, files_seconds=files_seconds)
    application.add_routes(videos.routes())
    application.add_routes(Images(services, guard, uploads).routes())
    application.add_routes(Moderations(services, guard).routes())
    application.add_routes(Models(services, section).routes())
    application.add_routes(Probes(services, metrics).routes())
    tools = Tools(services, files_seconds=files_seconds)
    mcp = McpRoute(section, services, guard, tools, uploads)
    application.add_routes(mcp.routes())
    logger = logging.getLogger(LOGGER)
    logger.addFilter(guard.note_protocol)
    runner = web.AppRunner(
        application,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=HEADER_SECONDS,
        auto_decompress=False,
        logger=logger,
    )
    await runner.setup()
    try:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(mcp.running())
            try:
                server = await asyncio.get_running_loop().create_server(
                    _patient(runner), section.host, section.port, backlog=1024
                )
            except OSError as error:
                raise UserError(
                    "http.cannot_listen",
                    address=f"{section.host}:{section.port}",
                    problem=error.strerror or type(error).__name__,
                ) from error
            stack.callback(server.close)
            yield server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()
        logger.removeFilter(guard.note_protocol)


def _patient(runner: web.AppRunner) -> Callable[[], RequestHandler]:
    """Return what makes the handler of a connection, and closes one that never says anything.

    aiohttp's own limit begins after the first request.
    """

    def make() -> RequestHandler:
        assert runner.server is not None  # noqa: S101 - it was set up
        handler = runner.server()
        asyncio.get_running_loop().call_later(HEADER_SECONDS, _expire, handler)
        return handler

    return make


def _expire(handler: RequestHandler) -> None:
    if handler._request_count == 0:  # noqa: SLF001 - nothing public says so
        handler.force_close()
