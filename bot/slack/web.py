"""The HTTP side: where Slack delivers in HTTP mode, and where workspaces install the app."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.slack.manifest import EVENTS_PATH, INSTALL_PATH, REDIRECT_PATH
from inference.errors import UserError

MAX_BODY = 2**20
"""Bytes; Slack's own payloads are a small part of that."""

SHUTDOWN_SECONDS = 1.0

_Handler = Callable[[web.Request], Awaitable[web.Response]]


@contextlib.asynccontextmanager
async def serve(
    *, host: str, port: int, app: AsyncApp | None, flow: AsyncOAuthFlow | None
) -> AsyncIterator[None]:
    """Serve inside the block.

    Args:
        host: Address to listen on; a proxy with TLS belongs in front.
        port: The same.
        app: Takes what Slack delivers, checking its signature; None in Socket Mode.
        flow: Installs the app; None where one token serves one workspace.

    Raises:
        UserError: `slack.cannot_listen`.
    """
    application = web.Application(client_max_size=MAX_BODY)
    if app is not None:
        application.router.add_post(EVENTS_PATH, _answering(app.async_dispatch))
    if flow is not None:
        application.router.add_get(INSTALL_PATH, _answering(flow.handle_installation))
        application.router.add_get(REDIRECT_PATH, _answering(flow.handle_callback))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise UserError(
                "slack.cannot_listen", address=f"{host}:{port}", problem=problem
            ) from error
        yield
    finally:
        await runner.cleanup()


def _answering(handle: Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]) -> _Handler:
    async def answer(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await handle(await to_bolt_request(request)))

    return answer
