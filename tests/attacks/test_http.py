"""What anybody on the network can send to the HTTP API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import io
import json
import logging
import re
import socket
import threading
import time
import zlib

import aiohttp
import pytest
from PIL import Image

from bot.http import server
from bot.http.access import guard
from bot.http.access.tokens import open_tokens
from bot.http.body import MAX_BODY
from bot.network import http_limits
from tests.scenario.http_client import SECONDS, SMALL, ended, http_config, serving

pytestmark = pytest.mark.process

GOOD = {"prompt": "a fox", "rushes": SMALL}


class Served:
    """A Rushes in a thread of its own, for all attacks, with a finished clip to be after."""

    def __init__(self, directory):
        self.directory = directory
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()))

    async def serve(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        config = http_config(
            self.directory, queue={"waiting_per_user": 999, "waiting_per_guild": 999}
        )
        async with serving(config) as house:
            self.url = house.url
            self.mine = house.token(guild="mine", name="me")
            self.same = house.token(guild="mine", name="colleague")
            self.other = house.token(guild="other", name="eve")
            async with house.session(self.mine) as session:
                async with session.post("/v1/videos", json=GOOD) as response:
                    self.video = (await response.json())["id"]
                assert (await ended(session, self.video))["status"] == "completed"
            self.ready.set()
            await self.stop.wait()

    @contextlib.asynccontextmanager
    async def session(self, token=None):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            yield session

    async def jobs(self, token):
        async with self.session(token) as session, session.get("/v1/videos?limit=100") as answer:
            return [video["id"] for video in (await answer.json())["data"]]

    def raw(
        self,
        data: bytes,
        *,
        end: bool = True,
        whole: bool = False,
        seconds: float = SECONDS,
    ) -> bytes:
        """Send bytes as they are, and return what comes back until the other side closes.

        Where there is more to send, the head of the answer is enough: a server lingers for it.
        """
        port = int(self.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    received += chunk
                    if not end and not whole and b"\r\n\r\n" in received:
                        break
        return received


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    before, http_limits.PER_MINUTE = http_limits.PER_MINUTE, 10**6
    served = Served(tmp_path_factory.mktemp("http") / "data")
    served.thread.start()
    assert served.ready.wait(SECONDS)
    yield served
    served.loop.call_soon_threadsafe(served.stop.set)
    served.thread.join(SECONDS)
    http_limits.PER_MINUTE = before


def attacks(kind, rows):
    """Return parameters: each row is what is tried, then the arguments."""
    return [
        pytest.param(*arguments, marks=pytest.mark.attack(kind, what), id=what)
        for what, *arguments in rows
    ]


async def asked(served, method, path, *, token=None, **given):
    async with served.session(token) as session, session.request(method, path, **given) as answer:
        body = await answer.read()
        assert b"Traceback" not in body
        return answer.status, body


# -- who ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    attacks(
        "http auth",
        [
            ("no token", lambda _: {}),
            ("an empty token", lambda _: {"Authorization": "Bearer "}),
            ("another scheme", lambda s: {"Authorization": f"Basic {s.mine}"}),
            ("no scheme", lambda s: {"Authorization": s.mine}),
            ("a wrong secret", lambda s: {"Authorization": f"Bearer {s.mine[:-3]}abc"}),
            (
                "one token's id with another's secret",
                lambda s: {"Authorization": f"Bearer {s.mine[:15]}{s.other[15:]}"},
            ),
            ("a token with more after it", lambda s: {"Authorization": f"Bearer {s.mine} x"}),
            ("a token of OpenAI's form", lambda _: {"Authorization": "Bearer sk-proj-1234"}),
            ("SQL in the token", lambda _: {"Authorization": "Bearer rsh_' OR 1=1 --_x"}),
            ("a token in a cookie", lambda s: {"Cookie": f"token={s.mine}"}),
            ("a token as an X-API-Key", lambda s: {"X-Api-Key": s.mine}),
            ("64 kB of token", lambda _: {"Authorization": "Bearer " + "a" * 8000}),
        ],
    ),
)
async def test_without_a_valid_token_nothing_opens(served, headers):
    for method, path in (("GET", "/v1/videos"), ("POST", "/v1/videos"), ("GET", "/v1/models")):
        status, body = await asked(served, method, path, headers=headers(served))
        assert (status, json.loads(body)["error"]["code"]) == (401, "http.unauthorized")


@pytest.mark.attack("http auth", "a token in the address")
async def test_a_token_in_the_address_opens_nothing(served):
    status, _ = await asked(served, "GET", f"/v1/videos?token={served.mine}&api_key={served.mine}")
    assert status == 401


@pytest.mark.attack("http auth", "a token that was just revoked")
async def test_a_revoked_token_is_refused_at_once(served):
    with open_tokens(served.directory) as table:
        given = {"guild": "mine", "person": None, "roles": frozenset(), "now": time.time()}
        made = table.create(name="brief", expires=None, **given)
        assert (await asked(served, "GET", "/v1/models", token=made))[0] == 200
        table.revoke(made, time.time())
    assert (await asked(served, "GET", "/v1/models", token=made))[0] == 401


@pytest.mark.attack("http auth", "two Authorization headers")
def test_two_authorizations_are_none(served):
    answer = served.raw(
        f"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: Bearer x\r\nAuthorization: Bearer {served.mine}\r\n\r\n".encode(),
        end=False,
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.attack("http auth", "guessing tokens, with another X-Forwarded-For each time")
async def test_guessing_is_slowed_and_hurts_nobody_else(served, monkeypatch):
    monkeypatch.setattr(http_limits, "PER_MINUTE", 3)
    found = []
    for number in range(6):
        headers = {"Authorization": f"Bearer {number}", "X-Forwarded-For": f"10.0.0.{number}"}
        found.append((await asked(served, "GET", "/v1/models", headers=headers))[0])
    assert found[-1] == 429
    assert (await asked(served, "GET", "/v1/models", token=served.mine))[0] == 200


# -- whose -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    attacks(
        "http tenants",
        [
            ("another tenant's video", "GET", "/v1/videos/{}", None),
            ("its file", "GET", "/v1/videos/{}/content", None),
            ("its thumbnail", "GET", "/v1/videos/{}/content?variant=thumbnail", None),
            ("its events", "GET", "/v1/videos/{}/events", None),
            ("deleting it", "DELETE", "/v1/videos/{}", None),
            ("a remix of it", "POST", "/v1/videos/{}/remix", {"prompt": "a"}),
            ("an edit of it", "POST", "/v1/videos/edits", {"prompt": "a", "video": {"id": "{}"}}),
            (
                "going on from it",
                "POST",
                "/v1/videos/extensions",
                {"prompt": "a", "seconds": "1", "video": {"id": "{}"}},
            ),
            ("listing from it on", "GET", "/v1/videos?after={}", None),
        ],
    ),
)
async def test_what_is_anothers_is_as_unknown_as_what_never_was(served, method, path, body):
    answers = []
    for video in (served.video, "7Q2FK9XDAB"):
        given = None if body is None else json.loads(json.dumps(body).replace("{}", video))
        status, answer = await asked(
            served, method, path.format(video), token=served.other, json=given
        )
        answers.append((status, answer.replace(video.encode(), b"")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert served.video in await served.jobs(served.mine)


@pytest.mark.attack("http tenants", "deleting a colleague's video")
async def test_a_colleague_may_look_and_not_delete(served):
    path = f"/v1/videos/{served.video}"
    assert (await asked(served, "GET", path, token=served.same))[0] == 200
    status, body = await asked(served, "DELETE", path, token=served.same)
    assert (status, json.loads(body)["error"]["code"]) == (403, "job.not_yours")
    assert served.video not in await served.jobs(served.same)


@pytest.mark.attack("http tenants", "another tenant's idempotency key")
async def test_a_key_of_another_makes_another_job(served):
    headers = {"Idempotency-Key": "shared"}
    made = [
        json.loads(
            (await asked(served, "POST", "/v1/videos", token=token, json=GOOD, headers=headers))[1]
        )["id"]
        for token in (served.mine, served.other, served.same)
    ]
    assert len(set(made)) == 3


# -- where -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    attacks(
        "http paths",
        [
            ("dots in an id", "/v1/videos/..%2f..%2frushes.sqlite3"),
            ("dots before content", "/v1/videos/..%2f..%2f/content"),
            ("a zero byte in an id", "/v1/videos/7Q2FK9XDA%00"),
            ("a line break in an id", "/v1/videos/7Q2FK9XDAB%0d%0aSet-Cookie:%20a=b"),
            ("digits of another script in an id", "/v1/videos/7Q2FK9XDA%EF%BC%98"),
            ("broken UTF-8 in an id", "/v1/videos/%ff%fe"),
            ("8 kB of id", "/v1/videos/" + "A" * 7000),
            ("dots in a model", "/v1/models/..%2f..%2fconfig.toml"),
            ("a path beside the API", "/v1/../config.toml"),
            ("somebody's character", "/v1/videos/characters/abc"),
        ],
    ),
)
async def test_no_path_leads_out(served, path):
    raw = served.raw(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {served.mine}\r\n"
        "Connection: close\r\n\r\n".encode(),
        end=False,
    )
    assert raw.split()[1] in {b"404", b"400"}
    assert b"Set-Cookie" not in raw.split(b"\r\n\r\n")[0]
    assert b"Traceback" not in raw


@pytest.mark.parametrize(
    "variant", attacks("http paths", [("a path as a variant", "../../x"), ("a sheet", "sheet.jpg")])
)
async def test_no_variant_names_a_file(served, variant):
    status, _ = await asked(
        served, "GET", f"/v1/videos/{served.video}/content", params={"variant": variant},
        token=served.mine,
    )  # fmt: skip
    assert status == 400


# -- ranges ------------------------------------------------------------------------------------


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
        async with session.get(path, headers={"Range": "bytes=4-7"}) as answer:
            assert (answer.status, await answer.read()) == (206, whole[4:8])
        async with session.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        for known, status in ((tag, 206), ('"another"', 200), ("W/" + tag, 200)):
            headers = {"Range": "bytes=4-7", "If-Range": known}
            async with session.get(path, headers=headers) as answer:
                assert (answer.status, await answer.read()) == (
                    status,
                    whole[4:8] if status == 206 else whole,
                )
        async with session.head(path) as answer:
            assert (answer.headers["ETag"], await answer.read()) == (tag, b"")
            assert int(answer.headers["Content-Length"]) == len(whole)


# -- bodies ------------------------------------------------------------------------------------


def form(*parts: bytes, boundary=b"x", end=True) -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return body + (b"--" + boundary + b"--\r\n" if end else b"")


def field(name: str, value: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value


JSON, FORM = "application/json", "multipart/form-data; boundary=x"
PROMPT = field("prompt", b"a fox")


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


def head(served, *more: str, path="/v1/videos") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {served.mine}",
        "Content-Type: application/json",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


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


def picture(side: int, mode="RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "PNG")
    return file.getvalue()


def uploads(served) -> list[str]:
    folder = served.directory / "uploads"
    return [file.name for file in folder.iterdir()] if folder.is_dir() else []


@pytest.mark.parametrize(
    ("sent", "code"),
    attacks(
        "http pictures",
        [
            ("words as a picture", lambda: b"nothing", "image.not_an_image"),
            ("a page as a picture", lambda: b"<svg onload='x'/>", "image.not_an_image"),
            ("half a picture", lambda: picture(640)[:400], "image.truncated"),
            ("a picture of 400 megapixels", lambda: picture(20_000, "1"), "image.too_many_pixels"),
            ("a picture of one pixel", lambda: picture(1), "image.too_small"),
        ],
    ),
)
async def test_what_is_no_picture_is_refused_at_once(served, sent, code):
    before, data = await served.jobs(served.other), sent()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    multipart = form(PROMPT, field("input_reference", data, '; filename="a.png"'))
    asks = [
        {"json": {**GOOD, "input_reference": {"image_url": url}}},
        {"data": io.BytesIO(multipart), "headers": {"Content-Type": FORM}},
    ]
    for ask in asks:
        status, answer = await asked(served, "POST", "/v1/videos", token=served.other, **ask)
        error = json.loads(answer)["error"]
        assert (status, error["code"], error["param"]) == (400, code, "input_reference")
    arguments = {**GOOD["rushes"], "prompt": "a fox", "image": url}
    call = {"name": "generate", "arguments": arguments}
    status, answer = await asked(
        served,
        "POST",
        "/mcp",
        token=served.other,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
        headers={"Accept": "application/json, text/event-stream"},
    )
    assert status == 200
    assert f'\\"{code}\\"' in answer.decode() or f'"{code}"' in answer.decode()
    assert await served.jobs(served.other) == before
    assert uploads(served) == []


@pytest.mark.parametrize(
    "address",
    attacks(
        "http references",
        [
            ("an address inside the network", "http://169.254.169.254/latest/meta-data"),
            ("an address on this machine", "http://127.0.0.1:1/"),
            ("a file of this machine", "file:///etc/passwd"),
            ("a path", "/etc/passwd"),
            ("a name of an upload", "upload:" + "0" * 32),
            ("the file of a parent", "parent:result"),
            ("a page as data", "data:text/html;base64,PGE+"),
            ("no base64", "data:image/png;base64,%%%"),
            ("nothing at all", "data:image/png;base64,"),
        ],
    ),
)
async def test_no_reference_is_fetched_from_anywhere(served, address):
    body = {**GOOD, "input_reference": {"image_url": address}}
    status, answer = await asked(served, "POST", "/v1/videos", token=served.mine, json=body)
    assert (status, json.loads(answer)["error"]["code"]) == (400, "http.reference")
    for name in ("image", "last"):
        body = {**GOOD, "rushes": {name: address}}
        status, _ = await asked(served, "POST", "/v1/videos", token=served.mine, json=body)
        assert status == 400


# -- protocol ----------------------------------------------------------------------------------


CHUNKED = "Transfer-Encoding: chunked"
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


def check_alone(answer: bytes) -> None:
    """Check that there is one refusal at most, and nothing of what went wrong inside."""
    assert b"Traceback" not in answer
    if answer and b" 2" not in answer[:12]:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
    assert len(re.findall(rb"^HTTP/1\.\d \d{3} ", answer, re.MULTILINE)) <= 1
    assert not answer.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize(
    "key",
    attacks(
        "http keys",
        [("an empty key", ""), ("a key of a kilobyte", "a" * 1000), ("a key with a tab", "a\tb")],
    ),
)
async def test_a_key_is_short_and_printable(served, key):
    status, body = await asked(
        served, "POST", "/v1/videos", token=served.mine, json=GOOD, headers={"Idempotency-Key": key}
    )
    assert (status, json.loads(body)["error"]["code"]) == (400, "http.key")


@pytest.mark.attack("http browsers", "a page of another origin")
async def test_no_page_of_another_origin_is_let_in(served):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with served.session(served.mine) as session:
        for method in ("OPTIONS", "GET"):
            async with session.request(method, "/v1/videos", headers=headers) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
        async with session.options("/v1/videos", headers=headers) as answer:
            assert answer.status == 405


@pytest.mark.attack("http limits", "a hundred requests of one token at once")
async def test_a_token_has_so_many_requests_at_once(served, monkeypatch):
    monkeypatch.setattr(guard, "PER_TOKEN", 2)
    async with served.session(served.mine) as session:
        async with session.post("/v1/videos", json={"prompt": "a"}) as answer:
            video = (await answer.json())["id"]
        path = f"/v1/videos/{video}/events"
        async with session.get(path), session.get(path), session.get("/v1/models") as third:
            assert third.status in {200, 429}  # the job may have ended
            if third.status == 429:
                assert int(third.headers["Retry-After"]) > 0


@pytest.mark.attack("http limits", "paging without end")
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=-1", "limit=1e3", "limit=٣", "order=up"]
)
async def test_a_page_has_bounds(served, query):
    assert (await asked(served, "GET", f"/v1/videos?{query}", token=served.mine))[0] == 400


@pytest.mark.attack("http methods", "other methods")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "PROPFIND"])
async def test_other_methods_do_nothing(served, method):
    path = f"/v1/videos/{served.video}"
    assert (await asked(served, method, path, token=served.mine))[0] == 405


# -- answers -----------------------------------------------------------------------------------


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
            assert (answer.status, await answer.read()) == (status, b"")


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


@pytest.mark.attack("http host", "a link to the Host of the request")
async def test_no_link_leads_to_where_a_host_header_says(served):
    body = {"prompt": "a fox", "response_format": "url"}
    for host, link in (("evil.example", served.url), ("localhost:1234", "http://localhost:1234")):
        status, answer = await asked(
            served,
            "POST",
            "/v1/images/generations",
            token=served.mine,
            json=body,
            headers={"Host": host},
        )
        assert status == 200
        assert json.loads(answer)["data"][0]["url"].startswith(f"{link}/v1/videos/")


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
