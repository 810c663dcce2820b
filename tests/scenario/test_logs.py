"""What goes wrong is logged with its place, and never with a prompt or a token in it.

Exceptions quote what they were about; here each carries a prompt and a token in its message and
in the variables around it.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

import bot.slack.app
from bot import supervision
from bot.delivery.live_updates import LiveUpdates
from bot.health import Health
from bot.supervision import Supervisor
from inference.domain.errors import EngineError
from inference.domain.events import EventBus
from inference.domain.job import JobState
from inference.jobs.durable_write import end_job
from inference.log_setup import LogStyle, configure_logging
from inference.retries import survive
from tests.fakes.clock import ManualClock
from tests.fakes.moderators import FakeModerator, a_guard
from tests.fakes.orders import an_order
from tests.scenario.discord_studio import installation
from tests.scenario.http_client import http_config, serving
from tests.unit.bot.test_background import progress
from tests.unit.bot.test_delivery import Board, delivering

PROMPT = "canary-" + "prompt"
TOKEN = "xoxb-" + "canary-token"


def leak(*_, **__):
    prompt, token = PROMPT, TOKEN
    try:
        int(token)
    except ValueError as error:
        raise LookupError(f"{prompt} with {token}") from error


async def leak_later(*_, **__):
    leak()


def leaked() -> Exception:
    """Return an exception as it arrives, with all its frames."""
    try:
        leak()
    except LookupError as error:
        return error
    raise AssertionError("unreachable")


class Log:
    """What the process wrote."""

    def __init__(self, stream, style):
        self._stream = stream
        self._style = style

    @property
    def text(self):
        return self._stream.getvalue()

    async def has(self, event):
        """Wait for an event."""
        async with asyncio.timeout(180):
            while event not in self.text:  # noqa: ASYNC110 - a stream tells nobody
                await asyncio.sleep(0.005)

    def check(self):
        assert "Error" in self.text
        for secret in (PROMPT, TOKEN, "canary"):
            assert secret not in self.text
        if self._style == "json":
            for line in self.text.splitlines():
                entry = json.loads(line)
                assert " " not in entry["event"], entry
                assert "." in entry["event"], entry


@pytest.fixture(params=["console", "json"])
def log(request):
    configure_logging(LogStyle(level="debug", format=request.param))
    stream = io.StringIO()
    [handler] = logging.getLogger().handlers
    handler.setStream(stream)
    written = Log(stream, request.param)
    yield written
    written.check()


async def test_a_command(log, house, alice, general, monkeypatch):
    monkeypatch.setattr(type(house.core.jobs), "waiting", leak_later)
    await alice.command(general, "/rushes", "queue")
    await log.has("command.bug")


async def test_the_way_from_slack_to_a_command(log, house, alice, general, monkeypatch):
    monkeypatch.setattr("bot.slack.inbound.command_gateway.CommandGateway._check", leak_later)
    await alice.command(general, "/generate", PROMPT)
    await log.has("slack.bug")


@pytest.mark.cases(1)
async def test_a_listener_of_slack(log, house, alice, general, monkeypatch):
    monkeypatch.setattr(bot.slack.app, "answering_team", leak)
    asking = asyncio.create_task(alice.command(general, "/generate", PROMPT))
    await log.has("slack.bug")
    asking.cancel()  # it is never acknowledged


@pytest.mark.process
@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("failing", "event"),
    [
        (("inference.jobs.service.JobService.waiting", leak_later), "command.bug"),
        (("bot.discord.inbound.call_factory.CallFactory.call", leak), "discord.bug"),
    ],
)
async def test_an_interaction_of_discord(log, tmp_path, monkeypatch, failing, event):
    async with installation(tmp_path / "data") as place, place.bot():
        monkeypatch.setattr(*failing)
        place.alice.slash(place.general, "rushes queue")
        await log.has(event)


@pytest.mark.process
async def test_an_event_of_discord(log, tmp_path, monkeypatch):
    async with installation(tmp_path / "data") as place, place.bot() as app:
        client = next(iter(app.platforms.values()))._client
        monkeypatch.setattr(client, "on_something", leak_later, raising=False)
        client.dispatch("something")
        await log.has("discord.bug")


@pytest.mark.process
@pytest.mark.parametrize(
    ("failing", "event"),
    [("videos.routes.options", "http.bug"), ("mcp.tools.Tools._find", "mcp.bug")],
)
async def test_a_request_over_http(log, tmp_path, monkeypatch, failing, event):
    async with serving(http_config(tmp_path / "data")) as place:
        token = place.token()
        if event == "http.bug":
            async with place.session(token) as session:
                monkeypatch.setattr(f"bot.http.{failing}", leak)
                async with session.post("/v1/videos", json={"prompt": PROMPT}) as answer:
                    said = await answer.text()
        else:
            # The SDK of MCP takes as long to import as most of the rest.
            from tests.scenario.test_http_mcp import over_http

            async with over_http(place, token) as client:
                monkeypatch.setattr(f"bot.http.{failing}", leak)
                said = str(await client.call_tool("generate", {"prompt": PROMPT}))
        assert "canary" not in said
        await log.has(event)


async def test_a_render(log, bench, core):
    job = await bench.submit(prompt=PROMPT)
    await bench.executor.started()
    bench.executor.fail(leaked())
    await bench.reached(job.id, JobState.FAILED)
    assert "job.bug" in log.text


async def test_a_preparation(log, bench, core):
    bench.images.error = leaked()
    job = await bench.submit(prompt=PROMPT, image="https://example.com/fox.png")
    await bench.reached(job.id, JobState.FAILED)
    assert "job.preparing_bug" in log.text


@pytest.mark.parametrize("kind", ["texts", "pictures"])
async def test_moderation(log, bench, kind):
    moderator = FakeModerator()
    moderator.error = leaked()
    bench.guard = a_guard(**{kind: [moderator]})
    async with bench.open():
        job = await bench.submit(prompt=PROMPT)
        if kind == "pictures":
            await bench.executor.started()
            bench.executor.finish()
        await bench.reached(job.id, JobState.FAILED, JobState.REFUSED)


async def test_the_start_after_a_crash(log, bench, monkeypatch):
    async with bench.open():
        await bench.submit(prompt=PROMPT)
    monkeypatch.setattr("inference.jobs.recovery._resume", leak_later)
    async with bench.open():
        assert "job.recovery_bug" in log.text


async def test_a_delivery(log, bench):
    board = Board()
    board.post = leak_later
    async with bench.open() as core, delivering(bench, board):
        await core.jobs.submit(an_order(prompt=PROMPT))
        await log.has("delivery.bug")


async def test_live_updates(log):
    outcomes = iter([EngineError("disk.full")])

    async def refresh(job):
        for expected in outcomes:
            raise expected
        await leak_later(job)

    live = LiveUpdates(
        delivery=SimpleNamespace(refresh=refresh),
        jobs=SimpleNamespace(front=list),
        events=(events := EventBus()),
        clock=(clock := ManualClock()),
    )
    running = asyncio.create_task(live.run())
    await clock.asleep(1.0)
    while "live.bug" not in log.text:
        events.publish(progress("J1"))
        await asyncio.sleep(0)
        clock.advance(5)
    assert log.text.count("live.skipped") == 1  # a full disk is no bug
    running.cancel()
    await asyncio.wait({running})


async def test_a_chat_that_fails(log, monkeypatch):
    monkeypatch.setattr(supervision, "LONGEST_SECONDS", 0.0)
    chat = SimpleNamespace(name="discord", connected=False, run=leak_later)
    supervisor = Supervisor((chat,), SimpleNamespace(health=Health(), language="en"))
    running = asyncio.create_task(supervisor.run(chat))
    await log.has("platform.failed")
    running.cancel()
    await asyncio.wait({running})


async def test_the_assistant(log, bench):
    assistant = SimpleNamespace(name="fake", refine=leak_later)
    bench.assistant = assistant
    async with bench.open() as core:
        job = await core.jobs.submit(an_order(prompt=PROMPT, refine=True))
        await bench.reached(job.id, JobState.FAILED)
    assert "job.preparing_bug" in log.text


async def test_a_turn_of_a_loop(log):
    assert not await survive(leak_later, name="test")
    assert "loop.bug" in log.text


async def test_the_end_of_a_job_that_cannot_be_written(log):
    assert await end_job(leak_later, "J1", ManualClock()) is None
    assert "job.end_failed" in log.text


async def test_a_task_that_nobody_waited_for(log):
    task = asyncio.create_task(leak_later())
    await asyncio.wait({task})
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "task": task, "exception": leaked()}
    )
    assert task.exception()


@pytest.mark.parametrize(
    "library", ["discord.client", "discord.gateway", "openai._base_client", "aiohttp.server", "x"]
)
def test_a_library(log, library):
    try:
        leak()
    except LookupError:
        logging.getLogger(library).exception("Ignoring exception of %s", PROMPT)
    logging.getLogger(library).error("%s\n%s", "Unclosed", PROMPT)


@pytest.mark.parametrize(
    ("library", "level"),
    [
        ("discord.client", logging.WARNING),
        ("discord.gateway", logging.INFO),
        ("discord.http", logging.WARNING),
        ("httpx", logging.INFO),
        ("openai._base_client", logging.DEBUG),
        ("slack_bolt.AsyncApp", logging.WARNING),
        ("slack_sdk.web", logging.WARNING),
        ("aiohttp.access", logging.INFO),
    ],
)
def test_chatter_of_libraries_is_not_heard_at_any_level(log, library, level):
    logging.getLogger(library).log(level, "chatter")
    assert log.text == ""
    logging.getLogger("x").error("Error")


@pytest.mark.process
@pytest.mark.parametrize("place", ["leak()", "threading.Thread(target=leak).start()"])
def test_a_process_that_ends_by_a_bug(place):
    script = f"""
import threading
from inference.log_setup import LogStyle, configure_logging, log_uncaught
configure_logging(LogStyle(format="json", process="child"))
log_uncaught()
def leak():
    prompt = "-".join(["canary", "prompt"])
    raise LookupError(prompt)
{place}
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    entry = json.loads(ended.stderr)
    assert (entry["error"], entry["process"]) == ("LookupError", "child")
    assert "canary-prompt" not in ended.stderr


WARNS = """
import warnings
from aiohttp.multipart import parse_content_disposition
from inference.log_setup import LogStyle, configure_logging, log_uncaught
configure_logging(LogStyle(format="json"))
log_uncaught()
for number in range(3):
    parse_content_disposition(f'form-data; name="a"; filename="../../canary-{number}.png')
    warnings.warn(f"canary-{number}")
"""


@pytest.mark.process
def test_a_warning_of_a_library_is_logged_once_and_without_what_a_client_sent():
    ended = subprocess.run(
        [sys.executable, "-c", WARNS], capture_output=True, text=True, check=True, timeout=180
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line["event"] for line in lines} == {"process.warning"}
    assert sorted(line["category"] for line in lines) == [
        "BadContentDispositionHeader",
        "UserWarning",
    ]
    assert "canary" not in ended.stderr + ended.stdout
