"""The engine behind the port: a folder by path, specs in, chunks out."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.diffusers_pipelines.pipeline import VideoModel
from inference.domain.errors import Cancelled, EngineError
from inference.domain.spec import Aspect, Resolution, Size, Spec
from inference.engines.base import CancelToken, Inputs, Monitor
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.engine import DiffusersEngine
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from tests.diffusers import tiny_models
from tests.diffusers.renders import picture

KEY = (Resolution.P360, Aspect.WIDE)


@pytest.fixture
def make(folders):
    """Return an engine of a tiny model whose smallest size is tiny too, and a spec for it."""

    def engine(name):
        entry = entry_of("mine", DiffusersTable(path=str(folders(name))))
        side = 64 if entry.folder.family.pixels_per_latent == 32 else 32
        known = replace(capabilities_of(entry), sizes={KEY: Size(side, side)})
        made = DiffusersEngine(entry, {"any": folders(name)}, known)
        frames = tiny_models.FRAMES.get(name, 9)
        return made, Spec(
            prompt="a red fox",
            model="mine",
            resolution=KEY[0],
            aspect=KEY[1],
            frames=frames,
            refine=False,
            seed=3,
            steps=3,
            cfg=4.0,
            loops=1,
        )

    return engine


def frames_of(engine, spec, inputs=None, monitor=None):
    chunks = list(engine.render(spec, inputs or Inputs(), monitor or Monitor()))
    return np.concatenate([chunk.frames for chunk in chunks]), chunks


@pytest.mark.parametrize("name", ["wan-5b", "ltx2"])
def test_a_spec_becomes_frames(make, name, tmp_path):
    engine, spec = make(name)
    with pytest.raises(EngineError, match=r"model\.not_loaded"):
        next(engine.render(spec, Inputs(), Monitor()))
    reported = []
    engine.load(lambda share, part: reported.append((share, part)))
    engine.load(lambda *_: pytest.fail("a second call is free"))
    steps, monitor = [], None
    monitor = Monitor(on_step=lambda done, total, _still: steps.append((done, total)))

    frames, chunks = frames_of(engine, spec, monitor=monitor)

    assert reported[-1][0] == 1
    assert len(frames) == spec.total_frames == 9
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert {"text", "sample", "decode"} <= monitor.meter.seconds.keys()
    assert monitor.meter.forwards >= 3
    assert (chunks[0].sound is not None) == (name == "ltx2")
    assert chunks[0].notes == ()
    picture().save(tmp_path / "a.png")
    animated, _ = frames_of(engine, spec, Inputs(image=tmp_path / "a.png"))
    assert not np.array_equal(frames, animated)


@pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning")  # Mochi
@pytest.mark.filterwarnings("ignore:CPU Autocast:UserWarning")  # Mochi
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "ltx-video" else pytest.mark.slow)
        for name in tiny_models.BUILDERS
        if name != "wan-14b-image"
    ],
)
def test_long_prompts_are_noted(make, name):
    engine, spec = make(name)
    engine.load(lambda *_: None)
    words = 50 if name == "ltx-video" else 900
    _, chunks = frames_of(engine, replace(spec, prompt="a fox " * words, steps=2))
    assert chunks[0].notes == ("shortened",)


def test_a_cancelled_render_says_so(make):
    engine, spec = make("wan-5b")
    engine.load(lambda *_: None)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        frames_of(engine, spec, monitor=Monitor(cancel=token))
    assert len(frames_of(engine, spec)[0]) == 9


def test_sound_can_be_switched_off(make):
    engine, spec = make("kandinsky")
    engine.load(lambda *_: None)
    _, chunks = frames_of(engine, replace(spec, options={"sound": "off"}))
    assert all(chunk.sound is None for chunk in chunks)


def test_text_and_images_from_two_folders(wan_14b, tmp_path):
    """Wan A14B: the second folder's weights take the place of the first's."""
    engine, spec = wan_14b
    first, _ = frames_of(engine, spec)
    picture().save(tmp_path / "a.png")
    monitor = Monitor()
    frames_of(engine, spec, Inputs(image=tmp_path / "a.png"), monitor)
    assert "swap" in monitor.meter.seconds
    again, _ = frames_of(engine, spec)
    assert np.abs(first.astype(int) - again).max() <= 1


def test_weights_are_gone_before_others_take_their_place(wan_14b, monkeypatch, tmp_path):
    """Together they are more than most machines have, in one clip of several passes too."""
    engine, spec = wan_14b
    gone = []
    read = VideoModel.load

    def load(model, on_progress):
        gone.append([type(part()).__name__ for part in parts if part() is not None])
        read(model, on_progress)
        parts[:] = [weakref.ref(part) for part in _networks(model)]

    parts = [weakref.ref(part) for part in _networks(engine._model)]
    monkeypatch.setattr(VideoModel, "load", load)
    picture().save(tmp_path / "a.png")
    gc.disable()  # nothing may depend on when it happens to run
    try:
        frames_of(engine, replace(spec, loops=2))
        frames_of(engine, spec)
        frames_of(engine, spec, Inputs(image=tmp_path / "a.png"))
    finally:
        gc.enable()
    assert gone == [[], [], []]


def _networks(model):
    return [part for part in model._parts.values() if isinstance(part, torch.nn.Module)]


def test_cancelled_while_other_weights_take_their_place(wan_14b, tmp_path):
    engine, spec = wan_14b
    first, _ = frames_of(engine, spec)
    picture().save(tmp_path / "a.png")
    from_image = Inputs(image=tmp_path / "a.png")
    token = CancelToken()
    monitor = Monitor(cancel=token)
    token.cancel()
    with pytest.raises(Cancelled):
        frames_of(engine, spec, from_image, monitor)

    again, _ = frames_of(engine, spec)  # with the weights that had to leave
    assert np.abs(first.astype(int) - again).max() <= 1
    with pytest.raises(Cancelled):
        frames_of(engine, spec, from_image, monitor)
    assert len(frames_of(engine, spec, from_image)[0]) == spec.frames


def test_weights_that_cannot_take_the_place_of_others(wan_14b, tmp_path):
    engine, spec = wan_14b
    first, _ = frames_of(engine, spec)
    picture().save(tmp_path / "a.png")
    engine._folders["image"] = tmp_path / "gone"
    for _ in range(2):
        with pytest.raises(EngineError, match=r"folder\.missing"):
            frames_of(engine, spec, Inputs(image=tmp_path / "a.png"))
        again, _ = frames_of(engine, spec)
        assert np.abs(first.astype(int) - again).max() <= 1


def test_loras_come_from_the_config(folders, tmp_path):
    entry = entry_of(
        "mine",
        DiffusersTable(path=str(folders("wan-5b")), loras=[str(tmp_path / "gone.safetensors")]),
    )
    engine = DiffusersEngine(entry, {"any": folders("wan-5b")}, capabilities_of(entry))
    with pytest.raises(EngineError, match=r"lora\.missing"):
        engine.load(lambda *_: None)
