"""The server: routes, limits of connections, and the port it listens on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from aiohttp import web

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
from bot.http.shutdown import Shutdown
from bot.http.videos.creation import Creation
from bot.http.videos.routes import Videos
from bot.http.videos.uploads import Uploads
from bot.network.http_connection import Connection, connections
from bot.platform import Services
from inference.clock import Clock
from inference.domain.errors import UserError

HEADER_SECONDS = 15.0
"""How long a connection may be open without a whole request."""

SHUTDOWN_SECONDS = 1.0


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
    creation = Creation(services, guard, uploads)
    shutdown = Shutdown()
    videos = Videos(services, guard, creation, files_seconds=files_seconds, shutdown=shutdown)
    application.add_routes(videos.routes())
    application.add_routes(Images(services, guard, creation, shutdown).routes())
    application.add_routes(Moderations(services, guard).routes())
    application.add_routes(Models(services, section).routes())
    application.add_routes(Probes(services, metrics).routes())
    tools = Tools(services, files_seconds=files_seconds, shutdown=shutdown)
    mcp = McpRoute(services, guard, tools, creation)
    application.add_routes(mcp.routes())
    runner = web.AppRunner(
        application, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(guard.revocation.run())
            await stack.enter_async_context(mcp.run())
            make = connections(
                runner, guard.refuse, keepalive_timeout=HEADER_SECONDS, auto_decompress=False
            )
            try:
                server = await asyncio.get_running_loop().create_server(
                    _impatient(make), section.host, section.port, backlog=1024
                )
            except OSError as error:
                raise UserError(
                    "http.cannot_listen",
                    address=f"{section.host}:{section.port}",
                    problem=error.strerror or type(error).__name__,
                ) from error
            stack.callback(shutdown.begin)
            stack.callback(server.close)
            yield server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()


def _impatient(make: Callable[[], Connection]) -> Callable[[], Connection]:
    """Return a factory of connections that are closed if the client sends nothing.

    aiohttp's own limit begins after the first request.
    """

    def make_connection() -> Connection:
        connection = make()
        asyncio.get_running_loop().call_later(HEADER_SECONDS, _expire, connection)
        return connection

    return make_connection


def _expire(connection: Connection) -> None:
    if connection._request_count == 0:  # noqa: SLF001 - nothing public says so
        connection.force_close()
