"""Tiny models through the real worker process, to a finished file."""

import asyncio
from dataclasses import replace

import av
import numpy as np
import psutil
import pytest
from PIL import Image

from bot import factories
from bot.config.sources import load_config
from inference.domain.errors import Cancelled, RushesError
from inference.domain.reference import Prepared
from inference.domain.render import LATENTS_NAME, Stage
from inference.domain.spec import Mode, Resolution
from inference.engines.registry import Models
from inference.media.provenance import read_recipe
from inference.workers.local_slot import LocalSlot
from tests.diffusers import tiny_models
from tests.diffusers.renders import picture
from tests.process.worker_samples import LIMITS, Steps, task

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert psutil.Process().children(recursive=True) == []


def worker(folders):
    models = {
        "wan": {"path": str(folders("wan-5b"))},
        "ltx": {"path": str(folders("ltx2"))},
        "wan-14b": {"path": str(folders("mochi"))},
    }
    return LocalSlot(models=models, limits=LIMITS)


def asked(tmp_path, model, job_id, **changes):
    values = {
        "model": model,
        "resolution": Resolution.P480,
        "frames": 9,
        "steps": 8 if model == "ltx" else 2,
        "cfg": 1.0 if model == "ltx" else 4.0,
        "options": {},
    }
    return task(tmp_path, job_id=job_id, **values | changes)


def frames_of(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


async def test_clips_and_an_image_of_two_models_and_back(tmp_path, folders):
    results = []
    async with worker(folders) as slot:
        for number, (model, frames) in enumerate(
            [("wan", 9), ("ltx", 17), ("wan", 9), ("wan", 1)], start=1
        ):
            job, steps = asked(tmp_path, model, f"job{number}", frames=frames), Steps()
            manifest = await slot.render(job, steps)
            results.append((manifest, job.directory / manifest.name))
            assert manifest.frames == frames
            stages = list(dict.fromkeys(step.stage for step in steps))
            assert stages[-2:] == [Stage.RENDERING, Stage.FINISHING]

    (wan, first), (ltx, second), (_, third), (_, image) = results
    assert (wan.width, wan.height) == (832, 480)
    assert (ltx.width, ltx.height) == (768, 448)
    assert {"load", "text", "sample", "decode", "encode"} <= wan.timings.keys()
    # the weights were read anew: at most 1 of 255 apart before the encoder
    apart = np.abs(frames_of(first).astype(int) - frames_of(third))
    assert apart.mean() < 0.5
    with av.open(str(second)) as container:
        assert container.streams.audio[0].rate == 48_000
    with av.open(str(first)) as container:
        assert not container.streams.audio
    with Image.open(image) as opened:
        assert opened.size == (832, 480)


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
async def test_clips_of_every_family_from_words_and_pictures(tmp_path, folders, name, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two threads of a toy wait for each other
    models = {"mine": {"engine": "diffusers", "path": str(folders(name))}}
    known = Models(models).entry("mine").capabilities
    first, last = tmp_path / "first.png", tmp_path / "last.png"
    picture("red").save(first)
    picture("blue").save(last)
    given = [{}] if Mode.TEXT_TO_VIDEO in known.modes else []
    if Mode.IMAGE_TO_VIDEO in known.modes:
        given.append({"image": first})
    if known.last_image:
        given.append({"image": first, "last": last})
    if len(given) == 1:
        given *= 2
    frames = next(frames for frames in known.lengths if frames > 1)

    async with LocalSlot(models=models, limits=LIMITS) as slot:
        for number, pictures in enumerate(given):
            job = asked(
                tmp_path,
                "mine",
                f"job{number}",
                resolution=Resolution.P360,
                frames=frames,
                steps=2,
                file_fps=known.file_fps,
                overlap_frames=known.overlap_frames,
            )
            steps = Steps()
            made = await slot.render(replace(job, **pictures), steps)

            path, size = job.directory / made.name, known.sizes[Resolution.P360, job.spec.aspect]
            done = [step.done for step in steps if step.stage is Stage.RENDERING]
            assert list(dict.fromkeys(done)) == [0, 1, 2]
            assert steps[-1].stage is Stage.FINISHING
            assert (steps[-1].done, steps[-1].total) == (frames, frames)
            assert frames_of(path).shape == (frames, size.height, size.width, 3)
            assert read_recipe(path)["seed"] == 7
            with av.open(str(path)) as container:
                assert container.streams.video[0].average_rate == known.file_fps
                assert bool(container.streams.audio) == known.sound
    assert [one for one in steps if one.previews]  # drawn with the map of the clips before


async def test_a_path_may_be_relative_to_the_folder_of_the_bot(tmp_path, folders, monkeypatch):
    place = folders("wan-5b")
    monkeypatch.chdir(place.parent)
    tables = {"mine": {"engine": "diffusers", "path": place.name}}
    config = load_config(
        None, overrides={"bot": {"data_dir": tmp_path}, "models": {"installed": ["mine"], **tables}}
    )
    known = Models(config.models.tables())
    async with factories.pool(config, known, names=["mine"]).slots[0] as slot:
        made = await slot.render(asked(tmp_path, "mine", "a", frames=1), Steps())
    assert made.frames == 1


async def test_a_cancelled_clip_and_a_wrong_folder_leave_the_worker_well(tmp_path, folders):
    async with worker(folders) as slot:
        whole = await slot.render(asked(tmp_path, "wan", "a", frames=1), Steps())

        steps = Steps()
        running = asyncio.create_task(slot.render(asked(tmp_path, "wan", "b", steps=50), steps))
        await steps.reached(Stage.RENDERING, 1)
        await slot.cancel("b")
        with pytest.raises(Cancelled):
            await running

        again = await slot.render(asked(tmp_path, "wan", "c", frames=1), Steps())

        with pytest.raises(RushesError, match=r"folder\.other_preset"):
            await slot.render(asked(tmp_path, "wan-14b", "d"), Steps())
        await slot.render(asked(tmp_path, "wan", "e", frames=1), Steps())
    # Images, which are kept as they were made: x264 may write the same frames otherwise.
    with (
        Image.open(tmp_path / "a" / "1" / whole.name) as first,
        Image.open(tmp_path / "c" / "1" / again.name) as second,
    ):
        assert np.array_equal(np.asarray(first), np.asarray(second))


async def test_a_clip_from_a_gguf_file_is_extended_and_names_it(tmp_path, folders):
    pytest.importorskip("gguf")
    from tests.diffusers.test_gguf import written

    file = written(tmp_path / "q8.gguf", "wan-5b")
    table = {"path": str(folders("wan-5b")), "gguf": str(file)}
    async with LocalSlot(models={"wan": table}, limits=LIMITS) as slot:
        job = asked(tmp_path, "wan", "first", overlap_frames=1)
        first = await slot.render(job, Steps())
        assert read_recipe(job.directory / first.name)["made_with"] == {
            "gguf": {"transformer": "q8.gguf"}
        }
        longer = asked(
            tmp_path,
            "wan",
            "second",
            overlap_frames=1,
            latents=Prepared(LATENTS_NAME),
            after_frames=first.frames,
        )
        steps = Steps()
        longer = replace(longer, latents=job.directory / LATENTS_NAME)
        second = await slot.render(longer, steps)
    assert (first.frames, second.frames) == (9, 17)
    before, after = (
        frames_of(one.directory / made.name) for one, made in ((job, first), (longer, second))
    )
    apart = np.abs(after[:9].astype(int) - before).mean()
    assert apart < 3  # x264 spends its bits otherwise; the frames are the same
    assert np.abs(after[9].astype(int) - after[8]).mean() > 0
