"""Connections that say nothing, and clients that leave."""

from __future__ import annotations

import json
import socket

import pytest

from bot.http import server
from tests.attacks.http.target import asked, attacks, head
from tests.scenario.http_client import SECONDS

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
    port = int(served.url.rpartition(":")[2])
    for size in (0, 1, 100):
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            connection.sendall(request.encode())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            if size:
                connection.recv(size, socket.MSG_WAITALL)
    assert (await asked(served, "GET", "/v1/models", token=served.mine))[0] == 200
    logged = capfd.readouterr()
    assert not any(word in logged.out + logged.err for word in ("Traceback", "bug", "rror"))
