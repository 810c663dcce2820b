"""Memory plans: the mildest that fits is taken, and what does not fit is said with what does."""

import json
import shutil
from dataclasses import replace

import pytest

from commands.text.messages import error_text
from inference.diffusers_pipelines.families import PRESETS
from inference.diffusers_pipelines.memory_plan import (
    PLANS,
    RESERVE_BYTES,
    Memory,
    Placement,
    Plan,
    Shape,
    choose_plan,
    decoding_bytes,
    device_bytes,
    footprint_of,
    host_bytes,
    host_memory,
    plans_of,
    predict_footprint,
    stronger,
)
from inference.domain.device import Device
from inference.domain.errors import UserError
from inference.domain.spec import Aspect, Resolution, Spec
from inference.engines.diffusers_adapter import memory_check
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.memory_check import find_footprint, plan_for
from inference.engines.diffusers_adapter.video_model import DiffusersTable, entry_of
from inference.engines.registry import Models

GB = 1_000_000_000


def planned(name, *, gpu, host=256, shape=None):
    preset = PRESETS[name]
    width, height = max(preset.sizes.values(), key=lambda size: size[0] * size[1])
    shape = shape or Shape(width=width, height=height, frames=preset.lengths.usual)
    memory = Memory(device_bytes=gpu * GB, host_bytes=host * GB)
    return choose_plan(predict_footprint(preset), preset.family, shape, memory)


@pytest.mark.parametrize("name", list(PRESETS))
def test_less_memory_never_gives_a_milder_plan(name):
    ranks = []
    for gpu in (200, 141, 80, 48, 24, 16, 12, 8, 4, 2):
        plan = planned(name, gpu=gpu)
        ranks.append(len(PLANS) if plan is None else PLANS.index(plan))
    assert ranks[0] == 0
    assert ranks == sorted(ranks)
    assert ranks[-1] == len(PLANS)


@pytest.mark.parametrize(
    ("name", "gpu", "placement"),
    [
        ("wan", 80, Placement.RESIDENT),
        ("wan", 24, Placement.MODEL_OFFLOAD),
        ("wan-small", 24, Placement.RESIDENT),
        ("wan-14b", 141, Placement.RESIDENT),
        ("wan-14b", 80, Placement.TEXT_AWAY),
        ("wan-14b", 24, Placement.GROUP_OFFLOAD),
        ("ltx", 141, Placement.RESIDENT),
        ("kandinsky", 80, Placement.RESIDENT),
    ],
)
def test_presets_on_the_gpus_that_people_have(name, gpu, placement):
    plan = planned(name, gpu=gpu)
    assert plan is not None
    assert plan.placement is placement


def test_all_weights_pass_through_the_memory_of_the_machine():
    assert planned("wan-14b", gpu=80, host=128) is not None
    assert planned("wan-14b", gpu=80, host=64) is None
    assert planned("wan", gpu=24, host=32) is not None
    assert host_bytes(predict_footprint(PRESETS["wan"])) > 22.8 * GB
    assert 10**8 < host_memory() < 10**14


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_plan_saves_something(name):
    preset = PRESETS[name]
    footprint = predict_footprint(preset)
    shape = Shape(width=832, height=480, frames=81)
    needs = [
        device_bytes(footprint, preset.family, shape, Plan(placement=one)) for one in Placement
    ]
    assert needs == sorted(needs, reverse=True)
    assert needs[-1] < needs[0]
    tiled = [decoding_bytes(footprint, shape, tiled=tiled) for tiled in (False, True)]
    assert tiled[1] < tiled[0]


def test_plans_get_stronger_until_there_is_none():
    plan, seen = PLANS[0], []
    while plan is not None:
        seen.append(plan)
        plan = stronger(plan)
    assert seen[-1] == PLANS[-1]
    placements = [one.placement for one in seen]
    assert placements == sorted(placements)


def test_the_weights_that_are_there_are_counted(folders):
    from inference.diffusers_pipelines.weights.inspection import inspect_folder

    folder = inspect_folder(folders("wan-14b"))
    footprint = footprint_of(folder, on_cpu=True)
    assert footprint.total_bytes == 4 * sum(part.numbers for part in folder.parts.values())
    assert len(footprint.transformers) == 2
    assert footprint_of(folder).text_bytes * 2 == footprint.text_bytes


def test_weights_that_cannot_leave_the_gpu_are_counted_as_they_are(folders, tmp_path):
    """Those of bitsandbytes are put there by loading, before there is a plan."""
    from inference.diffusers_pipelines.weights.inspection import inspect_folder

    place = shutil.copytree(folders("wan-14b"), tmp_path / "model")
    config = place / "text_encoder" / "config.json"
    quantized = {"quantization_config": {"load_in_8bit": True}}
    config.write_text(json.dumps(json.loads(config.read_text()) | quantized))
    folder = inspect_folder(place)
    footprint = footprint_of(folder)
    assert footprint.text_bytes == folder.parts["text_encoder"].size_bytes
    assert plans_of(footprint) == PLANS[:1]
    assert stronger(PLANS[0], plans_of(footprint)) is None
    shape = Shape(width=832, height=480, frames=81)
    needed = device_bytes(footprint, folder.family, shape, PLANS[0]) + RESERVE_BYTES
    for there, plan in ((needed, PLANS[0]), (needed - 1, None)):
        memory = Memory(device_bytes=there, host_bytes=10**12)
        assert choose_plan(footprint, folder.family, shape, memory) == plan


def asked(capabilities, **changes):
    values = {
        "prompt": "x",
        "model": capabilities.name,
        "resolution": Resolution.P720,
        "aspect": Aspect.WIDE,
        "frames": 121,
        "refine": False,
        "seed": 1,
        "steps": 50,
        "cfg": 5.0,
        "loops": 1,
    }
    return Spec(**values | changes)


@pytest.mark.parametrize(
    ("gpu", "code"),
    [(80, None), (9, "memory.too_long"), (2, "memory.too_small")],
)
def test_what_does_not_fit_is_refused_with_the_nearest_that_does(gpu, code):
    entry = entry_of("wan", DiffusersTable(), "wan")
    capabilities = capabilities_of(entry)

    def plan(spec):
        return plan_for(
            spec,
            capabilities,
            entry.family,
            find_footprint(entry),
            device=Device(name="gpu", memory_bytes=int(gpu * GB)),
            host=256 * GB,
        )

    if code is None:
        assert plan(asked(capabilities)) in PLANS
        return
    with pytest.raises(UserError) as caught:
        plan(asked(capabilities))
    assert caught.value.code == code
    if "longest" in caught.value.params:
        smaller = Resolution(caught.value.params.get("smaller", Resolution.P720))
        longest = caught.value.params["longest"]
        assert plan(asked(capabilities, resolution=smaller, frames=longest)) in PLANS


def test_a_machine_with_too_little_memory_beside_its_gpu_is_told_so():
    entry = entry_of("wan-14b", DiffusersTable(), "wan-14b")
    capabilities = capabilities_of(entry)
    with pytest.raises(UserError) as caught:
        plan_for(
            asked(capabilities, frames=81),
            capabilities,
            entry.family,
            find_footprint(entry),
            device=Device(name="gpu", memory_bytes=80 * GB),
            host=64 * GB,
        )
    assert caught.value.code == "memory.machine"
    assert caught.value.params == {"model": "Wan 2.2 14B", "needed": 73, "there": 64}


@pytest.mark.parametrize("name", ["wan", "wan-14b", "ltx"])
def test_at_submit_a_clip_that_is_too_large_is_offered_smaller(name, monkeypatch):
    """From GPU to GPU: fits, too long, too large, too small; what is offered fits."""
    monkeypatch.setattr(memory_check, "host_memory", lambda: 10**12)
    entry = Models().entry(name)
    largest = max(entry.capabilities.lengths)
    spec = asked(entry.capabilities, frames=largest, steps=8, cfg=1.0)
    codes = {}
    for tenths in range(10, 900):
        gpu = Device(name="gpu", memory_bytes=tenths * GB // 10)
        try:
            entry.check_memory(spec, gpu)
        except UserError as error:
            codes.setdefault(error.code, (gpu, error.params))
            if "longest" in error.params:
                smaller = Resolution(error.params.get("smaller", spec.resolution))
                offered = replace(spec, resolution=smaller, frames=error.params["longest"])
                entry.check_memory(offered, gpu)
                longer = [one for one in entry.capabilities.lengths if one > offered.frames]
                if longer and offered.frames < spec.frames:
                    with pytest.raises(UserError):
                        entry.check_memory(replace(offered, frames=longer[0]), gpu)
    assert list(codes) == ["memory.too_small", "memory.too_large", "memory.too_long"]
    gpu, params = codes["memory.too_large"]
    sentence = error_text(UserError("memory.too_large", **params), "en")
    assert "480p" in sentence
    assert str(params["longest"]) in sentence
