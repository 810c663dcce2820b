from __future__ import annotations

import asyncio

import pytest

from bot.discord.two_hosts import HEALTH_KEY, QUIET_SECONDS, TwoHosts
from bot.health import Health


@pytest.fixture
async def two_hosts(clock):
    health = Health()
    two_hosts = TwoHosts(None, health, "en", clock)
    running = asyncio.create_task(two_hosts.run())
    yield two_hosts, health
    running.cancel()


async def passes(clock, seconds: float) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(seconds)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_another_host_is_reported_until_it_has_been_quiet(two_hosts, clock):
    rival, health = two_hosts
    assert health.problems == {}
    rival.seen()
    assert "same Discord token" in health.problems[HEALTH_KEY]
    await passes(clock, QUIET_SECONDS / 2)
    rival.seen()
    await passes(clock, QUIET_SECONDS / 2)
    assert HEALTH_KEY in health.problems
    await passes(clock, QUIET_SECONDS)
    assert health.problems == {}
    rival.seen()
    assert HEALTH_KEY in health.problems
