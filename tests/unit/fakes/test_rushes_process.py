"""A test whose bot ends by itself fails at once, with the bot's log."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.fakes.rushes_process import BotEndedError, RushesProcess, inherited, wait_limit

pytestmark = pytest.mark.process

REFUSED = '[bot]\nplatforms = ["no_such_chat"]\n'
SERVING = """
[bot]
data_dir = "{data}"
platforms = ["terminal"]
[models]
installed = ["testcard"]
"""
HANG = 180.0


@pytest.fixture
async def bot(tmp_path):
    bots = []

    async def launch(config):
        bots.append(RushesProcess(tmp_path, config))
        await bots[-1].launch(inherited())
        return bots[-1]

    yield launch
    for made in bots:
        await made.close()


async def test_a_wait_ends_with_the_log_of_a_bot_that_is_refused_at_start(bot):
    await bot(REFUSED)
    with pytest.raises(BotEndedError, match="no_such_chat"):
        async with wait_limit(HANG):
            await asyncio.Event().wait()
    with pytest.raises(BotEndedError, match="no_such_chat"):  # and so does every later one
        async with wait_limit(HANG):
            await asyncio.sleep(0)


async def test_the_end_of_a_bot_ends_no_wait_where_it_is_waited_for(bot):
    ended = asyncio.create_task((await bot(REFUSED)).ended())
    async with wait_limit(HANG):
        assert await ended != 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_bot_that_a_test_kills_ends_no_wait(bot, tmp_path, number):
    made = await bot(SERVING.format(data=tmp_path / "data"))
    async with wait_limit(HANG):
        while not (tmp_path / "data" / "rushes.sqlite3").exists():  # noqa: ASYNC110 - the disk tells nobody
            await asyncio.sleep(0.02)
        made.signal(number)
        await made.running.wait()
        await asyncio.sleep(0)
    await made.ended()


async def test_a_wait_without_a_bot_is_limited_by_its_time():
    with pytest.raises(TimeoutError):
        async with wait_limit(0.01):
            await asyncio.Event().wait()
