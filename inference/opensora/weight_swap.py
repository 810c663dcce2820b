"""Weight swapping between host and device memory.

The module stays the same object. Weights of a GPU are copied from page-locked host memory, one
allocation per set, because torch's pinned allocator rounds each tensor up to a power of two. On the
CPU nothing is copied.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
import torch

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from torch import Tensor, nn

_log = structlog.get_logger(__name__)

_ALIGNMENT = 256
"""Bytes to which tensors are aligned within their allocation."""

ONLY = "weights"
"""Name of the set of a network that has only one."""


class Resident:
    """A module with several sets of weights, at most one of which is on the device."""

    def __init__(self, module: nn.Module, device: torch.device, *, name: str = ONLY) -> None:
        """Wrap a module on the CPU; its weights become the first set.

        Args:
            module: Loaded and frozen module.
            device: Device on which it runs.
            name: Name of its set of weights.
        """
        self.module = module
        self.device = device
        self._parameters: dict[str, Tensor] = module.state_dict(keep_vars=True)
        self._sets: dict[str, dict[str, Tensor]] = {}
        self._present: str | None = None
        self.add(name, module)

    def add(self, name: str, other: nn.Module) -> None:
        """Take the weights of another module of the same shape as a set, and its memory."""
        if self.device.type == "cuda":
            self._sets[name] = pin_tensors(other.state_dict(keep_vars=True))
        else:
            self._sets[name] = other.state_dict()

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the sets of weights."""
        return tuple(self._sets)

    def ready(self, name: str = ONLY) -> bool:
        """Return whether a set is on the device."""
        return self._present == name

    # The caller may be in inference mode, and tensors created in it cannot be written outside.
    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def bring(self, name: str = ONLY) -> None:
        """Copy a set to the device, unless it is there."""
        if self._present == name:
            return
        self._present = None  # stays None if the copy runs out of memory
        for key, parameter in self._parameters.items():
            source = self._sets[name][key]
            if parameter.is_cuda:
                parameter.data.copy_(source, non_blocking=True)
            else:
                parameter.data = source.to(self.device, non_blocking=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._present = name

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def leave(self) -> None:
        """Remove the weights from the device and free its memory."""
        self._present = None
        waiting = next(iter(self._sets.values()))
        for key, parameter in self._parameters.items():
            parameter.data = waiting[key]


@torch.no_grad()
def pin_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move tensors to one page-locked allocation, keeping their layouts; shared ones once.

    Each leaves the memory that it was in as soon as it is copied, and pages are locked at the end:
    a machine that has room for the weights once can load them. If the system refuses page-locking,
    the memory is ordinary and slower to copy from.
    """
    identities = {key: _identity(tensor) for key, tensor in weights.items()}
    starts: dict[Hashable, int] = {}
    length = 0
    for key, tensor in weights.items():
        if identities[key] not in starts:
            starts[identities[key]] = length
            length += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
    piece = torch.empty(length, dtype=torch.uint8)
    copies: dict[Hashable, Tensor] = {}
    for key, tensor in weights.items():
        identity = identities[key]
        if identity not in copies:
            flat = piece[starts[identity] : starts[identity] + tensor.nbytes].view(tensor.dtype)
            copies[identity] = flat.as_strided(tensor.shape, tensor.stride()).copy_(tensor)
        tensor.data = copies[identity]
    lock(piece)
    return {key: copies[identity] for key, identity in identities.items()}


def _identity(tensor: Tensor) -> Hashable:
    """Return a key that two tensors have in common if they are the same numbers in memory."""
    storage = tensor.untyped_storage()._cdata  # noqa: SLF001 - as torch compares storages
    return storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def lock(piece: Tensor) -> None:
    """Page-lock a tensor's memory, and unlock it when the tensor is freed."""
    cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    failed = cudart.cudaHostRegister(piece.data_ptr(), piece.nbytes, 0)
    if int(failed):
        _log.warning("weights.not_page_locked", bytes=piece.nbytes, error=int(failed))
        forget_error()
        return
    unlock = weakref.finalize(piece.untyped_storage(), cudart.cudaHostUnregister, piece.data_ptr())
    unlock.atexit = False  # unlocked by the end of the process


def forget_error() -> None:
    """Clear CUDA's last error after a failed call, which the next launch would report.

    torch offers no direct call, so this launches a kernel. A permanent error is reported again by
    the next operation.
    """
    with suppress(RuntimeError):
        torch.ones(1, device="cuda")
