"""Broken HTTP, which is neither quoted nor logged."""

from __future__ import annotations

import json
import logging
import socket

import pytest

from tests.attacks.http.target import CHUNKED, FORM, JSON, attacks, head

pytestmark = pytest.mark.process


CANARY = "canary7q2fk9xdab"
BEFORE_A_BODY_IS_GIVEN_UP = 50.0
"""Seconds; see `bot.http.body.READ_SECONDS`."""


@pytest.mark.parametrize(
    ("request_line", "headers", "body", "status"),
    attacks(
        "http echo",
        [
            ("a folded header", None, ["Authorization: Bearer", " {}"], "", 400),
            ("a space before the colon", None, ["Authorization : Bearer {}"], "", 400),
            ("a control in a header", None, ["Authorization: Bearer {}\x01"], "", 400),
            ("a header without a colon", None, ["Bearer {}"], "", 400),
            ("a header of 30 kB", None, ["Authorization: {}" + "a" * 30_000], "", 431),
            ("a thousand headers", None, ["X-A: {}"] * 1000, "", 431),
            ("an address of 10 kB", "GET /{}" + "a" * 10_000, [], "", 414),
            ("a broken address", "GET http://[{}", [], "", 400),
            ("a port of 99999", "GET http://a:99999/{}", [], "", 400),
            ("an unknown method", "A{} /", [], "", 400),
            ("a control in a method", "{}\x01 /", [], "", 400),
            ("an expectation", None, ["Expect: {}"], "", 417),
            ("an expectation of no route", "POST /{}", ["Expect: {}"], "", 417),
            ("two lengths", None, ["Content-Length: 2", "Content-Length: 3"], "{}", 400),
            ("a length and chunks", None, ["Content-Length: 20", CHUNKED], "{}", 400),
            ("a length of letters", None, ["Content-Length: {}"], "", 400),
            ("an unknown coding", None, ["Transfer-Encoding: {}"], "{}", 400),
            ("a chunk of no size", None, [CHUNKED], "{}\r\n", 400),
            ("a chunk that is longer than it says", None, [CHUNKED], "1\r\n{}\r\n", 400),
            ("a header after the chunks", None, [CHUNKED], "0\r\n{} : a\r\n\r\n", 400),
            ("two hosts", None, ["Host: {}"], "", 400),
        ],
    ),
)
def test_what_is_broken_is_neither_quoted_nor_logged(
    served, capfd, caplog, *, request_line, headers, body, status
):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "aiosqlite")
    begun = f"{request_line or 'POST /v1/videos'} HTTP/1.1".replace("{}", CANARY)
    sent = [*head(served).decode().replace("POST /v1/videos HTTP/1.1", begun).split("\r\n")[:-2]]
    sent += [header.replace("{}", CANARY) for header in headers]
    whole = "\r\n".join([*sent, "", body.replace("{}", CANARY)])
    with connected(served) as connection:
        connection.sendall(whole.encode("latin-1"))
        check_refusal(rest_of(connection), status)
    written = capfd.readouterr()
    for seen in (written.out, written.err, caplog.text):
        assert CANARY not in seen.lower()
        assert "Traceback" not in seen


@pytest.mark.parametrize(
    ("path", "kind"),
    attacks(
        "http echo",
        [
            ("a chunk that breaks JSON that is being read", "/v1/videos", JSON),
            ("a chunk that breaks a form that is being read", "/v1/videos", FORM),
            ("a chunk that breaks a message that is being read", "/mcp", JSON),
        ],
    ),
)
def test_a_body_that_breaks_while_it_is_read_is_refused_at_once(served, capfd, path, kind):
    given = [f"Content-Type: {kind}", CHUNKED, "Expect: 100-continue"]
    sent = head(served, *given, path=path).replace(b"Content-Type: application/json\r\n", b"", 1)
    with connected(served) as connection:
        connection.sendall(sent.replace(b"Host: a", b"Host: localhost"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"4\r\n--x\r\r\n")
        connection.sendall(f"zz{CANARY}\r\n".encode())
        check_refusal(rest_of(connection), 400)
    assert CANARY not in "".join(capfd.readouterr())


def connected(served) -> socket.socket:
    address = "127.0.0.1", int(served.url.rpartition(":")[2])
    return socket.create_connection(address, timeout=BEFORE_A_BODY_IS_GIVEN_UP)


def rest_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def check_refusal(answer: bytes, status: int) -> None:
    """Check that an answer is one error as OpenAI's clients know it, that quotes nothing."""
    top, _, body = answer.partition(b"\r\n\r\n")
    assert CANARY.encode() not in answer.lower()
    assert top.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close" in top
    error = json.loads(body)["error"]
    assert error["message"]
    assert error["code"].startswith("http.")
