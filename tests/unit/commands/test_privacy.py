from __future__ import annotations

from commands.card import plain
from commands.run import execute


async def test_forgetting_asks_first_and_deletes_nothing(call, jobs):
    await execute("/generate a fox", call)
    card = await execute("/rushes forget-me", call)
    assert card.private
    assert "/rushes forget-me yes" in plain(card)
    assert await jobs.recent("test:g1", "u1", limit=5)


async def test_forgetting_deletes_the_callers_jobs(call, jobs):
    await execute("/generate a fox", call)
    other = await jobs.submit(jobs.orders[0])
    card = await execute("/rushes forget-me yes", call)
    assert "2 requests" in plain(card)
    assert await jobs.recent("test:g1", "u1", limit=5) == []
    assert other.id not in [job.id for job in await jobs.waiting("test:g1")]
