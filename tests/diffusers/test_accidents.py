"""After any accident the next clip is the same as without it."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from inference.device_errors import BROKEN
from inference.diffusers_pipelines.memory_plan import PLANS, Placement, Plan
from inference.domain.errors import Cancelled, EngineError
from tests.diffusers import tiny_models
from tests.diffusers.renders import STEPS, Stop, load, picture, render, request

pytestmark = [
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),
    pytest.mark.filterwarnings("ignore:CPU Autocast:UserWarning"),
]
FAMILIES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in {"hunyuan-1.5", "kandinsky"} else [])
    for name in tiny_models.BUILDERS
]


@pytest.fixture
def plain(models):
    def frames(name):
        return render(models(name), request(name)).frames

    return frames


def checks_of(model, wanted):
    """How often a render looks whether it is cancelled."""
    count = [0]

    def check():
        count[0] += 1

    render(model, wanted, check=check)
    return count[0]


def stop_at(number):
    """Return a check that stops at its nth call."""
    count = [0]

    def check():
        count[0] += 1
        if count[0] == number:
            raise Cancelled

    return check


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.cases(2)
def test_cancelled_at_each_step(models, plain, name):
    expected = plain(name)

    for step in range(1, STEPS + 1):

        def on_step(done, step=step):
            if done == step:
                raise Stop

        with pytest.raises(Stop):
            render(models(name), request(name, seed=99), on_step=on_step)
    assert np.array_equal(expected, plain(name))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.cases(2)
def test_cancelled_anywhere_inside(models, plain, name):
    """At the first check, in the text encoder, inside a step, and while it decodes."""
    expected = plain(name)
    wanted = request(name, seed=99)
    models(name).memory.clear()
    places = checks_of(models(name), wanted)

    assert places > 3 * STEPS
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        models(name).memory.clear()
        with pytest.raises(Cancelled):
            render(models(name), wanted, check=stop_at(1 + int(share * (places - 1))))
    assert np.array_equal(expected, plain(name))


def test_cancelled_inside_a_step_before_the_step_is_done(models):
    steps = []
    model = models("wan-14b")
    inside = [False]
    hook = model.pipeline_for(request("wan-14b")).transformer.register_forward_pre_hook(
        lambda *_: inside.__setitem__(0, True)
    )

    def check():
        if inside[0]:
            raise Cancelled

    with pytest.raises(Cancelled):
        render(model, request("wan-14b"), check=check, on_step=steps.append)
    hook.remove()
    assert not steps


def test_whoever_stops_taking_frames_stops_the_render(models, plain):
    expected = plain("wan-5b")
    chunks = models("wan-5b").render(request("wan-5b", frames=41))
    next(chunks)
    chunks.close()

    assert not [thread for thread in threading.enumerate() if thread.name == "diffusers"]
    assert np.array_equal(expected, plain("wan-5b"))


@pytest.mark.parametrize("placement", list(Placement))
@pytest.mark.cases(1)
def test_cancelled_while_memory_is_saved(folders, plain, placement):
    model = load(folders("wan-14b"))
    plan = Plan(placement=placement)
    expected = render(model, request("wan-14b"), plan=plan).frames

    for place in (5, 25):
        with pytest.raises(Cancelled):
            render(model, request("wan-14b", seed=9), check=stop_at(place), plan=plan)
    assert np.array_equal(expected, render(model, request("wan-14b"), plan=plan).frames)
    assert np.abs(expected.astype(int) - plain("wan-14b")).max() <= 1


def test_cancelled_with_a_cache_on(models):
    from diffusers import FirstBlockCacheConfig

    model = models("wan-14b")
    pipeline = model.pipeline_for(request("wan-14b"))
    for part in (pipeline.transformer, pipeline.transformer_2):
        part.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    try:
        expected = render(model, request("wan-14b")).frames
        with pytest.raises(Cancelled):
            render(model, request("wan-14b", seed=9), check=stop_at(25))
        assert np.array_equal(expected, render(model, request("wan-14b")).frames)
    finally:
        for part in (pipeline.transformer, pipeline.transformer_2):
            part.disable_cache()


def broken(module, make):
    """Make every forward of a module give something else, or raise."""
    return module.register_forward_hook(make)


def nan(_module, _args, out):
    if isinstance(out, tuple):
        return (out[0] * float("nan"), *out[1:])
    return out * float("nan")


@pytest.mark.parametrize(("part", "stage"), [("transformer", "latents"), ("vae.decoder", "frames")])
@pytest.mark.parametrize("name", ["wan-5b", "ltx-video", "cogvideox"])
@pytest.mark.cases(2)
def test_numbers_that_are_none_end_the_render(models, plain, name, part, stage):
    expected = plain(name)
    pipeline = models(name).pipeline_for(request(name))
    hook = broken(_sub(pipeline, part), nan)

    with pytest.raises(EngineError) as caught:
        render(models(name), request(name))
    hook.remove()

    assert caught.value.code == "worker.not_finite"
    assert caught.value.code in BROKEN
    assert caught.value.params["stage"] == stage
    assert np.array_equal(expected, plain(name))


def test_a_prompt_that_was_encoded_to_no_numbers_is_encoded_anew(models, plain):
    model = models("wan-5b")
    expected = plain("wan-5b")
    model.memory.clear()
    encoder = model.pipeline_for(request("wan-5b")).text_encoder

    def broken_half(_module, _args, out):
        return type(out)(last_hidden_state=out.last_hidden_state * float("nan"))

    hook = broken(encoder, broken_half)
    with pytest.raises(EngineError, match=r"worker\.not_finite"):
        render(model, request("wan-5b"))
    hook.remove()
    assert np.array_equal(expected, plain("wan-5b"))


def _sub(pipeline, path):
    found = pipeline
    for name in path.split("."):
        found = getattr(found, name)
    return found


def test_sound_that_is_no_number_ends_the_render(models, plain):
    expected = plain("ltx2")
    vocoder = models("ltx2").pipeline_for(request("ltx2")).vocoder
    hook = broken(vocoder, nan)
    with pytest.raises(EngineError, match=r"worker\.not_finite.*sound"):
        render(models("ltx2"), request("ltx2"))
    hook.remove()
    assert np.array_equal(expected, plain("ltx2"))


def out_of_memory(_module, _args, _out):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("part", ["text_encoder", "transformer", "vae.decoder"])
@pytest.mark.parametrize("name", ["wan-5b", "ltx2"])
@pytest.mark.cases(2)
def test_out_of_memory_is_said_and_passes(models, plain, name, part):
    expected = plain(name)
    wanted = request(name, prompt=f"not yet encoded {part}")
    hook = broken(_sub(models(name).pipeline_for(wanted), part), out_of_memory)
    with pytest.raises(EngineError, match=r"worker\.out_of_memory"):
        render(models(name), wanted)
    hook.remove()
    assert np.array_equal(expected, plain(name))


PHASES = [
    ("wan-14b", "text_encoder"),
    ("wan-14b", "transformer"),
    ("wan-14b", "transformer_2"),
    ("wan-14b", "vae.decoder"),
    ("wan-14b-image", "vae.encoder"),
    ("ltx2", "connectors"),
    ("ltx2", "vae.decoder"),
    ("ltx2", "vocoder"),
    ("kandinsky", "transformer"),
]


@pytest.mark.slow
@pytest.mark.process
def test_after_out_of_memory_in_any_phase_frames_are_those_of_a_fresh_process(folders, tmp_path):
    names = sorted({name for name, _ in PHASES})
    code = (
        "import sys, numpy, torch; torch.set_num_threads(1);"
        "from pathlib import Path; from tests.diffusers.renders import load, render, request;"
        "[numpy.save(f'{sys.argv[1]}/{one.split(chr(61))[0]}.npy',"
        " render(load(Path(one.split(chr(61))[1])), request(one.split(chr(61))[0])).frames)"
        " for one in sys.argv[2:]]"
    )
    given = [f"{name}={folders(name)}" for name in names]
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *given], check=True)
    for name, part in PHASES:
        model = load(folders(name))
        hook = broken(_sub(model.pipeline_for(request(name)), part), out_of_memory)
        with pytest.raises(EngineError, match=r"worker\.out_of_memory"):
            render(model, request(name, seed=5))
        hook.remove()
        fresh = np.load(tmp_path / f"{name}.npy")
        assert np.array_equal(render(model, request(name)).frames, fresh), part


def test_out_of_memory_leads_to_a_stronger_plan_on_a_gpu(folders, monkeypatch):
    model = load(folders("wan-5b"))
    monkeypatch.setattr(type(model), "_on_gpu", property(lambda _self: True))
    used = []
    apply = model.placer.apply
    monkeypatch.setattr(
        model.placer, "apply", lambda pipe, plan: (used.append(plan), apply(pipe, plan))[1]
    )
    transformer = model.pipeline_for(request("wan-5b")).transformer

    def twice(module, args, out):
        if len(used) <= 2:
            out_of_memory(module, args, out)

    hook = broken(transformer, twice)
    seen = render(model, request("wan-5b"))
    hook.remove()

    assert used == list(PLANS[:3])
    assert len(seen.frames) == 9


@pytest.mark.parametrize(
    ("changes", "nearest"),
    [
        ({"width": 40}, {"nearest": "32x32", "frames": 9}),
        ({"height": 56}, {"nearest": "32x64", "frames": 9}),
        ({"frames": 10}, {"nearest": "32x32", "frames": 9}),
        ({"frames": 12}, {"nearest": "32x32", "frames": 13}),
        ({"frames": 0}, {"nearest": "32x32", "frames": 1}),
    ],
)
def test_what_is_off_the_grid_is_refused_with_the_nearest(models, changes, nearest):
    with pytest.raises(EngineError) as caught:
        render(models("wan-5b"), request("wan-5b", **changes))
    assert caught.value.code == "folder.off_grid"
    assert nearest.items() <= caught.value.params.items()


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("wan-14b", {"image": picture()}, "folder.text_only"),
        ("mochi", {"image": picture()}, "folder.text_only"),
        ("wan-14b-image", {"image": None}, "folder.image_only"),
        ("wan-5b", {"image": picture(), "last": picture()}, "folder.no_last"),
        ("kandinsky", {"image": picture(), "last": picture()}, "folder.no_last"),
    ],
)
def test_what_the_weights_cannot_do_is_said(models, name, changes, code):
    with pytest.raises(EngineError) as caught:
        render(models(name), request(name, **changes))
    assert caught.value.code == code


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_old_ltx_with_a_schedule_by_size_takes_a_last_frame(folders, tmp_path):
    place = shutil.copytree(folders("ltx-video"), tmp_path / "model")
    config = place / "scheduler" / "scheduler_config.json"
    changes = {"use_dynamic_shifting": True, "shift_terminal": 0.1}
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    model = load(place)
    for given in ({}, {"image": picture(), "last": picture("blue")}, {}):
        assert render(model, request("ltx-video", **given)).steps[-1] == (3, 3)
    assert model.pipeline_for(request("ltx-video")).scheduler.config.use_dynamic_shifting


def test_a_switch_to_another_model_and_back(folders):
    first = render(load(folders("wan-5b")), request("wan-5b")).frames
    render(load(folders("ltx2")), request("ltx2"))
    again = render(load(folders("wan-5b")), request("wan-5b")).frames
    assert np.abs(first.astype(int) - again).max() <= 1
