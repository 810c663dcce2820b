"""What a worker knows of its GPU, with a stub in the place of torch."""

import sys

import pytest

from inference.domain.device import CPU, Device
from inference.domain.errors import EngineError, UserError
from inference.engines.base import Footprint
from inference.engines.built_in import OPENSORA_FOOTPRINT
from inference.engines.device import available, probe
from inference.engines.memory_plan import (
    DRIVER_BYTES,
    RESERVE_BYTES,
    ClipShape,
    Saving,
    peak_bytes,
    saving_for,
    saving_in,
)
from tests.fakes.models import MODELS
from tests.fakes.orders import a_spec

GB = 10**9

STUB = """
import warnings
from types import SimpleNamespace

class cuda:
    @staticmethod
    def is_available():
        {asked}
    get_device_properties = staticmethod(
        lambda _: SimpleNamespace(name="NVIDIA Stub", total_memory=24 * 10**9)
    )
    mem_get_info = staticmethod(lambda _: (9 * 10**9, 24 * 10**9))
    memory_reserved = staticmethod(lambda _: 5 * 10**9)
"""


@pytest.fixture
def torch(tmp_path, monkeypatch):
    """Put a stub of torch in place, whose `is_available` runs the given line."""

    def put(asked):
        (tmp_path / "torch.py").write_text(STUB.format(asked=asked))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "torch", raising=False)

    yield put
    sys.modules.pop("torch", None)


def test_what_others_use_of_the_gpu_is_not_available(torch):
    torch("return True")
    assert probe() == Device(name="NVIDIA Stub", memory_bytes=24 * GB)
    assert available() == Device(name="NVIDIA Stub", memory_bytes=14 * GB)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("return False", None),
        (
            "warnings.warn('The NVIDIA driver on your system is too old'); return False",
            "gpu.driver_too_old",
        ),
        ("raise RuntimeError('No CUDA GPUs are available')", "gpu.missing"),
        (
            "raise RuntimeError('Failed to initialize NVML: Driver/library version mismatch')",
            "gpu.driver_mismatch",
        ),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_explained_as_torch_does(torch, asked, problem):
    torch(asked)
    device = probe()
    assert (device.name, device.problem) == (CPU, problem)


def test_a_missing_gpu_is_not_a_clip_that_does_not_fit():
    small = Device(name=CPU, memory_bytes=8 * GB)
    spec = a_spec(model="opensora", frames=97)
    with pytest.raises(UserError) as caught:
        saving_for(spec, MODELS.capabilities("opensora"), OPENSORA_FOOTPRINT, small)
    assert caught.value.code == "gpu.needed"

    unseen = Device(name=CPU, memory_bytes=8 * GB, problem="gpu.driver_too_old")
    with pytest.raises(UserError, match=r"gpu\.driver_too_old"):
        saving_for(spec, MODELS.capabilities("opensora"), OPENSORA_FOOTPRINT, unseen)


def test_memory_is_planned_from_what_is_free():
    gpu = Device(name="NVIDIA Stub", memory_bytes=80 * GB)
    model, spec = MODELS.capabilities("opensora"), a_spec(model="opensora", frames=97)
    footprint = OPENSORA_FOOTPRINT
    assert isinstance(footprint, Footprint)

    def planned(free):
        return saving_in(spec, model, footprint, gpu, Device(name=gpu.name, memory_bytes=free * GB))

    plans = [planned(free) for free in (80, 30, 20, 18, 16)]
    assert plans == sorted(plans)
    assert plans[0] is Saving.RESIDENT
    assert plans[-1] > Saving.RESIDENT
    with pytest.raises(EngineError) as caught:
        planned(2)
    assert (caught.value.code, caught.value.transient) == ("memory.in_use", True)
    assert caught.value.params == {"free": 2, "there": 80}


@pytest.mark.parametrize("saving", Saving)
def test_what_just_fits_an_empty_gpu_fits_beside_the_driver_too(saving):
    model, spec = MODELS.capabilities("opensora"), a_spec(model="opensora", frames=97)
    needed = peak_bytes(OPENSORA_FOOTPRINT, ClipShape.of(spec, model), saving) + RESERVE_BYTES
    gpu = Device(name="NVIDIA Stub", memory_bytes=needed)
    free = Device(name="NVIDIA Stub", memory_bytes=needed - DRIVER_BYTES)
    planned = saving_for(spec, model, OPENSORA_FOOTPRINT, gpu)
    assert saving_in(spec, model, OPENSORA_FOOTPRINT, gpu, free) is planned <= saving


def test_what_fits_no_empty_gpu_either_is_the_persons_to_change():
    gpu = Device(name="NVIDIA Stub", memory_bytes=4 * GB)
    with pytest.raises(UserError, match=r"memory\."):
        saving_in(
            a_spec(model="opensora", frames=97),
            MODELS.capabilities("opensora"),
            OPENSORA_FOOTPRINT,
            gpu,
            gpu,
        )
