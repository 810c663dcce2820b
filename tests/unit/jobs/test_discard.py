"""Jobs that are deleted while they wait or run."""

from __future__ import annotations

import asyncio

import pytest

from inference.domain.errors import EngineError, UserError
from inference.domain.job import JobState


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


@pytest.mark.parametrize(
    "error",
    [
        None,
        UserError("image.expired"),
        EngineError("file.unreadable", path=""),
        EngineError("media.unavailable", transient=True),
        FileNotFoundError(),
    ],
    ids=repr,
)
async def test_a_job_that_is_deleted_while_it_is_prepared_ends_quietly(bench, core, capsys, error):
    await core.jobs.pause()
    bench.images.gate, bench.images.error = asyncio.Event(), error
    job = await bench.submit(image="https://cdn.example/cat.gif")
    async with asyncio.timeout(180):
        while not bench.images.fetched:  # noqa: ASYNC110 - a fake
            await asyncio.sleep(0.001)
    assert await core.jobs.discard(job.id, tenant=job.tenant)
    capsys.readouterr()
    # Another download has made the folder again, as it does without knowing.
    core.artifacts.input_directory(job.id).mkdir(parents=True)

    bench.images.gate.set()
    while core.artifacts.input_directory(job.id).exists():  # noqa: ASYNC110 - a folder
        await asyncio.sleep(0.001)
    bench.images.error = None
    await bench.queued()

    assert (await bench.now(job)).state is JobState.CANCELLED
    out = capsys.readouterr()
    assert not any(event in out.out + out.err for event in ("refused", "preparing_", "bug"))
