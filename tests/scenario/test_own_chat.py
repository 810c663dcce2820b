"""The example of a chat of one's own, as somebody would run it: no line of the core knows it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from bot.app import open_app
from bot.config.sources import load_config
from bot.preflight import preflight

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("LINE_CHAT_PORT", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return load_config(
        None,
        overrides={
            "bot": {"data_dir": tmp_path / "data", "platforms": ["line_chat:make"]},
            "models": {"installed": ["testcard"], "testcard": {"step_seconds": 0.01}},
        },
    )


@contextlib.asynccontextmanager
async def connected(app, name):
    chat = app.platforms["lines"]
    async with asyncio.timeout(180):
        while not chat.port:  # noqa: ASYNC110 - a server tells nobody that it listens
            await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", chat.port)
    writer.write(f"{name}\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def until(reader, words):
    said = ""
    async with asyncio.timeout(180):
        while words not in said:
            said += (await reader.readline()).decode()
    return said


def test_it_is_short_and_edits_nothing():
    assert len((EXAMPLES / "line_chat.py").read_text().splitlines()) <= 150


@pytest.mark.process
async def test_a_job_is_asked_for_watched_and_delivered_to_the_room(config, tmp_path):
    preflight(config)
    async with (
        open_app(config) as app,
        connected(app, "ada") as (ada, say),
        connected(app, "bob") as (bob, _),
    ):
        say.write(b"/generate a red fox --frames 1\n")
        told = await until(ada, "file: ")
        assert "a red fox" in told
        assert told.count("file: ") == 1
        heard = await until(bob, "file: ")
        [name] = [line.removeprefix("file: ") for line in heard.splitlines() if "file: " in line]
        assert (tmp_path / "data" / "lines" / name).stat().st_size > 0

        await until(ada, "/press v1:delete:")  # on the card once the clip is known to be there

        say.write(b"/rushes help\n")
        assert "/generate" in await until(ada, "/rushes help")
        say.write(b"/nonsense\n")
        await until(ada, "/nonsense")
        job = name.partition(".")[0]
        say.write(f"/press v1:delete:{job}\n".encode())
        await until(ada, job)
        async with asyncio.timeout(180):
            while (tmp_path / "data" / "lines" / name).exists():  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.01)
