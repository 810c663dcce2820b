import os

import pytest

from inference.domain.device import Device
from inference.domain.errors import EngineError
from inference.workers.child import divide_memory
from inference.workers.devices import KnownGpu, device_environment, missing, slot_names


@pytest.mark.parametrize(
    ("devices", "names"),
    [
        (["auto"], ["auto"]),
        (["cuda:0", "cuda:1"], ["cuda:0", "cuda:1"]),
        (["cpu", "cuda:0", "cpu"], ["cpu #1", "cuda:0", "cpu #2"]),
    ],
)
def test_every_slot_has_a_name_of_its_own(devices, names):
    assert slot_names(devices) == names


@pytest.mark.parametrize(
    ("device", "environment", "bound"),
    [
        ("auto", {"CUDA_VISIBLE_DEVICES": "3"}, {}),
        ("cuda:1", {}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "4,GPU-8d"}, {"CUDA_VISIBLE_DEVICES": "GPU-8d"}),
        ("cpu", {"OMP_NUM_THREADS": "3"}, {"CUDA_VISIBLE_DEVICES": ""}),
    ],
)
def test_a_worker_sees_its_own_device_only(device, environment, bound):
    assert device_environment(device, [device, "cpu"], environment) == bound


def test_slots_on_the_cpu_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert device_environment("cpu", ["cpu", "cpu", "cuda:0"], {})["OMP_NUM_THREADS"] == "4"
    assert device_environment("cpu", ["cpu"] * 9, {})["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in device_environment("cpu", ["cpu"], {})


@pytest.mark.process
def test_a_gpu_that_is_not_there_is_missing_and_named_once():
    absent, count = missing(["cuda:99", "cpu", "cuda:99"])
    assert absent == ["cuda:99"]
    assert count < 99
    assert missing(["cpu", "auto"]) == ([], 0)


def test_a_named_gpu_is_needed_though_it_was_never_seen(tmp_path):
    gpu = KnownGpu(tmp_path / "gpu-cuda-1", "cuda:1")
    there = Device(name="cpu", memory_bytes=1)
    gpu.note(there)
    with pytest.raises(EngineError, match=r"gpu\.lost.*cuda:1"):
        gpu.check(there)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}),
        ({"PYTORCH_ALLOC_CONF": "x"}, {"PYTORCH_ALLOC_CONF": "x"}),
        ({"PYTORCH_CUDA_ALLOC_CONF": "x"}, {"PYTORCH_CUDA_ALLOC_CONF": "x"}),
    ],
)
def test_torch_extends_its_memory_unless_somebody_says_otherwise(given, expected):
    environ = dict(given)
    divide_memory(environ)
    assert environ == expected
