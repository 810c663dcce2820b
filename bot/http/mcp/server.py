"""MCP server on the official SDK, which only this module imports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from commands.text.messages import error_text, text
from inference.domain.errors import RushesError

Report = Callable[[float, str], Awaitable[None]]
List = Callable[[Any], Awaitable[list[dict[str, Any]]]]
"""Returns the tools, from what came with the request."""
Run = Callable[[Any, str, dict[str, Any], Report], Awaitable[dict[str, Any]]]
"""Runs a tool, from what came with the request, its name, its arguments and a progress callback."""


def make_server(listed: List, run: Run, *, locale: str) -> Server[Any]:
    """Return a server whose tools come from elsewhere.

    Args:
        listed: Returns them.
        run: Runs one.
        locale: Of what an assistant is told of all of them, and of errors.
    """

    async def list_tools(
        context: ServerRequestContext[Any], _: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        try:
            found = await listed(context.request)
        except RushesError as error:
            raise MCPError(types.INTERNAL_ERROR, error_text(error, locale)) from error
        return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in found])

    async def call_tool(
        context: ServerRequestContext[Any], asked: types.CallToolRequestParams
    ) -> types.CallToolResult:
        async def report(percent: float, line: str) -> None:
            await context.session.report_progress(percent, 100.0, line)

        try:
            answer = await run(context.request, asked.name, asked.arguments or {}, report)
        except RushesError as error:
            said = {"type": "text", "text": error_text(error, locale)}
            answer = {"content": [said], "isError": True}
        return types.CallToolResult.model_validate(answer)

    return Server(
        "rushes",
        version=version("rushes"),
        title="Rushes",
        instructions=text("mcp.about", locale),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def make_manager(server: Server[Any]) -> StreamableHTTPSessionManager:
    """Return the SDK's manager of streamable HTTP, without sessions.

    So a client goes on after a restart, and nobody can open sessions until others get none. Host
    and Origin are checked before.
    """
    return StreamableHTTPSessionManager(server, stateless=True)


async def serve_stdio(server: Server[Any]) -> None:
    """Serve the client at stdin and stdout until it leaves."""
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
