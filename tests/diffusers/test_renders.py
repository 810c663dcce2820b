"""Clips of every family: what comes out is what the bare pipeline makes, and it is watched."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.diffusers_pipelines.call import build_call, make_guider
from inference.diffusers_pipelines.latent_previews import LearnedPreviews
from inference.diffusers_pipelines.memory_plan import PLANS, Placement, Plan
from inference.diffusers_pipelines.pipeline import Settings, VideoModel
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.repository import verify_parts
from inference.engines.registry import Models
from tests.diffusers import tiny_models
from tests.diffusers.renders import STEPS, Stop, load, picture, render, request

FAMILIES = list(tiny_models.BUILDERS)
QUICK = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "hunyuan-1.5" else [])
    for name in FAMILIES
]
pytestmark = [
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # Mochi
    pytest.mark.filterwarnings("ignore:CPU Autocast:UserWarning"),  # Mochi
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),  # LTX's conditions
]


def bare(pipeline, model, wanted):
    """What the pipeline itself makes of the same call, as uint8."""
    call = build_call(pipeline, model.folder.family, wanted)
    if (guider := make_guider(pipeline, wanted)) is not None:
        pipeline.guider = guider
    video = pipeline(**call).frames[0]
    return (video.permute(0, 2, 3, 1) * 255).round().byte().numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_frames_are_those_of_the_bare_pipeline(models, name):
    wanted = request(name)
    seen = render(models(name), wanted)

    expected = bare(tiny_models.build(name), models(name), wanted)
    assert seen.frames.shape == (wanted.frames, wanted.height, wanted.width, 3)
    assert seen.frames.dtype == np.uint8
    assert np.abs(seen.frames.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", QUICK)
def test_every_step_is_reported_and_forwards_are_counted(models, name):
    seen = render(models(name), request(name))

    assert seen.steps == [(done, STEPS) for done in range(1, STEPS + 1)]
    assert seen.forwards >= STEPS


@pytest.mark.parametrize("name", QUICK)
def test_the_seed_alone_decides(models, name):
    first, again = (render(models(name), request(name)).frames for _ in range(2))
    other = render(models(name), request(name, seed=8)).frames

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", QUICK)
def test_the_first_clip_teaches_the_previews_of_the_next(folders, name):
    model = load(folders(name))
    frames = 9 if name == "hunyuan-1.5" else request(name).frames
    first, second = (render(model, request(name, frames=frames)) for _ in range(2))

    assert not first.stills
    assert len(second.stills) == STEPS - 1
    assert all(still.dtype == np.uint8 and still.shape[2] == 3 for still in second.stills)
    assert np.array_equal(first.frames, second.frames)


def test_weights_beside_the_same_vae_have_its_previews_at_once(folders, tmp_path):
    previews = LearnedPreviews()
    shutil.copytree(folders("wan-14b"), tmp_path / "other")
    for place, known in [(folders("wan-14b"), 0), (tmp_path / "other", STEPS - 1)]:
        model = VideoModel(inspect_folder(place), torch.device("cpu"), Settings(), previews)
        model.load(lambda *_: None)
        assert len(render(model, request("wan-14b")).stills) == known
    other = inspect_folder(folders("wan-5b"))
    assert previews.of(other).frames_to_learn


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[] if one == "cogvideox" else pytest.mark.slow) for one in FAMILIES],
)
def test_every_legal_length_comes_out_as_asked(folders, models, name):
    table = {"engine": "diffusers", "path": str(folders(name))}
    legal = Models({"mine": table}).entry("mine").capabilities.lengths
    for frames in legal.values[:4]:
        assert len(render(models(name), request(name, frames=frames, steps=2)).frames) == frames


@pytest.mark.parametrize("name", ["wan-5b", "wan-14b", "ltx-video", "cogvideox", "kandinsky"])
def test_an_image_is_a_clip_of_one_frame(models, name):
    assert len(render(models(name), request(name, frames=1)).frames) == 1


@pytest.mark.parametrize("name", ["wan-5b", "ltx-video", "ltx2", "kandinsky", "wan-14b-image"])
def test_a_first_frame_changes_the_clip(models, name):
    red = render(models(name), request(name, image=picture("red"))).frames
    blue = render(models(name), request(name, image=picture("blue"))).frames

    assert red.shape == blue.shape
    assert not np.array_equal(red, blue)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(tiny_models.IMAGE_BUILDERS))
def test_weights_for_images_alone_make_clips_of_the_size_that_is_asked_for(tmp_path, name):
    tiny_models.build(name, builders=tiny_models.IMAGE_BUILDERS).save_pretrained(tmp_path)
    verify_parts(inspect_folder(tmp_path))
    model = load(tmp_path)

    def seen(colour="red", width=32):
        return render(model, request(name, image=picture(colour), width=width))

    first = seen()
    assert first.frames.shape == (request(name).frames, 16, 32, 3)
    assert seen(width=16).frames.shape[2] == 16
    with pytest.raises(Stop):
        render(model, request(name, image=picture()), on_step=stop)
    again = seen()
    assert np.array_equal(first.frames, again.frames)
    assert len(again.steps) == STEPS
    assert again.stills
    assert not np.array_equal(first.frames, seen("blue").frames)


def stop(_done):
    raise Stop


@pytest.mark.parametrize("name", ["ltx-video", "ltx2", "wan-14b-image"])
def test_a_last_frame_changes_the_clip(models, name):
    red, blue = (
        render(models(name), request(name, image=picture(), last=picture(colour), seed=1)).frames
        for colour in ("black", "white")
    )
    assert not np.array_equal(red, blue)


def test_reference_pictures_change_the_clip_as_strongly_as_asked(models):
    model = models("wan-vace")
    plain = request("wan-vace", seed=3)

    def frames(colour, weight=1.0, **changes):
        one = (picture(colour, (600, 30)),)
        wanted = replace(plain, references=one, reference_weight=weight, **changes)
        return render(model, wanted).frames.astype(int)

    red, blue = frames("red"), frames("blue")
    assert red.shape == (9, 16, 16, 3)
    assert np.array_equal(red, frames("red"))
    apart = np.abs(red - blue).mean()
    assert apart > np.abs(frames("red", 0.2) - frames("blue", 0.2)).mean() > 0
    assert np.array_equal(frames("red", 0.0), frames("blue", 0.0))
    assert len(frames("red", frames=1)) == 1
    assert not np.array_equal(red, render(model, plain).frames)


@pytest.mark.parametrize("name", ["wan-5b", "ltx-video", "ltx2"])
def test_text_and_image_share_one_set_of_weights_and_their_precision(models, name):
    model = models(name)
    text = render(model, request(name)).frames
    render(model, request(name, image=picture()))

    pipelines = list(model._pipelines.values())
    assert len({id(pipeline.transformer) for pipeline in pipelines}) == 1
    assert len(pipelines) >= 2
    assert np.array_equal(text, render(model, request(name)).frames)


@pytest.mark.parametrize("name", ["wan-5b", "wan-14b"])
def test_a_negative_prompt_changes_the_clip(models, name):
    plain = render(models(name), request(name)).frames
    assert not np.array_equal(plain, render(models(name), request(name, negative="blue")).frames)


@pytest.mark.parametrize(
    "name", ["wan-14b", pytest.param("hunyuan-1.5", marks=pytest.mark.slow), "mochi"]
)
def test_guidance_changes_the_clip(models, name):
    plain = render(models(name), request(name)).frames
    assert not np.array_equal(plain, render(models(name), request(name, guidance=9.0)).frames)


@pytest.mark.parametrize("name", ["wan-5b", "wan-14b"])
def test_frames_of_wan_come_while_it_decodes(models, name):
    pieces = render(models(name), request(name)).pieces
    assert [len(piece.frames) for piece in pieces] == [1, 4, 4]


@pytest.mark.parametrize(("name", "rate", "channels"), [("ltx2", 16000, 2), ("kandinsky", 8000, 1)])
def test_sound_comes_with_the_first_frames_and_is_as_long(models, name, rate, channels):
    seen = render(models(name), request(name))

    assert seen.sound.rate == rate
    assert seen.sound.samples.shape[0] == channels
    assert seen.sound.samples.dtype == np.float32
    assert all(piece.sound is None for piece in seen.pieces[1:])


def test_sound_can_be_left_out(models):
    assert render(models("kandinsky"), request("kandinsky", sound=False)).sound is None
    assert render(models("ltx2"), request("ltx2", sound=False)).sound is None


def test_both_experts_of_wan_14b_are_used(models):
    model = models("wan-14b")
    used = set()
    pipeline = model.pipeline_for(request("wan-14b"))
    hooks = [
        getattr(pipeline, part).register_forward_pre_hook(lambda *_, part=part: used.add(part))
        for part in ("transformer", "transformer_2")
    ]
    render(model, request("wan-14b"))
    for hook in hooks:
        hook.remove()
    assert used == {"transformer", "transformer_2"}


@pytest.mark.parametrize("placement", [Placement.MODEL_OFFLOAD, Placement.GROUP_OFFLOAD])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in {"wan-14b", "ltx2"} else pytest.mark.slow)
        for name in FAMILIES
    ],
)
def test_offloading_changes_nothing(folders, models, name, placement):
    plain = render(models(name), request(name)).frames
    model = load(folders(name))
    for _ in range(2):
        frames = render(model, request(name), plan=Plan(placement=placement)).frames
        assert np.abs(frames.astype(int) - plain).max() <= 1


def test_tiles_and_eight_bits_make_a_clip_too(folders):
    model = load(folders("wan-5b"))
    seen = render(model, request("wan-5b"), plan=PLANS[-1])
    assert seen.frames.shape == (9, 32, 32, 3)
