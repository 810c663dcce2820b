"""The subcommand `rushes mcp`: the tools of the running Rushes over stdio, for assistants."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bot.cli.handlers import ask_running, log_to_stderr

if TYPE_CHECKING:
    from bot.control.client import ControlClient, Speaker
    from bot.http.mcp.server import Report


def serve(options: argparse.Namespace) -> int:
    """Serve the client at stdin and stdout until it leaves."""
    log_to_stderr()

    async def serve(client: ControlClient, speaker: Speaker) -> int:
        await client.health()  # fail at once if nothing is running

        from bot.http.mcp.server import make_server, serve_stdio

        async def list_tools(_: Any) -> list[dict[str, Any]]:
            return await client.tools(speaker)

        async def run(
            _: Any, name: str, arguments: dict[str, Any], report: Report
        ) -> dict[str, Any]:
            return await client.tool(name, arguments, report, speaker)

        await serve_stdio(make_server(list_tools, run, locale=speaker.language))
        return 0

    return ask_running(options, serve)
