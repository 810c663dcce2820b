"""Requests that hide another one, or code their body otherwise."""

from __future__ import annotations

import json
import re

import pytest

from tests.attacks.http.target import CHUNKED, attacks, head

pytestmark = pytest.mark.process


HIDDEN = b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    attacks(
        "http smuggling",
        [
            ("a length and pieces", ["Content-Length: 4", CHUNKED], HIDDEN),
            ("two lengths", ["Content-Length: 2", "Content-Length: 3"], b"{}\n"),
            ("a length with a sign", ["Content-Length: +2"], b"{}"),
            ("pieces of no length", [CHUNKED], b"zz\r\n{}\r\n0\r\n\r\n"),
            ("a coding nobody knows", [f"{CHUNKED}, cow"], b"0\r\n\r\n"),
            (
                "a body that is compressed and in pieces",
                ["Transfer-Encoding: gzip, chunked"],
                HIDDEN,
            ),
            ("pieces of pieces", [CHUNKED, CHUNKED], HIDDEN),
            ("a folded header", ["X-A: b", " c", "Content-Length: 2"], b"{}"),
            ("a space before the colon", ["Content-Length : 2"], b"{}"),
            ("a header of 100 kB", ["X-A: " + "a" * 100_000], b""),
            ("a thousand headers", [f"X-{number}: a" for number in range(1000)], b""),
        ],
    ),
)
def test_no_request_hides_another(served, headers, body):
    check_alone(served.raw(head(served, *headers) + body))


@pytest.mark.parametrize(
    "sent",
    attacks(
        "http smuggling",
        [
            ("bare line feeds", b"GET /v1/models HTTP/1.1\nHost: a\n\n\x00"),
            ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00"),
        ],
    ),
)
def test_what_is_no_http_is_no_request(served, sent):
    check_alone(served.raw(sent))


def check_alone(answer: bytes) -> None:
    """Check that there is one refusal at most, and nothing of what went wrong inside."""
    assert b"Traceback" not in answer
    if answer and b" 2" not in answer[:12]:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
    assert len(re.findall(rb"^HTTP/1\.\d \d{3} ", answer, re.MULTILINE)) <= 1
    assert not answer.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize(
    ("version", "codings"),
    [
        ("1.0", "chunked"),
        ("1.1", "gzip, chunked"),
        ("1.1", "gzip\r\nTransfer-Encoding: chunked"),
        ("1.1", "identity, chunked"),
    ],
)
def test_a_body_comes_whole_or_in_pieces_and_not_coded_otherwise(served, version, codings):
    answer = served.raw(
        f"POST /v1/videos HTTP/{version}\r\nHost: a\r\nAuthorization: Bearer {served.mine}\r\n"
        f"Transfer-Encoding: {codings}\r\n"
        "Content-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n".encode(),
        end=False,
    )
    assert answer.split(b" ")[1] == b"400"
    assert b"http.malformed" in answer
