"""A clip and its continuation, by button, through the whole process with the test card."""

from __future__ import annotations

import asyncio
import json

import av
import pytest

from bot.app import open_app
from bot.config.sources import load_config
from commands.actions import Action, ButtonId
from commands.caller import Caller, Channel
from commands.context import Call
from commands.run import execute, press
from commands.text.card import plain
from inference.domain.job import JobState
from inference.media.provenance import AI_MADE, read_source_type
from inference.media.size_reduction import fit, fit_still

pytestmark = pytest.mark.process


@pytest.fixture
async def app(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = load_config(
        None,
        overrides={
            "bot": {"data_dir": tmp_path / "data", "platforms": ["terminal"]},
            "models": {"installed": ["testcard"], "testcard": {"step_seconds": 0.05}},
        },
    )
    async with open_app(config) as app:
        yield app


@pytest.fixture
def call(app, tmp_path):
    address = {"guild": "studio", "directory": str(tmp_path)}
    return Call(
        caller=Caller(id="ada", name="ada"),
        channel=Channel(
            platform="terminal", tenant="terminal:studio", address=address, private=False
        ),
        jobs=app.core.jobs,
        installation=app.services.installation,
        policy=app.services.policy,
        commands=app.services.commands,
    )


async def reached(app, job_id, wanted):
    """Follow a job to a state, noting whether there was a preview on the way."""
    seen = None
    with app.core.events.subscribe() as events:
        async with asyncio.timeout(180):
            while True:
                job = await app.core.store.get(job_id)
                seen = app.core.artifacts.preview(job) or seen
                if job.state is wanted:
                    return job, seen
                assert job.failure is None, job.failure
                await events.get()


def frames_in(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


async def test_extend_brings_one_longer_clip_and_delete_takes_what_it_needs_along(
    app, call, tmp_path
):
    card = await execute("/generate a red fox --res 360p --frames 49", call)
    job, preview = await reached(app, card.job, JobState.DONE)
    assert preview is not None
    assert app.core.jobs.extendable(job)

    extend = ButtonId(action=Action.EXTEND, job=job.id).encode()
    card = await press(extend, call)
    longer, _ = await reached(app, card.job, JobState.DONE)

    assert longer.parent == job.id
    assert longer.manifest.frames == frames_in(app.core.jobs.files(longer)) == 81
    made = app.core.jobs.files(longer)
    assert read_source_type(made) == AI_MADE
    smaller = fit(made, made.stat().st_size * 2 // 3, tmp_path)
    assert read_source_type(smaller.path) == AI_MADE
    assert read_source_type(fit_still(made, 30_000, tmp_path).path) == AI_MADE
    kept = json.loads(app.core.artifacts.latents(longer).read_bytes())
    assert kept == {"frames": 81, "seed": job.spec.seed}

    await press(ButtonId(action=Action.DELETE, job=job.id).encode(), call)
    assert not app.core.jobs.extendable(job)
    assert "no longer stored" in plain(await press(extend, call))
    again, _ = await reached(
        app,
        (await press(ButtonId(action=Action.EXTEND, job=longer.id).encode(), call)).job,
        JobState.DONE,
    )
    assert again.manifest.frames == 113
    assert set(again.manifest.timings) >= {"sample", "decode", "encode", "total"}
    assert again.manifest.forwards == again.spec.steps
    assert again.manifest.peak_bytes is None or again.manifest.peak_bytes > 10_000_000
