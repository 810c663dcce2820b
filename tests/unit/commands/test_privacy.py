from __future__ import annotations

from dataclasses import replace

from commands.run import execute
from commands.text.card import plain


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
    assert "2 jobs" in plain(card)
    assert await jobs.recent("test:g1", "u1", limit=5) == []
    assert other.id not in [job.id for job in await jobs.waiting("test:g1")]


async def test_forgetting_deletes_what_the_caller_set_and_their_name_from_the_log(call):
    admin = replace(call, caller=replace(call.caller, admin=True))
    other = replace(call, caller=replace(call.caller, id="u2", name="bob", admin=True))
    for caller in (admin, other):
        await execute("/rushes settings set default.steps 9", caller)
        await execute("/rushes preset save fast --res 360p", caller)
    await execute("/rushes-admin settings set default.steps 12", admin)
    await execute("/rushes forget-me yes", admin)

    assert "default.steps: 12 (set for this server)" in plain(
        await execute("/rushes settings", call)
    )
    assert "no presets" in plain(await execute("/rushes preset list", call))
    log = plain(await execute("/rushes-admin settings log", other))
    assert "deleted person · default.steps: not set → 12" in log
    assert "ada" not in log
    assert "default.steps: 9 (yours)" in plain(await execute("/rushes settings", other))
    assert "fast: --res 360p (yours)" in plain(await execute("/rushes preset list", other))
