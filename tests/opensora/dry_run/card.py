"""A GPU that is not there: tensors say that they are on it, and `torch.cuda` agrees.

Devices, types, shapes and strides are real, numbers are not. Kernels, their scratch space,
fragmentation, compilers and the order of streams remain unseen.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode

from tests.opensora.dry_run.ledger import Ledger

NAME = "a GPU that is not there"

_REGISTRY = "_ZN3c104impl26device_guard_impl_registryE"
"""Private: torch's table of what enters and leaves a device, by the number of its kind."""
_KINDS = 21

_NUMPY = {torch.uint8: np.uint8, torch.float32: np.float32, torch.float64: np.float64}


def missing() -> str | None:
    """Say what this build of torch lacks for a GPU that is not there; None if nothing."""
    try:
        _let_in()
    except (OSError, ValueError, StopIteration) as error:
        return f"this build of torch has no table of device guards: {error}"
    return None


class Card:
    """A GPU with so much memory. In its blocks everything sees it; what happens on it is noted."""

    def __init__(self, memory_bytes: int = 10**12) -> None:
        _let_in()
        self.ledger = Ledger(memory_bytes)
        self._fakes = _Fakes(allow_non_fake_inputs=True)

    @contextmanager
    def present(self) -> Iterator[None]:
        """Let the GPU be there in the block; what it holds is there again in the next one."""
        with ExitStack() as stack:
            stack.enter_context(self._fakes)
            # torch 2.11 touches a GPU before the first fake tensor on it
            unneeded = mock.patch.object(fake_tensor, "init_gpu_context", create=True)
            stack.enter_context(unneeded)
            # builds for CUDA would ask its libraries, and record graphs
            stack.enter_context(mock.patch.object(torch.version, "cuda", None))
            stack.enter_context(mock.patch.object(torch.backends.cuda, "is_built", bool))
            for name, stand_in in _cuda(self.ledger).items():
                stack.enter_context(mock.patch.object(torch.cuda, name, stand_in))
            stack.enter_context(self.ledger)
            stack.enter_context(_Unfakeable())
            yield


def _let_in() -> None:
    """Let a build without CUDA enter GPUs as it enters meta tensors: by doing nothing.

    Builds with CUDA, and machines with a GPU, do it by themselves.
    """
    if torch.version.cuda or torch.version.hip:
        return
    kinds = torch._C._autograd.DeviceType
    folder = Path(torch.__file__).parent / "lib"
    library = ctypes.CDLL(str(next(folder.glob("libc10.*"))))
    guards = (ctypes.c_void_p * _KINDS).in_dll(library, _REGISTRY)
    if not guards[kinds.CUDA.value]:
        guards[kinds.CUDA.value] = guards[kinds.Meta.value]


def _cuda(ledger: Ledger) -> dict[str, object]:
    def properties(*_: object) -> SimpleNamespace:
        return SimpleNamespace(name=NAME, total_memory=ledger.memory_bytes, major=9, minor=0)

    class Event:
        """The end of a step; the ledger hears of who waits for it."""

        def __init__(self, **_options: bool) -> None:
            self._step = 0

        def record(self, _stream: object = None) -> None:
            self._step = ledger.steps + 1

        def synchronize(self) -> None:
            ledger.awaited = max(ledger.awaited, self._step)

    return {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": properties,
        "get_device_name": lambda *_: NAME,
        "get_device_capability": lambda *_: (9, 0),
        "mem_get_info": lambda *_: (ledger.memory_bytes - ledger.alive, ledger.memory_bytes),
        "memory_reserved": lambda *_: ledger.alive,
        "max_memory_allocated": lambda *_: ledger.peak,
        "reset_peak_memory_stats": lambda *_: None,
        "empty_cache": lambda: None,
        "synchronize": lambda *_: ledger.wait("synchronize"),
        "is_current_stream_capturing": lambda: False,
        "Event": Event,
    }


class _Fakes(FakeTensorMode):
    avoid_device_init = True
    """Whatever `torch.cuda` says."""


class _Unfakeable(TorchFunctionMode):
    """What fake tensors cannot do by themselves, because it never becomes an operation."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        args = tuple(map(_numbered, args))
        kwargs = {name: _numbered(value) for name, value in (kwargs or {}).items()}
        if func == torch.Tensor.data.__set__:  # refused from one device to another
            slot, source = args
            slot.fake_device = source.device
            slot.dry_data = source  # so that its memory lives as long as it would
            return None
        if func is torch.tensor and (device := kwargs.pop("device", None)) is not None:
            made = func(*args, **kwargs)
            return torch.empty(made.shape, dtype=made.dtype).to(device)
        if func is torch.Tensor.numpy and isinstance(args[0], FakeTensor):
            tensor = args[0]
            if tensor.device.type != "cpu":
                raise TypeError(f"numpy() of a tensor on {tensor.device}")
            return np.zeros(tuple(tensor.shape), _NUMPY[tensor.dtype])
        return func(*args, **kwargs)


def _numbered(value: object) -> object:
    """Give a GPU its number: the guard of meta tensors knows of none."""
    if isinstance(value, torch.device | str) and str(value) == "cuda":
        return torch.device("cuda", 0)
    return value
