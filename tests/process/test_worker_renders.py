import asyncio
import hashlib
import os
import shutil
import signal
import time
from dataclasses import replace
from itertools import groupby

import psutil
import pytest

from inference.domain.errors import Cancelled, EngineError, UserError, WorkerLost
from inference.domain.render import LATENTS_NAME, PREVIEW_NAME, Stage
from inference.domain.spec import Resolution
from inference.domain.watermark import WatermarkSettings
from inference.media.provenance import read_recipe
from inference.workers.local_slot import LocalSlot
from inference.workers.protocol import MAX_FRAME_BYTES
from tests.process.worker_samples import LIMITS, Steps, executor, gone, task, until

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert psutil.Process().children(recursive=True) == []


async def test_a_clip_is_complete_on_disk_and_as_reported(tmp_path):
    job, steps = task(tmp_path), Steps()
    async with executor() as worker:
        manifest = await worker.render(job, steps)

    path = job.directory / manifest.name
    files = {file.name for file in job.directory.iterdir()}
    assert files == {"clip.mp4", LATENTS_NAME, PREVIEW_NAME}
    assert manifest.size == path.stat().st_size
    assert manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (manifest.width, manifest.height, manifest.frames) == (640, 360, 49)
    assert read_recipe(path) == job.recipe
    assert set(manifest.timings) == {"load", "sample", "decode", "encode", "finish"}


async def test_progress_goes_through_the_stages_in_order(tmp_path):
    steps = Steps()
    async with executor() as worker:
        await worker.render(task(tmp_path), steps)

    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == [Stage.LOADING, Stage.RENDERING, Stage.FINISHING]
    rendering = [step for step in steps if step.stage is Stage.RENDERING]
    assert [(step.done, step.total) for step in rendering] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert steps[-1].done == steps[-1].total == 49


async def test_an_image_is_a_png_without_watermark(tmp_path):
    job = task(tmp_path, frames=1)
    async with executor() as worker:
        manifest = await worker.render(job, Steps())

    assert manifest.name == "image.png"
    assert read_recipe(job.directory / "image.png") == job.recipe


async def test_the_worker_and_its_model_stay_from_job_to_job(tmp_path):
    pids, stages = set(), []
    async with executor() as worker:
        assert worker.device is None
        assert worker.warm_model is None
        for number in range(3):
            steps = Steps()
            await worker.render(task(tmp_path, job_id=f"job{number}"), steps)
            pids.add(worker.pid)
            stages.append({step.stage for step in steps})

        assert worker.warm_model == "testcard"
        assert worker.device.memory_bytes > 2**30
        assert pids == {worker.pid}
    assert [Stage.LOADING in seen for seen in stages] == [True, False, False]


async def test_concurrent_renders_take_turns_in_the_order_they_came(tmp_path):
    told = []

    async def render(job_id):
        await worker.render(task(tmp_path, job_id=job_id), lambda _: told.append(job_id))

    async with executor() as worker, asyncio.TaskGroup() as group:
        for job_id in ("a", "b", "c"):
            group.create_task(render(job_id))

    assert [job_id for job_id, _ in groupby(told)] == ["a", "b", "c"]


async def test_the_bot_is_up_before_the_worker(tmp_path):
    async with executor() as worker:
        assert worker.pid is None


@pytest.mark.slow
async def test_a_model_that_is_not_installed_is_the_persons_error(tmp_path):
    async with executor() as worker:
        with pytest.raises(UserError) as caught:
            await worker.render(task(tmp_path, model="sora-9000"), Steps())
        assert caught.value.params == {"name": "sora-9000", "known": ["testcard"]}
        await worker.render(task(tmp_path), Steps())


@pytest.mark.slow
async def test_a_watermark_that_cannot_be_drawn_fails_the_job_before_any_step(tmp_path):
    logo = WatermarkSettings(logo=tmp_path / "missing.png")
    steps = Steps()
    async with executor() as worker:
        with pytest.raises(EngineError, match=r"watermark\.failed"):
            await worker.render(replace(task(tmp_path), watermark=logo), steps)
    assert steps == []


async def test_cancelling_takes_effect_within_a_step(tmp_path):
    job, steps = task(tmp_path, steps=1000), Steps()
    async with executor() as worker:
        render = asyncio.create_task(worker.render(job, steps))
        await steps.reached(Stage.RENDERING, done=2)
        pid = worker.pid
        async with asyncio.timeout(180):
            await worker.cancel(job.job_id)
            with pytest.raises(Cancelled):
                await render

        assert {file.name for file in job.directory.iterdir()} <= {PREVIEW_NAME}
        await worker.render(task(tmp_path, job_id="next"), Steps())
        assert worker.pid == pid


@pytest.mark.parametrize("told_first", [pytest.param(True, marks=pytest.mark.slow), False])
async def test_a_job_that_is_deleted_while_it_renders_ends_as_cancelled(tmp_path, told_first):
    job, steps = task(tmp_path, resolution=Resolution.P720, frames=97), Steps()
    async with executor() as worker:
        running = asyncio.create_task(worker.render(job, steps))
        await steps.reached(Stage.FINISHING, 1)
        if told_first:
            await worker.cancel(job.job_id)
        shutil.rmtree(job.directory)
        if not told_first:
            await steps.reached(Stage.FINISHING, 97)  # what is written has no place any more
            await worker.cancel(job.job_id)
        with pytest.raises(Cancelled):
            await running
        assert (await worker.render(task(tmp_path, "NEXT0001"), Steps())).frames == 49


@pytest.mark.slow
async def test_a_job_that_is_deleted_just_before_its_file_is_checked_ends_as_cancelled(tmp_path):
    job, deletions = task(tmp_path), []

    def on_progress(progress):
        if progress.stage is Stage.FINISHING and progress.done == progress.total:
            while not (job.directory / "clip.mp4").exists():  # the loop reads nothing meanwhile
                time.sleep(0.01)
            shutil.rmtree(job.directory)
            deletions.append(asyncio.create_task(worker.cancel(job.job_id)))

    async with executor() as worker:
        with pytest.raises(Cancelled):
            await worker.render(job, on_progress)
        pid = worker.pid
        await asyncio.gather(*deletions)
        await worker.render(task(tmp_path, "NEXT0001"), Steps())
        assert worker.pid == pid


@pytest.mark.slow
async def test_a_folder_that_vanishes_uncalled_for_is_a_failure(tmp_path):
    job, steps = task(tmp_path), Steps()
    async with executor() as worker:
        running = asyncio.create_task(worker.render(job, steps))
        await steps.reached(Stage.FINISHING, 1)
        shutil.rmtree(job.directory)
        with pytest.raises(EngineError):
            await running


@pytest.mark.slow
async def test_cancelling_a_job_still_in_line_never_starts_it(tmp_path):
    steps = Steps()
    async with executor() as worker:
        first = asyncio.create_task(worker.render(task(tmp_path, job_id="first"), Steps()))
        second = asyncio.create_task(worker.render(task(tmp_path, job_id="second"), steps))
        await asyncio.sleep(0)
        await worker.cancel("second")
        with pytest.raises(Cancelled):
            await second
        await first
    assert steps == []
    assert not (tmp_path / "second").exists()


@pytest.mark.slow
async def test_cancelling_an_unknown_job_is_ignored(tmp_path):
    async with executor() as worker:
        await worker.cancel("unknown")
        await worker.render(task(tmp_path), Steps())
        await worker.cancel("7Q2FK9XD")
        await worker.render(task(tmp_path, attempt=2), Steps())


async def test_cancelling_the_caller_stops_the_worker_too(tmp_path):
    steps = Steps()
    async with executor() as worker:
        render = asyncio.create_task(worker.render(task(tmp_path, steps=10_000), steps))
        await steps.reached(Stage.RENDERING, done=1)
        pid = worker.pid
        render.cancel()
        with pytest.raises(asyncio.CancelledError):
            await render

        await worker.render(task(tmp_path, job_id="next"), Steps())
        assert worker.pid == pid


@pytest.mark.slow
async def test_a_worker_that_does_not_obey_is_killed_after_the_grace(tmp_path):
    steps = Steps()
    limits = replace(LIMITS, cancel_grace_seconds=0.3)
    async with executor(limits) as worker:
        render = asyncio.create_task(worker.render(task(tmp_path, steps=10_000), steps))
        await steps.reached(Stage.RENDERING)
        pid = worker.pid
        os.kill(pid, signal.SIGSTOP)
        render.cancel()
        with pytest.raises(asyncio.CancelledError):
            await render

        await worker.render(task(tmp_path, attempt=2), Steps())
        assert worker.pid != pid
        assert gone(pid)


async def test_a_task_that_cannot_be_sent_fails_its_caller_and_nobody_else(tmp_path):
    async with executor() as worker:
        with pytest.raises(WorkerLost, match=r"worker\.protocol"):
            await worker.render(task(tmp_path, prompt="x" * MAX_FRAME_BYTES), Steps())
        await worker.render(task(tmp_path), Steps())


@pytest.mark.slow
async def test_an_error_of_the_progress_callback_stops_the_job_and_surfaces(tmp_path):
    def on_progress(progress):
        raise ZeroDivisionError

    async with executor() as worker:
        with pytest.raises(ZeroDivisionError):
            await worker.render(task(tmp_path, steps=10_000), on_progress)
        await worker.render(task(tmp_path, job_id="next"), Steps())


async def test_closing_ends_a_running_job_as_lost_and_not_as_cancelled(tmp_path):
    steps = Steps()
    async with executor() as worker:
        running = asyncio.create_task(worker.render(task(tmp_path, steps=10_000), steps))
        waiting = asyncio.create_task(worker.render(task(tmp_path, job_id="b"), Steps()))
        await steps.reached(Stage.RENDERING, done=1)
    for render in (running, waiting):
        with pytest.raises(WorkerLost, match=r"worker\.closed"):
            await render
    with pytest.raises(WorkerLost, match=r"worker\.closed"):
        await worker.render(task(tmp_path, job_id="late"), Steps())


@pytest.mark.slow
async def test_closing_while_the_worker_starts_is_quick():
    async with asyncio.timeout(180), executor():
        await until(lambda: psutil.Process().children())


async def test_secrets_do_not_reach_the_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "hush")
    monkeypatch.setenv("RUSHES_ASSISTANT__API_KEY", "hush")
    async with executor() as worker:
        await worker.render(task(tmp_path), Steps())
        environment = psutil.Process(worker.pid).environ()

    assert "hush" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.slow
async def test_a_model_whose_folder_is_gone_fails_its_own_jobs_only(tmp_path):
    """Once the slot knows its device, it asks the entry whether the model needs a card."""
    models = {"testcard": {"step_seconds": 0.01}, "mine": {"engine": "diffusers", "path": "/gone"}}
    async with LocalSlot(models=models, limits=LIMITS) as slot:
        await slot.render(task(tmp_path, job_id="a"), Steps())
        with pytest.raises(UserError, match=r"folder\.missing"):
            await slot.render(task(tmp_path, job_id="b", model="mine"), Steps())
        await slot.render(task(tmp_path, job_id="c"), Steps())
