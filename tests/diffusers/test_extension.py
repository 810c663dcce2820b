"""Clips that go on from another one, and clips of several passes: joined without doubled frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.diffusers_pipelines.kept_clip import KeptClip, Pass
from inference.diffusers_pipelines.sound import Waveform, join_sound
from inference.domain.errors import Cancelled, EngineError
from inference.domain.reference import Prepared
from inference.domain.spec import Aspect, Mode, Resolution, Size, Spec
from inference.engines.base import CancelToken, Inputs, Monitor
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.engine import DiffusersEngine
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from tests.diffusers import tiny_models

KEY = (Resolution.P360, Aspect.WIDE)
FRAMES = {"ltx-video": 17, "ltx2": 17}
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),  # LTX's conditions
    pytest.mark.slow,
]


@pytest.fixture
def make(folders):
    """Return a loaded engine of a tiny model whose only size is tiny too, and a spec for it."""

    def engine(name):
        entry = entry_of("mine", DiffusersTable(path=str(folders(name))))
        side = tiny_models.SIDE.get(name, 16)
        known = replace(capabilities_of(entry), sizes={KEY: Size(side, side)})
        made = DiffusersEngine(entry, {"any": folders(name)}, known)
        made.load(lambda *_: None)
        spec = Spec(
            prompt="a red fox",
            model="mine",
            resolution=KEY[0],
            aspect=KEY[1],
            frames=FRAMES.get(name, 9),
            refine=False,
            seed=3,
            steps=2,
            cfg=4.0,
            loops=1,
            overlap_frames=known.overlap_frames,
        )
        return made, spec

    return engine


class Rendered:
    def __init__(self, engine, spec, inputs=None):
        kept, self.steps = [], []
        monitor = Monitor(
            keep=kept.append, on_step=lambda done, total, _still: self.steps.append((done, total))
        )
        chunks = list(engine.render(spec, inputs or Inputs(), monitor))
        self.frames = np.concatenate([chunk.frames for chunk in chunks])
        self.sound = chunks[0].sound
        assert not [chunk for chunk in chunks[1:] if chunk.sound is not None]
        [self.kept] = kept or [None]


def extended(engine, spec, tmp_path):
    """Render a clip, then one that goes on from it."""
    first = Rendered(engine, spec)
    path = tmp_path / "latents.bin"
    path.write_bytes(first.kept)
    longer = replace(spec, seed=8, latents=Prepared("latents.bin"), after_frames=len(first.frames))
    return first, longer, Rendered(engine, longer, Inputs(latents=path))


@pytest.mark.parametrize(
    "name",
    [
        "wan-5b",
        "ltx2",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("ltx-video", "kandinsky")),
    ],
)
def test_an_extended_clip_begins_with_the_first_and_goes_on(make, tmp_path, name):
    engine, spec = make(name)
    first, longer, second = extended(engine, spec, tmp_path)

    assert longer.total_frames == 2 * spec.frames - spec.overlap_frames
    assert len(second.frames) == longer.total_frames
    assert np.array_equal(second.frames[: spec.frames], first.frames)
    joint = second.frames[spec.frames - 1 : spec.frames + 1].astype(int)
    assert np.abs(joint[1] - joint[0]).max() > 0  # the frame of the joint is there once
    path = tmp_path / "again.bin"
    path.write_bytes(second.kept)
    third = replace(longer, after_frames=len(second.frames))
    again = Rendered(engine, third, Inputs(latents=path))
    assert len(again.frames) == third.total_frames
    assert np.array_equal(again.frames[: len(second.frames)], second.frames)


@pytest.mark.parametrize(("name", "lead"), [("wan-5b", 1), ("ltx-video", 9), ("ltx2", 9)])
def test_the_pass_after_is_given_the_last_frames(make, tmp_path, monkeypatch, name, lead):
    engine, spec = make(name)
    asked = []
    model = engine._model
    render = model.render
    monkeypatch.setattr(
        model, "render", lambda request, *more: (asked.append(request), render(request, *more))[1]
    )
    first, _, _ = extended(engine, spec, tmp_path)

    before, after = asked
    assert before.lead == ()
    assert after.image is None
    assert after.seed != before.seed
    given = np.stack([np.asarray(image) for image in after.lead])
    assert np.array_equal(given, first.frames[-lead:])


def test_what_comes_after_depends_on_what_was_before(make, tmp_path):
    engine, spec = make("wan-5b")
    ends = []
    for seed in (1, 2):
        _, longer, second = extended(engine, replace(spec, seed=seed), tmp_path)
        ends.append(second.frames[spec.frames :])
        assert longer.seed == 8
    assert not np.array_equal(*ends)


@pytest.mark.parametrize("name", ["wan-5b", "kandinsky"])
def test_loops_make_one_clip_of_the_announced_length(make, name):
    engine, spec = make(name)
    spec = replace(spec, loops=3)
    made = Rendered(engine, spec)
    assert len(made.frames) == spec.total_frames == 25
    assert made.steps == [(done, 6) for done in range(1, 7)]
    if name == "kandinsky":
        assert made.sound is not None


def test_wan_14b_goes_on_with_its_weights_for_images(wan_14b, tmp_path):
    engine, spec = wan_14b
    assert engine._capabilities.extends
    first, longer, second = extended(engine, spec, tmp_path)
    assert len(second.frames) == longer.total_frames == 17
    assert engine._use == "image"
    # The VAE of this tiny model for images is another one: only the length is comparable.
    assert second.frames.shape[1:] == first.frames.shape[1:]


def test_images_and_models_without_images_keep_nothing(make):
    engine, spec = make("wan-5b")
    assert Rendered(engine, replace(spec, frames=1)).kept is None
    engine, spec = make("cogvideox")
    assert not engine._capabilities.extends
    assert Rendered(engine, spec).kept is None


@pytest.mark.parametrize("data", [b"", b"junk", "cut", "other", "nan"])
def test_what_cannot_be_gone_on_from_is_said(make, tmp_path, data):
    engine, spec = make("wan-5b")
    plain = Rendered(engine, spec)
    path = tmp_path / "latents.bin"
    latents = torch.zeros(1, 16, 3, 2, 2)
    if data == "cut":
        data = plain.kept[:-100]
    elif data == "other":  # of another model
        data = KeptClip(passes=(Pass(latents=latents[:, :8], frames=9),)).pack()
    elif data == "nan":
        data = KeptClip(passes=(Pass(latents=latents / 0, frames=9),)).pack()
    path.write_bytes(data)
    longer = replace(spec, latents=Prepared("latents.bin"), after_frames=9)
    with pytest.raises(EngineError, match=r"latents\.unreadable"):
        Rendered(engine, longer, Inputs(latents=path))
    assert np.array_equal(Rendered(engine, spec).frames, plain.frames)


def test_another_length_or_size_than_announced_is_said(make, tmp_path):
    engine, spec = make("wan-5b")
    path = tmp_path / "latents.bin"
    path.write_bytes(Rendered(engine, spec).kept)
    longer = replace(spec, latents=Prepared("latents.bin"), after_frames=13)
    with pytest.raises(EngineError, match=r"latents\.unreadable"):
        Rendered(engine, longer, Inputs(latents=path))
    wide = KeptClip(passes=(Pass(latents=torch.zeros(1, 16, 3, 2, 4), frames=9),))
    path.write_bytes(wide.pack())
    with pytest.raises(EngineError, match=r"latents\.unreadable"):
        Rendered(engine, replace(longer, after_frames=9), Inputs(latents=path))


def test_cancelled_while_the_first_clip_is_decoded_again(make, tmp_path):
    engine, spec = make("wan-5b")
    first, longer, _ = extended(engine, spec, tmp_path)
    token = CancelToken()
    chunks = engine.render(longer, Inputs(latents=tmp_path / "latents.bin"), Monitor(cancel=token))
    next(chunks)
    token.cancel()
    with pytest.raises(Cancelled):
        list(chunks)
    assert np.array_equal(Rendered(engine, spec).frames, first.frames)


def tone(seconds, rate=1000, at=None):
    samples = np.zeros((2, round(seconds * rate)), np.float32)
    if at is None:
        samples[:] = 0.5
    else:
        samples[:, round(at * rate)] = 1
    return Waveform(samples=samples, rate=rate)


def test_sound_is_joined_where_the_frames_are():
    joined = join_sound(tone(2, at=0.5), tone(2, at=1.5), until=2.0, overlap=0.25)
    marks = np.flatnonzero(joined.samples[0] > 0.9)
    assert list(marks) == [500, 1750 + 1500]
    assert joined.samples.shape == (2, 3750)


def test_sound_fades_over_while_both_are_heard():
    joined = join_sound(tone(2), tone(2), until=2.0, overlap=0.25)
    assert np.allclose(joined.samples, 0.5, atol=1e-3)


def test_where_one_has_no_sound_there_is_silence():
    assert join_sound(None, None, until=2, overlap=0.1) is None
    later = join_sound(None, tone(2), until=2.0, overlap=0)
    assert not later.samples[:, :2000].any()
    assert later.samples.shape[1] == 4000
    before = join_sound(tone(3), None, until=2.0, overlap=0)
    assert before.samples.shape[1] == 2000  # what is longer than its frames is cut


def test_it_is_declared_where_clips_begin_with_images(folders):
    for name in tiny_models.BUILDERS:
        known = capabilities_of(entry_of("mine", DiffusersTable(path=str(folders(name)))))
        assert known.extends == (Mode.IMAGE_TO_VIDEO in known.modes)
        assert min(one for one in known.lengths if one > 1) > known.overlap_frames
