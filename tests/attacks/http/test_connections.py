"""Connections that say nothing, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket

import pytest

from bot.http import server
from tests.attacks.http.target import GOOD, asked, attacks, head
from tests.scenario.http_client import SECONDS, ended

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "begun",
    attacks(
        "http bodies",
        [
            ("a connection that says nothing", b""),
            ("headers that never end", b"GET / HTTP/1.1\r\nA"),
        ],
    ),
)
def test_a_connection_without_a_request_is_closed(served, monkeypatch, begun):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    assert b"200" not in served.raw(begun, end=False)


@pytest.mark.attack("http bodies", "leaving in the middle of a request")
async def test_who_leaves_in_the_middle_leaves_nothing(served):
    before = await served.jobs(served.mine)
    served.raw(head(served, "Content-Length: 100") + b'{"prompt": "a')
    assert await served.jobs(served.mine) == before


@pytest.mark.parametrize("path", ["/mcp", "/v1/videos/{}/events", "/v1/videos/{}/content"])
async def test_a_client_that_leaves_early_is_no_bug(served, capfd, path):
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "status", "arguments": {"id": served.video}},
        }
    )
    method = "POST" if path == "/mcp" else "GET"
    request = (
        f"{method} {path.format(served.video)} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {served.mine}\r\nAccept: application/json, text/event-stream\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    for size in (0, 1, 100):
        leave(served, request.encode(), after=size)
    assert (await asked(served, "GET", "/v1/models", token=served.mine))[0] == 200
    assert_no_bug(capfd)


async def test_a_client_that_leaves_a_long_download_is_no_bug(served, capfd):
    token = served.token("downloads")
    async with served.session(token) as session:
        async with session.post("/v1/videos", json=GOOD) as answer:
            video = (await answer.json())["id"]
        assert (await ended(session, video))["status"] == "completed"
        clip = next((served.directory / "jobs" / video).glob("*/clip.mp4"))
        os.truncate(clip, 256 * 2**20)  # more than the buffers of sockets hold
        path = f"/v1/videos/{video}/content"
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
        for size in (1, 2**16):
            before = await cut_downloads(session)
            leave(served, request.encode(), after=size)
            async with asyncio.timeout(SECONDS):
                while await cut_downloads(session) == before:  # noqa: ASYNC110 - no event says so
                    await asyncio.sleep(0.02)
    assert_no_bug(capfd)


async def cut_downloads(session) -> int:
    """Return how many clients left while they were sent a clip."""
    async with session.get("/metrics") as answer:
        counts = re.findall(r'_count\{.*/content",status="499"\} (\d+)', await answer.text())
    return int(counts[0]) if counts else 0


def leave(served, request: bytes, *, after: int) -> None:
    """Ask, and reset the connection after so many bytes of the answer."""
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(request)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if after:
            connection.recv(after, socket.MSG_WAITALL)


def assert_no_bug(capfd) -> None:
    logged = capfd.readouterr()
    assert not any(word in logged.out + logged.err for word in ("Traceback", "bug", "rror"))
