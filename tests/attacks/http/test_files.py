"""Ranges, entity tags and HEAD of files."""

from __future__ import annotations

import pytest

from tests.attacks.http.target import asked, attacks

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("given", "statuses"),
    attacks(
        "http ranges",
        [
            ("a range after the end", "bytes=999999999-", {416}),
            ("a range backwards", "bytes=9-1", {416}),
            ("a thousand ranges", "bytes=" + ",".join(["0-1"] * 1000), {416, 400}),
            ("a negative range", "bytes=-99999999999", {200, 206, 416}),
            ("a number of 400 digits", "bytes=0-" + "9" * 400, {200, 206, 416}),
            ("no numbers at all", "bytes=a-b", {416}),
            ("another unit", "lines=0-1", {200}),
            ("the last 0 bytes", "bytes=-0", {416}),
            ("two ranges", "bytes=0-3,8-11", {200}),
        ],
    ),
)
async def test_no_range_brings_more_than_the_file(served, given, statuses):
    path = f"/v1/videos/{served.video}/content"
    _, whole = await asked(served, "GET", path, token=served.mine)
    status, part = await asked(served, "GET", path, token=served.mine, headers={"Range": given})
    assert status in statuses
    assert status == 416 or (part and part in whole)


async def test_a_range_and_an_etag_do_what_they_say(served):
    path = f"/v1/videos/{served.video}/content"
    async with served.session(served.mine) as session:
        async with session.get(path) as answer:
            whole, tag = await answer.read(), answer.headers["ETag"]
            changed = answer.headers["Last-Modified"]
        async with session.get(path, headers={"Range": "bytes=4-7"}) as answer:
            assert (answer.status, await answer.read()) == (206, whole[4:8])
        async with session.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        for known, status in (
            (tag, 206),
            (changed, 206),
            ('"another"', 200),
            ("W/" + tag, 200),
            ("Fri, 01 Jan 2100 00:00:00 GMT", 200),
            ("neither", 200),
        ):
            headers = {"Range": "bytes=4-7", "If-Range": known}
            async with session.get(path, headers=headers) as answer:
                assert (answer.status, await answer.read()) == (
                    status,
                    whole[4:8] if status == 206 else whole,
                )
        async with session.head(path, headers={"Range": "bytes=4-7"}) as answer:  # of GET only
            assert answer.status == 200
            assert (answer.headers["ETag"], await answer.read()) == (tag, b"")
            assert int(answer.headers["Content-Length"]) == len(whole)


@pytest.mark.parametrize("path", ["events", "content", "content?variant=thumbnail"])
def test_head_answers_headers_only_and_the_connection_goes_on(served, path):
    asks = f"Host: a\r\nAuthorization: Bearer {served.mine}\r\n"
    answer = served.raw(
        f"HEAD /v1/videos/{served.video}/{path} HTTP/1.1\r\n{asks}\r\n"
        f"GET /v1/models HTTP/1.1\r\n{asks}Connection: close\r\n\r\n".encode(),
        end=False,
        whole=True,
    )
    first, _, rest = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert rest.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"If-Match": '"other"'}, 412, "http.precondition"),
        ({"Range": "bytes=999999999-"}, 416, "http.file_range"),
    ],
)
async def test_a_file_that_is_not_sent_is_an_error_as_others(served, headers, status, code):
    path = f"/v1/videos/{served.video}/content"
    async with served.session(served.mine) as session:
        async with session.get(path, headers=headers) as answer:
            assert (answer.status, answer.content_type) == (status, "application/json")
            assert (await answer.json())["error"]["code"] == code
            assert answer.headers.get("Content-Range", "bytes */").startswith("bytes */")
        async with session.head(path, headers=headers) as answer:
            assert answer.status == (200 if "Range" in headers else status)
            assert await answer.read() == b""
