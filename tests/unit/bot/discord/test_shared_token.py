from __future__ import annotations

import asyncio

import pytest

from bot.discord.shared_token import HEALTH_KEY, QUIET_SECONDS, SharedToken
from bot.health import Health


@pytest.fixture
async def shared_token(clock):
    health = Health()
    shared_token = SharedToken(None, health, "en", clock)
    running = asyncio.create_task(shared_token.run())
    yield shared_token, health
    running.cancel()


async def passes(clock, seconds: float) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(seconds)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_another_host_is_reported_until_it_has_been_quiet(shared_token, clock):
    rival, health = shared_token
    assert health.problems == {}
    rival.report_other_process()
    assert "same Discord token" in health.problems[HEALTH_KEY]
    await passes(clock, QUIET_SECONDS / 2)
    rival.report_other_process()
    await passes(clock, QUIET_SECONDS / 2)
    assert HEALTH_KEY in health.problems
    await passes(clock, QUIET_SECONDS)
    assert health.problems == {}
    rival.report_other_process()
    assert HEALTH_KEY in health.problems
