"""Bodies that are broken, huge, slow or packed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import zlib

import pytest

from bot.http.body import MAX_BODY
from tests.attacks.http.target import FORM, JSON, PROMPT, asked, attacks, field, form, head, tool
from tests.scenario.http_client import SECONDS

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("kind", "body", "statuses"),
    attacks(
        "http bodies",
        [
            ("no JSON", JSON, b"{", {400}),
            ("a list in place of a table", JSON, b"[]", {400}),
            ("JSON that nests 100000 times", JSON, b"[" * 100_000, {400}),
            ("a name twice", JSON, b'{"prompt": "a", "prompt": "b"}', {400}),
            ("NaN", JSON, b'{"prompt": "a", "seconds": NaN}', {400}),
            (
                "a number of 5000 digits",
                JSON,
                b'{"prompt": "a", "seconds": ' + b"9" * 5000 + b"}",
                {400},
            ),
            ("broken UTF-8", JSON, b'{"prompt": "\xff"}', {400}),
            ("half a surrogate", JSON, b'{"prompt": "\\ud800"}', {200, 400}),
            ("a table in place of words", JSON, b'{"prompt": {"a": 1}}', {400}),
            (
                "tables inside options",
                JSON,
                b'{"prompt": "a", "rushes": {"seed": {"a": 1}}}',
                {400},
            ),
            ("an empty prompt", JSON, b'{"prompt": "\xe2\x80\x8b"}', {400}),
            ("a prompt of 100 kB", JSON, b'{"prompt": "' + b"a" * 100_000 + b'"}', {400}),
            ("a body of another kind", "text/xml", b"<a/>", {415}),
            ("no kind at all", "", b"{}", {415}),
            ("a form without a boundary", "multipart/form-data", form(PROMPT), {400}),
            ("a form that never ends", FORM, form(PROMPT, end=False), {200, 400}),
            ("a form that is none", FORM, b"nothing", {400}),
            ("a field twice", FORM, form(PROMPT, PROMPT), {400}),
            (
                "a table and a field of one name",
                FORM,
                form(PROMPT, field("a", b"1"), field("a[b]", b"1")),
                {400},
            ),
            ("a thousand fields", FORM, form(*[field(f"f{n}", b"1") for n in range(1000)]), {400}),
            (
                "a field without a name",
                FORM,
                form(b"Content-Disposition: form-data\r\n\r\na"),
                {400},
            ),
            ("a part without headers", FORM, form(b"\r\na"), {400}),
            ("a field of a megabyte", FORM, form(field("prompt", b"a" * 2**20)), {413}),
            (
                "a picture of 25 MB",
                FORM,
                form(PROMPT, field("input_reference", b"a" * 25 * 2**20, '; filename="a"')),
                {413},
            ),
            (
                "an encoded field",
                FORM,
                form(b"Content-Transfer-Encoding: base64\r\n" + field("prompt", b"YQ==")),
                {400},
            ),
            (
                "a form inside a form",
                FORM,
                form(b"Content-Type: multipart/mixed; boundary=y\r\n" + field("prompt", b"--y--")),
                {400},
            ),
            ("an odd name", FORM, form(field("rushes[seed][a]", b"1")), {400}),
            (
                "a file as the prompt",
                FORM,
                form(field("prompt", b"a", '; filename="../../etc/x"')),
                {400},
            ),
        ],
    ),
)
async def test_no_body_is_half_accepted(served, kind, body, statuses):
    before = await served.jobs(served.other)
    status, answer = await asked(
        served,
        "POST",
        "/v1/videos",
        token=served.other,
        data=io.BytesIO(body),
        headers={"Content-Type": kind},
    )
    assert status in statuses, answer
    if status != 200:
        assert json.loads(answer)["error"]["message"]
        assert await served.jobs(served.other) == before


@pytest.mark.parametrize(
    ("name", "data", "code", "limit"),
    [
        ("prompt", field("prompt", b"a" * 65537), "http.field_large", "65536 bytes"),
        (
            "input_reference",
            field("input_reference", b"a" * 21 * 2**20, '; filename="a"'),
            "image.too_large",
            "20 MB",
        ),
    ],
)
async def test_a_field_that_is_too_large_is_named_with_its_own_limit(
    served, name, data, code, limit
):
    status, answer = await asked(
        served,
        "POST",
        "/v1/videos",
        token=served.other,
        data=io.BytesIO(form(data)),
        headers={"Content-Type": FORM},
    )
    error = json.loads(answer)["error"]
    assert (status, error["code"], error["param"]) == (413, code, name)
    assert limit in error["message"]


@pytest.mark.attack("http bodies", "a body of 500 MB, by its header")
def test_a_body_that_says_it_is_huge_is_not_read(served):
    answer = served.raw(head(served, f"Content-Length: {500 * 2**20}") + b"{", end=False)
    assert b" 413 " in answer.split(b"\r\n")[0]


@pytest.mark.attack("http bodies", "a body of 500 MB, in pieces")
async def test_a_body_that_does_not_end_is_cut_off(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    head = (
        f"POST /v1/videos HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {served.mine}\r\n"
        f"Content-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    try:
        with contextlib.suppress(ConnectionError):  # cut off while it was being sent
            writer.write(head.encode())
            for _ in range(500):
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            answer = await asyncio.wait_for(reader.readline(), SECONDS)
            assert not answer or b" 413 " in answer
    finally:
        writer.transport.abort()  # a close would wait for what nobody reads


@pytest.mark.attack("http bodies", "a compressed body that is a thousand times as large")
async def test_nothing_compressed_is_unpacked(served):
    bomb = gzip.compress(b" " * (MAX_BODY * 4))
    for encoding, data in (("gzip", bomb), ("deflate", zlib.compress(b"{}"))):
        status, _ = await asked(
            served, "POST", "/v1/videos", token=served.mine, data=data,
            headers={"Content-Type": JSON, "Content-Encoding": encoding},
        )  # fmt: skip
        assert status == 415


@pytest.mark.attack("http bodies", "a body that arrives byte by byte")
def test_a_slow_body_is_given_up(served, monkeypatch):
    monkeypatch.setattr("bot.http.body.READ_SECONDS", 0.3)
    answer = served.raw(head(served, "Content-Length: 100") + b"{", end=False)
    assert b" 408 " in answer.split(b"\r\n")[0]


@pytest.mark.attack("http bodies", "a call of MCP that is held in memory while it waits")
async def test_only_a_tool_that_takes_pictures_takes_a_large_message(served):
    call = tool("wait", {"id": served.video, "seconds": 600, "more": "a" * 2**20})
    status, answer = await asked(
        served,
        "POST",
        "/mcp",
        token=served.mine,
        data=io.BytesIO(json.dumps(call["json"]).encode()),
        headers={**call["headers"], "Content-Type": JSON},
    )
    assert (status, json.loads(answer)["error"]["code"]) == (413, "http.too_large")
