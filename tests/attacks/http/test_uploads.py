"""Pictures of one token that hold what others need for theirs."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import socket

import pytest

from bot.http.access import admission
from bot.http.access.guard import PER_TOKEN
from bot.http.videos import creation
from tests.attacks.http.target import FORM, GOOD, PROMPT, asked, field, form, head, picture
from tests.scenario.http_client import SECONDS

pytestmark = pytest.mark.process

LARGE = form(PROMPT, field("input_reference", picture(64) + b"0" * 6 * 2**20, '; filename="a"'))
"""A picture with more after it: too much for the buffers of a connection that nobody reads."""

HELD_BACK = 100
"""Bytes of a body that come later, or never."""


class Upload:
    """An upload by hand."""

    def __init__(self, served, *more: str, token: str) -> None:
        begun = head(served, f"Content-Length: {len(LARGE)}", *more, token=token)
        self.begun = begun.replace(b"application/json", FORM.encode())
        self.port = int(served.url.rpartition(":")[2])
        self.sent = asyncio.Event()
        self.answer = b""

    async def send(self) -> None:
        """Send all but the last bytes, and keep what comes back."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        reader, self.writer = await asyncio.open_connection(sock=connection)
        reading = asyncio.create_task(self._read(reader))
        try:
            self.writer.write(self.begun + LARGE[:-HELD_BACK])
            await self.writer.drain()
            while self.writer.transport.get_write_buffer_size():  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0.01)
            if not self.answer and not self.writer.transport.is_closing():
                self.sent.set()
            await reading
        finally:
            reading.cancel()
            self.writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            top = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"Content-Length: (\d+)", top)[1])
            self.answer = top + await reader.readexactly(length)

    def finish(self) -> None:
        """Send the rest."""
        self.writer.write(LARGE[-HELD_BACK:])


@contextlib.asynccontextmanager
async def uploading(uploads):
    """Send all within the block, and drop them at its end."""
    tasks = [asyncio.create_task(upload.send()) for upload in uploads]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def first_sent(uploads, count):
    """Wait until so many uploads were read, but for their last bytes."""
    async with asyncio.timeout(SECONDS):
        while sum(upload.sent.is_set() for upload in uploads) < count:  # noqa: ASYNC110 - many events
            await asyncio.sleep(0.02)


@pytest.mark.attack("http uploads", "64 pictures of one token that never end")
async def test_uploads_of_one_token_leave_those_of_others_alone(served):
    token = served.token("uploads")
    mine = [Upload(served, token=token) for _ in range(PER_TOKEN)]
    async with uploading(mine):
        await first_sent(mine, admission.UPLOADS.token)
        small = form(PROMPT, field("input_reference", picture(64), '; filename="a"'))
        for data in (LARGE, small):
            status, answer = await asked(
                served,
                "POST",
                "/v1/videos",
                token=served.other,
                data=io.BytesIO(data),
                headers={"Content-Type": FORM},
            )
            assert status == 200, answer
        answers = [upload.answer for upload in mine if upload.answer]
        read = [upload for upload in mine if upload.sent.is_set() and not upload.answer]
        assert len(read) == admission.UPLOADS.token, answers
        for refused in answers:
            assert b" 429 " in refused
            assert b"http.busy" in refused
            assert b"Retry-After" in refused


async def test_a_repeated_upload_is_not_refused_for_what_refuses_new_ones(served):
    key = "Idempotency-Key: one-picture"
    token = served.token("repeats")
    first, repeated = (Upload(served, key, token=token) for _ in range(2))
    async with uploading([first]) as tasks:
        await first_sent([first], 1)
        await served.drain()
        async with uploading([Upload(served, token=token), repeated]) as (refused, more):
            await refused
            async with asyncio.timeout(SECONDS):
                await repeated.sent.wait()  # it was let in
            await served.resume()
            first.finish()
            repeated.finish()
            async with asyncio.timeout(SECONDS):
                await asyncio.gather(tasks[0], more)
    await served.drain()
    again = Upload(served, key, token=token)
    async with uploading([again]) as tasks, asyncio.timeout(SECONDS):
        await first_sent([again], 1)
        again.finish()
        await tasks[0]
    await served.resume()
    answers = [upload.answer.partition(b"\r\n\r\n")[2] for upload in (first, repeated, again)]
    assert len({json.loads(answer)["id"] for answer in answers}) == 1


async def test_a_request_waits_for_another_one_with_its_key_not_for_ever(served, monkeypatch):
    monkeypatch.setattr(creation, "KEY_SECONDS", 0.2)
    token = served.token("one key")
    held = [Upload(served, token=token) for _ in range(admission.UPLOADS.token)]
    body = form(PROMPT, field("input_reference", picture(64), '; filename="a"'))

    async def ask():
        headers = {"Content-Type": FORM, "Idempotency-Key": "one key"}
        async with (
            served.session(token) as session,
            session.post("/v1/videos", data=body, headers=headers) as answer,
        ):
            return answer.status, answer.headers.get("Retry-After"), await answer.json()

    async with uploading(held) as tasks, asyncio.timeout(SECONDS):
        await first_sent(held, len(held))
        asking = [asyncio.create_task(ask()) for _ in range(2)]  # one waits for its share
        refused, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        status, retry, answer = await refused.pop()
        assert (status, answer["error"]["code"]) == (409, "http.key_busy")
        assert int(retry) > 0
        for upload in held:
            upload.finish()
        assert (await asking.pop())[0] == 200
        await asyncio.gather(*tasks)


@pytest.mark.attack("http uploads", "a first request that never ends, to keep its key")
async def test_a_first_request_that_stalls_holds_up_no_repeat(served):
    token, key = served.token("stalls"), "Idempotency-Key: stalled"
    port = int(served.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head(served, "Content-Length: 100", key, token=token) + b"{")
        await writer.drain()
        assert (await asked(served, "GET", "/v1/models", token=token))[0] == 200  # it was read
        status, answer = await asked(
            served,
            "POST",
            "/v1/videos",
            token=token,
            json=GOOD,
            headers={"Idempotency-Key": "stalled"},
        )
        assert status == 200, answer
        with pytest.raises(TimeoutError):  # and the first one still waits
            await asyncio.wait_for(reader.read(1), 0.1)
    finally:
        writer.transport.abort()
