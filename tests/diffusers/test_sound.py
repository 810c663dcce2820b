"""Sound in finished files: in sync with the frames, also when extended or made smaller."""

from dataclasses import replace
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from inference.domain.capabilities import ModelOption, OptionKind
from inference.domain.effect_use import EffectUse
from inference.domain.reference import Prepared
from inference.domain.render import LATENTS_NAME
from inference.domain.spec import Resolution
from inference.effects.base import EffectEntry
from inference.engines.registry import Models
from inference.media.results import Rung
from inference.media.size_reduction import fit
from inference.workers.render import Engines, render_task
from tests.process.worker_samples import task

FPS, OVERLAP, FRAMES = 24, 9, 17
FRAME = 1 / FPS
MODEL_RATE = 16_000


def clicks(path):
    """Return the seconds of the frames, those of the sound, and where something is heard."""
    with av.open(str(path)) as container:
        [video], [audio] = container.streams.video, container.streams.audio
        assert audio.rate == 48_000
        assert audio.codec_context.name == "aac"
        frames = sum(1 for _ in container.decode(video))
    with av.open(str(path)) as container:
        blocks = [block.to_ndarray() for block in container.decode(audio=0)]
    loud = np.abs(np.concatenate(blocks, axis=1)).max(axis=0)
    places = np.flatnonzero(loud > 0.2) / 48_000
    groups = [places[0]] if len(places) else []
    for place in places:
        if place - groups[-1] > FRAME:
            groups.append(place)
    return frames * FRAME, loud.size / 48_000, groups


@pytest.fixture
def studio(folders):
    """Return engines with a tiny LTX-2 whose sound is a click, and the moment of the click."""
    engines = Engines(Models({"ltx": {"path": str(folders("ltx2")), "engine": "diffusers"}}))
    engine = engines.load("ltx", lambda _share: None)
    when = [0.0]

    def click(_module, _args, _out):
        sound = torch.zeros(1, 2, round(FRAMES * FRAME * MODEL_RATE))
        start = round(when[0] * MODEL_RATE)
        sound[..., start : start + 80] = torch.sin(torch.arange(80) * 0.4)
        return sound

    pipeline = engine._model._pipeline("LTX2Pipeline")
    hook = pipeline.vocoder.register_forward_hook(click)
    yield engines, when
    hook.remove()


def rendered(engines, directory, job_id, **changes):
    values = {
        "model": "ltx",
        "resolution": Resolution.P360,
        "frames": FRAMES,
        "steps": 2,
        "cfg": 1.0,
        "options": {},
        "overlap_frames": OVERLAP,
    }
    latents = changes.pop("latents_path", None)
    asked = replace(task(directory, job_id=job_id, **values | changes), latents=latents)
    manifest = render_task(asked, engines, lambda _progress: None)
    return manifest, asked.directory


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_a_click_stays_where_it_is(studio, tmp_path):
    engines, when = studio
    when[0] = 0.3
    manifest, place = rendered(engines, tmp_path, "first")
    frames, seconds, heard = clicks(place / manifest.name)
    assert frames == pytest.approx(FRAMES * FRAME)
    assert seconds == pytest.approx(frames, abs=FRAME)
    assert heard == [pytest.approx(0.3, abs=FRAME)]

    when[0] = 0.5  # of the second pass, which begins nine frames before the end of the first
    extension = {
        "latents": Prepared(LATENTS_NAME),
        "latents_path": place / LATENTS_NAME,
        "after_frames": manifest.frames,
    }
    longer, place = rendered(engines, tmp_path, "second", **extension)
    frames, seconds, heard = clicks(place / longer.name)
    assert longer.frames == 2 * FRAMES - OVERLAP
    assert frames == pytest.approx(longer.frames * FRAME)
    assert seconds == pytest.approx(frames, abs=FRAME)
    second = (FRAMES - OVERLAP) * FRAME + 0.5
    assert heard == [pytest.approx(0.3, abs=FRAME), pytest.approx(second, abs=FRAME)]

    smaller = fit(place / longer.name, longer.size * 2 // 3, tmp_path)
    assert smaller.rung is not Rung.STILL
    assert clicks(smaller.path) == (frames, seconds, heard)

    silent, place = rendered(engines, tmp_path, "silent", options={"sound": "off"}, **extension)
    with av.open(str(place / silent.name)) as container:
        assert not container.streams.audio
    assert silent.frames == longer.frames


class Darker:
    def apply(self, frames, _context):
        return frames // 2


@pytest.mark.slow
def test_an_effect_keeps_the_sound_where_it_is(studio, tmp_path):
    engines, when = studio
    when[0] = 0.4
    entry = EffectEntry(
        name="dark",
        options=(
            ModelOption(name="dark", kind=OptionKind.FLAG, default=False, texts={"en": "A."}),
        ),
        make=lambda _context: Darker(),
        order=1,
        seconds_per_megapixel_frame=0.1,
    )
    engines.effects = SimpleNamespace(entry={"dark": entry}.get)
    use = EffectUse(name="dark", package="x", version="1", seconds_per_megapixel_frame=0.1)
    manifest, place = rendered(engines, tmp_path, "dark", effects=(use,))
    frames, seconds, heard = clicks(place / manifest.name)
    assert seconds == pytest.approx(frames, abs=FRAME)
    assert heard == [pytest.approx(0.4, abs=FRAME)]
    with av.open(str(place / manifest.name)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="gray")
    assert np.median(frame) < 132  # all but the watermark
