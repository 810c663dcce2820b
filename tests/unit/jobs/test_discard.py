"""Jobs that are deleted while they wait or run."""

from __future__ import annotations

import asyncio

import pytest


@pytest.mark.parametrize("waiting", [True, False])
async def test_nobody_finds_a_discarded_job_ended_and_still_there(
    bench, core, monkeypatch, waiting
):
    job = await bench.submit()
    await bench.executor.started()
    if waiting:
        job = await bench.queued()
    gate, hide = asyncio.Event(), core.store.hide

    async def hide_later(job_id):
        await gate.wait()
        return await hide(job_id)

    monkeypatch.setattr(core.store, "hide", hide_later)
    with core.events.subscribe() as events:
        discarding = asyncio.create_task(core.jobs.discard(job.id, tenant=job.tenant))
        async with asyncio.timeout(180):
            while not (seen := await bench.now(job)).ended:
                await events.get()
                gate.set()
    assert seen.removed_at is not None
    gate.set()
    assert await discarding
