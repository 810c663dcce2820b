"""MCP with the official SDK's own client: over HTTP, and over stdio with a real process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
import httpx2
import jsonschema
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from tests.scenario.http_client import SECONDS, SMALL, http_config, serving
from tests.scenario.terminal_process import Shell

pytestmark = pytest.mark.process

TOOLS = ["generate", "status", "wait", "result", "extend", "queue", "cancel"]


@pytest.fixture
async def house(tmp_path):
    async with serving(http_config(tmp_path / "data")) as house:
        yield house


@contextlib.asynccontextmanager
async def over_http(house, token, *, mode="auto"):
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS) as http,
        Client(streamable_http_client(f"{house.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def said(answer) -> str:
    return answer.content[0].text


async def finished(client, video: str):
    """Wait for a clip; return its last state and what was told of its progress."""
    told = []

    async def progress(done, total, message):
        told.append((done, total, message))

    async with asyncio.timeout(SECONDS):
        while True:
            answer = await client.call_tool(
                "wait", {"id": video, "seconds": 30}, progress_callback=progress
            )
            assert not answer.is_error, said(answer)
            if answer.structured_content["video"]["status"] in {"completed", "failed"}:
                return answer.structured_content["video"], told


async def check_all_tools(client) -> str:
    """Make a clip with every tool, as an assistant would; return the address of its file."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == TOOLS
    arguments = {"prompt": "a red fox", "seed": 7, "camera": "pan left", **SMALL}
    schema = tools["generate"].input_schema
    jsonschema.validate(arguments, schema)
    assert schema["properties"]["model"]["enum"] == ["testcard"]
    for wrong in ({"prompt": "a", "camra": "pan left"}, {"seed": 7}, {"prompt": "a", "seed": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    made = await client.call_tool("generate", arguments)
    assert not made.is_error, said(made)
    video = made.structured_content["video"]["id"]
    assert video in said(made)
    assert (await client.call_tool("status", {"id": video})).structured_content["video"][
        "id"
    ] == video
    assert not (await client.call_tool("queue", {})).is_error
    done, told = await finished(client, video)
    assert (done["status"], done["rushes"]["seed"]) == ("completed", 7)
    assert [one[0] for one in told] == sorted({one[0] for one in told})
    assert told[-1][:2] == (100.0, 100.0)
    result = await client.call_tool("result", {"id": video})
    text, link, image = result.content
    assert (text.type, link.type, link.mime_type) == ("text", "resource_link", "video/mp4")
    assert Image.open(io.BytesIO(base64.b64decode(image.data))).format == "JPEG"
    longer = await client.call_tool("extend", {"id": video, "prompt": "it runs", "seconds": 1})
    assert not longer.is_error, said(longer)
    extended, _ = await finished(client, longer.structured_content["video"]["id"])
    assert float(extended["seconds"]) > float(done["seconds"]) + 0.5
    too_late = await client.call_tool("cancel", {"id": video})
    assert not too_late.is_error
    return link.uri


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("auto", marks=pytest.mark.tour),
        pytest.param("legacy", marks=pytest.mark.slow),
    ],
)
async def test_an_assistant_makes_a_clip_over_http(house, mode):
    token = house.token()
    async with over_http(house, token, mode=mode) as client:
        link = await check_all_tools(client)
    async with house.session(token) as session, session.get(link) as answer:
        assert (await answer.read())[4:8] == b"ftyp"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "arguments", "code", "words"),
    [
        ("generate", {"prompt": "a", "camra": "pan left"}, "http.field_unknown", "camera"),
        ("generate", {"prompt": "a", "camera": "pan lef"}, "value.mistyped", "pan left"),
        ("generate", {"prompt": "a", "model": "testcrad"}, "model.mistyped", "testcard"),
        ("generate", {"prompt": "a", "frames": 100}, "model.length", "97"),
        ("generate", {"prompt": "a", "seconds": 4, "frames": 49}, "http.twice", "frames"),
        ("generate", {"prompt": "a", "size": "1x1"}, "http.size", "x"),
        ("generate", {}, "http.field_missing", "prompt"),
        (
            "generate",
            {"prompt": "a", "image": "http://169.254.169.254/"},
            "http.picture",
            "data:",
        ),
        ("generate", {"prompt": "a", "image": 7}, "mcp.picture", "data:image/png"),
        ("generate", {"prompt": "a", "image": ""}, "mcp.picture", "data:image/png"),
        ("generate", {"prompt": "a", "last": "a.png"}, "http.picture", "data:"),
        ("generate", {"prompt": "a", "count": 3}, "mcp.count", "Call once per clip"),
        ("generate", {"prompt": "a", "mood": {}}, "http.field_unknown", "prompt, model, seconds"),
        ("generate", {"prompt": "a", "seed": {"a": 1}}, "http.scalar", "seed must be"),
        ("queue", {"x": 1}, "http.field_none", "This request takes no fields"),
        ("status", {"id": "7Q2FK9XDAB"}, "job.unknown", "7Q2FK9XDAB"),
        ("status", {"id": "../../etc"}, "job.unknown", ""),
        ("status", {"job": "7Q2FK9XDAB"}, "http.field_unknown", "job"),
        ("wait", {"id": "7Q2FK9XDAB", "seconds": 10**9}, "http.range", "600"),
        ("result", {"id": "7Q2FK9XDAB"}, "job.unknown", ""),
        ("queue", {"a": 1}, "http.field_none", "a"),
        ("generates", {}, "mcp.tool", "generate"),
    ],
)
async def test_what_cannot_be_is_a_sentence_that_says_what_can(house, tool, arguments, code, words):
    async with over_http(house, house.token()) as client:
        answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    error = answer.structured_content["error"]
    assert (error["code"], error["message"]) == (code, said(answer))
    assert words in said(answer)
    assert "rushes." not in f"{said(answer)} {error['param']}"


async def posted(house, token, *, name="tools/list", **headers):
    """POST one message by hand; return the status and the body."""
    body = {"jsonrpc": "2.0", "id": 1, "method": name, "params": {}}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
        **headers,
    }
    async with (
        house.session(token) as session,
        session.post("/mcp", json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def test_only_who_has_a_token_and_comes_from_here_is_let_in(house):
    token = house.token()
    for wrong in (None, "rsh_aaaaaaaaaa_" + "a" * 43, token[:-1]):
        assert (await posted(house, wrong))[0] == 401
    assert (await posted(house, token))[0] == 200
    for host in ("evil.example", "localhost.evil.example", "evil.example:8080", "[::", ""):
        status, body = await posted(house, token, Host=host)
        assert status in {400, 421}, host
        assert status == 400 or json.loads(body)["error"]["code"] == "http.host"
    for origin in ("https://evil.example", "null", "http://localhost.evil.example", "http://["):
        status, body = await posted(house, token, Origin=origin)
        assert (status, json.loads(body)["error"]["code"]) == (403, "http.origin"), origin
    assert (await posted(house, token, Origin="http://localhost:5173"))[0] == 200
    async with house.session(token) as session:
        for method in ("GET", "DELETE", "PUT"):
            async with session.request(method, "/mcp") as answer:
                assert answer.status == 405
        large = io.BytesIO(b" " * (5 * 2**20))
        async with session.post(
            "/mcp", data=large, headers={"Content-Type": "application/json"}
        ) as answer:
            assert answer.status == 413


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b"[" * 100_000, b"null", b'{"id": 1}'])
async def test_what_is_no_message_is_refused(house, data):
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    async with (
        house.session(house.token()) as session,
        session.post("/mcp", data=data, headers=headers) as answer,
    ):
        assert answer.status == 400
        assert "Traceback" not in await answer.text()


@pytest.mark.slow
async def test_a_clip_of_another_tenant_is_unknown(house):
    mine, other = house.token(), house.token(guild="other", name="other")
    async with over_http(house, mine) as client:
        made = await client.call_tool("generate", {"prompt": "a secret fox", **SMALL})
        video = made.structured_content["video"]["id"]
    async with over_http(house, other) as client:
        for tool in ("status", "wait", "result", "extend", "cancel"):
            answer = await client.call_tool(tool, {"id": video})
            assert answer.structured_content["error"]["code"] == "job.unknown", tool
        assert "secret" not in said(await client.call_tool("queue", {}))
    async with over_http(house, mine) as client:
        assert (await finished(client, video))[0]["status"] == "completed"


@pytest.mark.slow
async def test_a_full_queue_says_when_and_leaving_stops_waiting_only(tmp_path):
    config = http_config(tmp_path / "data", step_seconds=30.0, queue={"waiting_per_user": 1})
    async with serving(config) as house:
        token = house.token()
        async with over_http(house, token) as client:
            running = await made(client)
            while (await state(client, running)) == "queued":  # noqa: ASYNC110 - a server's state
                await asyncio.sleep(0.05)
            waiting = await made(client)
            full = await client.call_tool("generate", {"prompt": "a"})
            error = full.structured_content["error"]
            assert (full.is_error, error["code"]) == (True, "queue.full_user")
            assert error["retry_after"] > 0
            short = await client.call_tool("wait", {"id": waiting, "seconds": 1})
            assert short.structured_content["video"]["status"] == "queued"
            listening = house.app.services.events._queues
            others = len(listening)
            left = asyncio.create_task(client.call_tool("wait", {"id": waiting, "seconds": 600}))
            await until(lambda: len(listening) > others)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            await until(lambda: len(listening) == others)
            assert await state(client, waiting) == "queued"
        # One connection is cut in the middle of an answer.
        async with house.session(token) as session:
            body = {"name": "wait", "arguments": {"id": waiting, "seconds": 600}}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body}
            headers = {"Accept": "application/json, text/event-stream"}

            async def asked():
                async with session.post("/mcp", json=message, headers=headers) as answer:
                    await answer.read()

            asking = asyncio.create_task(asked())
            await until(lambda: len(listening) > others)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: len(listening) == others)
        async with over_http(house, token) as client:
            assert not (await client.call_tool("cancel", {"id": waiting})).is_error
            assert await state(client, waiting) == "failed"
            await house.app.services.jobs.drain()
            refused = await client.call_tool("generate", {"prompt": "a"})
            assert refused.structured_content["error"]["code"] == "queue.draining"


async def made(client) -> str:
    answer = await client.call_tool("generate", {"prompt": "a fox"})
    return answer.structured_content["video"]["id"]


async def state(client, video: str) -> str:
    answer = await client.call_tool("status", {"id": video})
    return answer.structured_content["video"]["status"]


async def until(true) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - a state of the server
            await asyncio.sleep(0.02)


async def test_who_waits_when_the_server_closes_is_told_how_the_video_stands(tmp_path):
    config = http_config(tmp_path / "data", step_seconds=600)
    async with contextlib.AsyncExitStack() as stack:
        house = await stack.enter_async_context(serving(config))
        http = aiohttp.ClientSession(
            house.url,
            headers={
                "Authorization": f"Bearer {house.token()}",
                "Accept": "application/json, text/event-stream",
            },
        )
        async with http:
            async with http.post("/v1/videos", json={"prompt": "a fox"}) as answer:
                video = (await answer.json())["id"]
            call = {"name": "wait", "arguments": {"id": video, "seconds": 600}}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            listening = house.app.services.events._queues
            others = len(listening)

            async def asked():
                async with http.post("/mcp", json=message) as answer:
                    return await answer.text()

            async def listened():
                async with http.get(f"/v1/videos/{video}/events") as answer:
                    return await answer.text()

            waiting = asyncio.gather(asked(), listened())
            await until(lambda: len(listening) > others + 1)
            await stack.aclose()
            answer, events = await waiting
    assert '"in_progress"' in answer or '"queued"' in answer
    assert events.startswith("event: video.")
    assert events.endswith(": restarting\n\n")


# -- stdio -------------------------------------------------------------------------------------


def over_stdio(shell):
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "bot", "mcp"],
        cwd=str(shell.directory),
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]},
    )
    return Client(stdio_client(parameters))


@pytest.fixture
def shell(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    return shell


@pytest.mark.slow
async def test_an_assistant_makes_a_clip_over_stdio(shell, request):
    process = await asyncio.to_thread(shell.serve)
    request.addfinalizer(process.kill)
    async with over_stdio(shell) as client:
        link = await check_all_tools(client)
        file = Path(unquote(urlsplit(link).path))
        assert (await asyncio.to_thread(file.read_bytes))[4:8] == b"ftyp"
        Image.new("RGB", (64, 64), "red").save(shell.directory / "first.png")
        drawn = await client.call_tool(
            "generate", {"prompt": "it runs", "image": "first.png", **SMALL}
        )
        video, _ = await finished(client, drawn.structured_content["video"]["id"])
        assert video["status"] == "completed"
        wrong = await client.call_tool("generate", {"prompt": "a", "camra": "pan left"})
        assert "camera" in said(wrong)
        # An assistant goes on when Rushes was started again, and is told while it is not there.
        process.terminate()
        await asyncio.to_thread(process.communicate)
        away = await client.call_tool("queue", {})
        assert away.is_error
        assert "rushes run" in said(away)
        again = await asyncio.to_thread(shell.serve)
        try:
            assert await state(client, video["id"]) == "completed"
        finally:
            again.terminate()
            await asyncio.to_thread(again.communicate)


@pytest.mark.slow
async def test_without_a_running_rushes_there_is_one_sentence(shell):
    found = await asyncio.to_thread(shell.rushes, "mcp")
    assert (found.code, found.out) == (1, "")
    assert "rushes run" in found.err
    assert len(found.err.splitlines()) == 1
