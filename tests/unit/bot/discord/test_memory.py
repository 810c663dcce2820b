"""What the client keeps of each job: nothing that grows with their number."""

from __future__ import annotations

import asyncio

import discord
import pytest

from bot.discord import rate_limits
from bot.discord.connection import make_client
from bot.discord.rate_limits import RateLimitedClient
from bot.discord.thread_memory import KEPT, limit_threads

BOT, PERSON = 1, 2
GUILD, CHANNEL = 10, 11
JOBS = 10_000


def thread(number: int, owner: int) -> dict[str, object]:
    return {
        "id": str(number),
        "guild_id": str(GUILD),
        "parent_id": str(CHANNEL),
        "owner_id": str(owner),
        "name": "a fox",
        "type": 11,
        "message_count": 1,
        "member_count": 1,
        "newly_created": True,
        "thread_metadata": {
            "archived": False,
            "auto_archive_duration": 10080,
            "archive_timestamp": "2026-01-01T00:00:00+00:00",
        },
    }


@pytest.fixture
async def client():
    async with make_client(None) as client:
        state = client._connection
        me = {"id": str(BOT), "username": "rushes", "discriminator": "0", "avatar": None}
        state.user = discord.ClientUser(state=state, data=me)
        guild = {"id": str(GUILD), "name": "films", "roles": [], "channels": [], "members": []}
        state._add_guild_from_data(guild)
        yield client


async def hear(client: discord.Client, numbers, owner: int) -> None:
    for number in numbers:
        client._connection.parse_thread_create(thread(number, owner))
        if number % 500 == 0:
            await asyncio.sleep(0)
    listening = [t for t in asyncio.all_tasks() if t.get_name().startswith("discord.py: on_")]
    await asyncio.gather(*listening)


async def test_threads_of_ten_thousand_jobs_do_not_stay_in_memory(client):
    limit_threads(client)
    await hear(client, range(1000, 1010), PERSON)
    await hear(client, range(2000, 2000 + JOBS), BOT)
    kept = {known.id for known in client.get_guild(GUILD).threads}
    assert len(kept) <= KEPT + 10
    assert kept >= set(range(1000, 1010)), "those of people are known: names, and who may look"
    assert 1999 + JOBS in kept


async def test_buckets_of_ten_thousand_jobs_do_not_stay_in_memory(client, monkeypatch):
    http = client.http
    assert isinstance(http, RateLimitedClient)
    loop = asyncio.get_running_loop()
    begun, now = loop.time(), 0.0
    monkeypatch.setattr(loop, "time", lambda: begun + now)
    looks = 0
    inactive = rate_limits.Bucket.is_inactive

    def counted(bucket):
        nonlocal looks
        looks += 1
        return inactive(bucket)

    monkeypatch.setattr(rate_limits.Bucket, "is_inactive", counted)
    most = 0
    for number in range(JOBS):
        now = number / 50  # fifty commands a second
        async with http.get_ratelimit(f"hash:{number}"):
            pass
        most = max(most, len(http._buckets))
    assert most <= 50 * (rate_limits.IDLE_SECONDS + 2 * rate_limits.SWEEP_SECONDS)
    assert looks <= 10 * JOBS, "what is looked through for each new bucket must not grow"
