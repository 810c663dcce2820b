from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bot import supervision
from bot.health import Health
from bot.supervision import Supervisor
from inference.domain.errors import UserError


class Chat:
    """A platform whose runs end as they are told to."""

    def __init__(self, name: str, *ends: BaseException | None) -> None:
        self.name = name
        self.connected = False
        self.runs = 0
        self._ends = list(ends)

    async def run(self, _services) -> None:
        self.runs += 1
        end = self._ends.pop(0) if self._ends else None
        if end is not None:
            raise end
        self.connected = True
        await asyncio.get_running_loop().create_future()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(supervision, "LONGEST_SECONDS", 0.0)
    monkeypatch.setattr(supervision, "POLL_SECONDS", 0.001)


@contextlib.asynccontextmanager
async def supervised(*chats):
    services = SimpleNamespace(health=Health(), language="en")
    supervisor = Supervisor(chats, services)
    tasks = [asyncio.create_task(supervisor.run(chat)) for chat in chats]
    tasks.append(asyncio.create_task(supervisor.watch()))
    try:
        yield supervisor, services.health
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(180):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.001)


async def test_ready_names_the_chats_that_are_connected_and_those_that_failed():
    good, bad = Chat("discord"), Chat("slack", UserError("discord.token_rejected"))
    async with supervised(good, bad) as (supervisor, health):
        await supervisor.first_attempts(20)
        assert supervisor.connected == ["discord"]
        await until(lambda: "slack.connection" in health.problems)
        assert "discord.connection" not in health.problems


async def test_a_token_that_is_refused_stays_a_problem_and_is_not_tried_every_minute():
    chat = Chat("discord", UserError("discord.token_rejected"))
    async with supervised(chat) as (supervisor, health):
        await supervisor.first_attempts(20)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert chat.runs == 1
        assert "discord.connection" in health.problems


async def test_a_chat_that_comes_back_is_no_problem_any_more():
    chat = Chat("slack", ConnectionRefusedError(111, "Connection refused"))
    async with supervised(chat) as (_, health):
        await until(lambda: chat.connected)
        await until(lambda: not health.problems)


async def test_a_network_that_is_away_is_a_sentence_and_no_traceback():
    chat = Chat("slack", ExceptionGroup("tasks", [TimeoutError()]))
    with capture_logs() as logs:
        async with supervised(chat):
            await until(lambda: chat.connected)
    failures = [line for line in logs if line["event"] == "platform.failed"]
    assert [("exc_info" in line, "No connection" in line["problem"]) for line in failures] == [
        (False, True)
    ]


async def test_a_connection_that_stays_lost_is_a_problem(monkeypatch):
    monkeypatch.setattr(supervision, "PATIENCE_SECONDS", 0.0)
    chat = Chat("discord")
    async with supervised(chat) as (_, health):
        await until(lambda: chat.connected)
        chat.connected = False
        await until(lambda: "discord.connection" in health.problems)
        chat.connected = True
        await until(lambda: not health.problems)
