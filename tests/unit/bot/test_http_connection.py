"""Connections of our HTTP servers: bugs and broken HTTP, without what they quote."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from bot.http.mcp.route import REQUEST, _run_app
from bot.network.http_connection import connections

CANARY = "canary"


@contextlib.asynccontextmanager
async def serving(handler, **options):
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(
        connections(runner, **options), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()


async def asked(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(180):
        answer = await reader.read()
    writer.close()
    return answer


async def fail(_: web.Request) -> web.Response:
    raise RuntimeError(CANARY)


async def give_up(_: web.Request) -> web.Response:
    raise TimeoutError(CANARY)


async def forbid(_: web.Request) -> web.Response:
    raise web.HTTPForbidden(text=CANARY)


async def read(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(text="read")


@pytest.mark.parametrize(("handler", "status"), [(fail, 500), (give_up, 504), (forbid, 403)])
async def test_what_a_handler_raises_is_neither_quoted_nor_logged(handler, status, capfd, caplog):
    async with serving(handler) as port:
        answer = await asked(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert CANARY not in answer.decode() + "".join(capfd.readouterr()) + caplog.text


async def test_a_long_rest_of_a_broken_request_does_not_hide_the_answer():
    async with serving(read) as port:
        rest = b"a" * 2**20
        answer = await asked(port, b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n" + rest)
    assert answer.endswith(b"400: Bad Request")


async def test_what_follows_a_whole_request_does_not_break_it():
    async with serving(read) as port:
        good = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(180):
            writer.write(good)
            assert (await reader.readuntil(b"read")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"nothing\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_a_client_that_leaves_in_the_middle_of_an_answer_is_no_bug(capfd, caplog):
    gone = asyncio.Event()

    async def answer_late(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        try:
            while True:
                await response.write(b"a" * 2**16)
        finally:
            gone.set()

    async with serving(answer_late) as port:
        with contextlib.suppress(ConnectionError):
            await asked(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(180):
            await gone.wait()
    assert "bug" not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize("reset", [False, True])
async def test_a_handler_that_reads_nothing_ends_with_its_client(reset):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(wait) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        writer.write(b"a" * 300_000)  # aiohttp holds half of it, and reads no further
        async with asyncio.timeout(180):
            await begun.wait()
            await writer.drain()
            if reset:
                writer.transport.abort()
            else:
                writer.write_eof()
            await ended.wait()
        writer.transport.abort()


@pytest.mark.parametrize("status", [401, 413, 429, 503])
async def test_the_rest_of_a_refused_body_is_not_waited_for(status):
    async def refuse(request: web.Request) -> web.Response:
        await request.content.readany()
        return web.Response(status=status)

    async with serving(refuse, lingering_time=10**6) as port:
        begun = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await asked(port, begun + b"10000\r\n" + b"a" * 2**16 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer


async def test_the_sdk_of_mcp_is_told_that_its_client_left(capfd, caplog):
    left = []

    class Manager:
        async def handle_request(self, scope, receive, send):
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            scope[REQUEST].transport.abort()
            while not left:
                await send({"type": "http.response.body", "body": b"a" * 2**16, "more_body": True})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        left.append((await receive())["type"])

    async def answer(request: web.Request) -> web.StreamResponse:
        return await _run_app(Manager(), request, [b"{}"])

    async with serving(answer) as port:
        with contextlib.suppress(ConnectionError):
            await asked(port, b"POST /mcp HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(180):
            while not left:  # noqa: ASYNC110 - of a task of the server
                await asyncio.sleep(0.01)
    assert left == ["http.disconnect"]
    assert "bug" not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize("broken", [b"zz\r\nabc\r\n", b"3\r\nabcdef\r\n"])
async def test_a_broken_piece_of_a_body_is_answered_and_is_no_bug(broken, capfd, caplog):
    begun = asyncio.Event()

    async def read_in_vain(request: web.Request) -> web.Response:
        assert await request.content.readany() == b"abc"
        begun.set()
        try:
            return await read(request)
        except web.RequestPayloadError:
            return web.Response(status=400, headers={"Connection": "close"})

    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(read_in_vain) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(180):
            writer.write(head + b"3\r\nabc\r\n")
            await begun.wait()
            writer.write(broken + b"a" * 2**18)
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
    assert "bug" not in "".join(capfd.readouterr()) + caplog.text
