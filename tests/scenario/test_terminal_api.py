"""What the control socket answers to whoever speaks HTTP to it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from dataclasses import replace

import aiohttp
import pytest

from bot.app import open_app
from bot.cli.parser import main
from bot.config.sources import load_config
from bot.control.client import Posted, QueueChanged, Speaker, connect
from bot.control.server import serve_control
from inference.domain.errors import UserError
from tests.fakes.readable import readable

pytestmark = pytest.mark.process

KIM = {"as": "kim", "guild": "studio"}
SMALL = "/generate a red fox --res 360p --frames 1"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return load_config(
        None,
        overrides={
            "bot": {"data_dir": tmp_path / "data", "platforms": ["terminal"]},
            "models": {"installed": ["testcard"], "testcard": {"step_seconds": 0.02}},
        },
    )


@pytest.fixture
async def http(config):
    async with open_app(config) as app, serve_control(app):
        connector = aiohttp.UnixConnector(str(config.bot.data_dir / "rushes.sock"))
        async with aiohttp.ClientSession("http://rushes", connector=connector) as session:
            yield session


async def ask(http, route, body):
    async with http.post(route, json=body) as response:
        return response.status, await response.json()


async def test_requests_that_are_wrong_are_told_where(http):
    for body, where in [
        ({"guild": "studio", "text": "/rushes queue"}, "as"),
        ({**KIM, "as": "", "text": "/rushes queue"}, "as"),
        ({**KIM, "as": "k\x1bm", "text": "/rushes queue"}, "as"),
        ({**KIM, "text": 5}, "text"),
        ({**KIM, "text": "/rushes queue", "root": True}, "root"),
    ]:
        status, data = await ask(http, "/v1/commands", body)
        assert (status, data["error"]["code"]) == (400, "control.bad_request")
        assert f"at {where}:" in data["error"]["text"]
    async with http.post("/v1/commands", data=b"{") as response:
        assert response.status == 400


async def test_a_refused_command_brings_the_card_and_the_sentence(http):
    status, data = await ask(http, "/v1/commands", {**KIM, "text": "/generate"})
    assert status == 422
    assert data["card"]["kind"] == "error"
    assert data["error"]["text"].startswith("Describe the clip")


async def test_unknown_and_foreign_jobs_are_not_found(http):
    _, data = await ask(http, "/v1/commands", {**KIM, "text": SMALL})
    for job, guild in ((data["job"], "films"), ("7Q2FK9XDAB", "studio"), ("..%2Fhealth", "studio")):
        async with http.get(f"/v1/jobs/{job}", params={"guild": guild}) as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == "job.unknown"


async def test_the_same_key_is_the_same_job_in_one_guild_only(http):
    body = {**KIM, "text": SMALL, "key": "once"}
    _, first = await ask(http, "/v1/commands", body)
    _, again = await ask(http, "/v1/commands", body)
    _, other = await ask(http, "/v1/commands", {**body, "guild": "films"})
    assert first["job"] == again["job"] != other["job"]


async def test_a_forged_button_presses_nothing(http):
    status, data = await ask(http, "/v1/buttons", {**KIM, "custom_id": "v1:cancel:7Q2FK9XDAB"})
    assert (status, data["card"]["kind"]) == (422, "error")


async def test_head_of_the_events_answers_headers_only(http):
    async with asyncio.timeout(180), http.head("/v1/events", params={"guild": "studio"}) as answer:
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        assert await answer.read() == b""


@pytest.mark.parametrize(
    ("flag", "data", "said"),
    [
        ("--image", b"nothing", "not a readable image"),
        pytest.param(
            *("--image", b"\x89PNG\r\n\x1a\n....", "incomplete or damaged"), marks=pytest.mark.tour
        ),
        ("--image", None, "There is no image at"),
    ],
)
async def test_a_bad_picture_is_refused_before_there_is_a_job(http, tmp_path, flag, data, said):
    if data is not None:
        (tmp_path / "bad.png").write_bytes(data)
    me = {**KIM, "directory": str(tmp_path)}
    text = f"/generate a fox {flag} bad.png --res 360p --frames 49"
    status, answer = await ask(http, "/v1/commands", {**me, "text": text})
    assert (status, answer["job"]) == (422, None)
    assert said in answer["error"]["text"]
    arguments = {"prompt": "a fox", "image": "bad.png", "resolution": "360p", "frames": 49}
    async with http.post("/v1/tools/generate", json={**me, "arguments": arguments}) as response:
        told = json.loads((await response.text()).splitlines()[-1])["answer"]
    assert told["isError"]
    assert said in told["content"][0]["text"]
    _, words = await ask(http, "/v1/words", KIM)
    assert words["jobs"] == []


@pytest.mark.tour
async def test_a_tool_that_waits_is_answered_when_rushes_stops(config, tmp_path):
    slow = {"installed": ["testcard"], "testcard": {"step_seconds": 600}}
    config = config.model_copy(update={"models": type(config.models)(**slow)})
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(config))
        serving = await stack.enter_async_context(contextlib.AsyncExitStack())
        await serving.enter_async_context(serve_control(app))
        kim = Speaker(name="kim", guild="studio", language="en", directory=tmp_path)
        client = await stack.enter_async_context(connect(config.bot.data_dir))
        job = (await client.command(SMALL, kim)).card.job
        reported = asyncio.Event()

        async def report(percent, line):
            reported.set()

        arguments = {"id": job, "seconds": 600}
        waiting = asyncio.create_task(client.tool("wait", arguments, report, kim))
        async with asyncio.timeout(180):
            await reported.wait()
            await serving.aclose()
            answer = await waiting
    assert answer["structuredContent"]["video"]["status"] in {"queued", "in_progress"}


@pytest.mark.tour
async def test_a_listener_hears_the_line_move_and_the_clip_of_its_own_guild(http, config, tmp_path):
    kim = Speaker(name="kim", guild="studio", language="en", directory=tmp_path)
    heard: list[Posted | QueueChanged] = []

    async with connect(config.bot.data_dir) as client:
        await client.command(
            SMALL, Speaker(name="bo", guild="films", language="en", directory=tmp_path)
        )
        async with asyncio.timeout(180):
            async for event in client.events(kim):
                if not heard:
                    await client.command(SMALL, kim)
                heard.append(event)
                if isinstance(event, Posted) and event.kind == "clip":
                    break
    assert heard[0] == QueueChanged(cards=())
    assert any(isinstance(event, QueueChanged) and len(event.cards) == 1 for event in heard)
    assert {event.card.job for event in heard if isinstance(event, Posted)} == {heard[-1].card.job}
    assert heard[-1].card.attachment.path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.tour
async def test_the_command_line_and_a_script_ask_the_process_that_runs(
    http, config, monkeypatch, capsys
):
    monkeypatch.setenv("RUSHES_BOT__DATA_DIR", str(config.bot.data_dir))
    monkeypatch.setenv("RUSHES_MODELS__INSTALLED", '["testcard"]')
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    async def rushes(*arguments, script="") -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(script))
        code = await asyncio.to_thread(main, [*arguments, "--as", "kim", "--guild", "studio"])
        return code, readable(capsys.readouterr().out)

    code, out = await rushes("submit", "--wait", "a red fox", "--res", "360p", "--frames", "1")
    job, _, result = out.partition("\n")
    assert (code, len(job)) == (0, 10)
    assert "a red fox" in result
    code, shown = await rushes("show", job)
    assert code == 0
    assert shown.strip() == result.strip()
    code, out = await rushes("submit", "a red fox", "--frames", "9999")
    assert (code, out) == (1, "")
    code, out = await rushes("cancel", job)
    assert (code, out.splitlines()[0]) == (0, f"Job {job} already finished.")
    code, out = await rushes("chat", script=f"# twice\n{SMALL}\n\n/generate\n/quit\nnever\n")
    assert (code, "Describe the clip" in out, "never" in out) == (1, True, False)
    assert out.count("▶ ") == 1  # it waited for its clip
    code, out = await rushes("queue")
    assert (code, "a red fox" in out) == (0, False)


async def test_what_is_deleted_is_neither_asked_for_again_nor_completed(http, config, tmp_path):
    kim = Speaker(name="kim", guild="studio", language="en", directory=tmp_path)
    async with connect(config.bot.data_dir) as client:
        job = (await client.command(SMALL, kim)).card.job
        async with asyncio.timeout(180):
            await client.wait_until_settled(job, kim)
        assert (await client.words(kim)).jobs == (job,)
        delete = f"v1:delete:{job}"
        stranger = await client.confirm(delete, replace(kim, name="bo"))
        assert not stranger.accepted
        asked = await client.confirm(delete, kim)
        assert [button.id for button in asked.card.buttons] == [delete]
        assert (await client.press(delete, kim)).accepted
        assert not (await client.confirm(delete, kim)).accepted
        assert (await client.words(kim)).jobs == ()


async def test_without_a_socket_the_client_says_how_to_start(tmp_path):
    async with connect(tmp_path) as client:
        assert not await client.ready()
        with pytest.raises(UserError) as caught:
            await client.job(
                "7Q2FK9XDAB", Speaker(name="kim", guild="a", language="en", directory=tmp_path)
            )
    assert caught.value.code == "control.not_running"


async def test_a_request_key_of_one_guild_is_never_that_of_another(http):
    mine = {"as": "kim", "guild": "a:b", "key": "c", "text": SMALL}
    theirs = {"as": "eve", "guild": "a", "key": "b:c", "text": SMALL}
    (_, first), (_, second) = [await ask(http, "/v1/commands", body) for body in (mine, theirs)]
    assert first["job"] != second["job"]


async def test_roles_and_channel_of_the_person_are_judged(http):
    admin = {"as": "boss", "guild": "studio", "admin": True}
    for setting in ("roles editors", "channels film"):
        body = {**admin, "text": f"/rushes-admin settings set {setting}"}
        assert (await ask(http, "/v1/commands", body))[0] == 200
    refused, told = await ask(http, "/v1/commands", {**KIM, "text": SMALL})
    assert (refused, "in this channel" in told["error"]["text"]) == (422, True)
    refused, told = await ask(http, "/v1/commands", {**KIM, "channel": "film", "text": SMALL})
    assert (refused, "need another role" in told["error"]["text"]) == (422, True)
    allowed = {**KIM, "channel": "film", "roles": ["editors"], "text": SMALL}
    assert (await ask(http, "/v1/commands", allowed))[0] == 200
