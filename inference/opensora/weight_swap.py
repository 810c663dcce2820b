"""Weight swapping between host and device memory.

The module stays the same object, so compiled code stays valid. On a device of its own, weights
come over from page-locked memory; on the CPU nothing is copied at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

ONLY = "weights"
"""Name of the set of a network that has but one."""


class Resident:
    """A module with several sets of weights, one of which is loaded at a time."""

    def __init__(self, module: nn.Module, device: torch.device, *, name: str = ONLY) -> None:
        """Take over a module on the CPU; its weights become the first set.

        Args:
            module: Loaded and frozen.
            device: Where it runs.
            name: Of the set of weights that it has.
        """
        self.module = module
        self.device = device
        self._slots: dict[str, Tensor] = module.state_dict(keep_vars=True)
        self._sets: dict[str, dict[str, Tensor]] = {}
        self._present: str | None = None
        self.add(name, module)

    def add(self, name: str, other: nn.Module) -> None:
        """Keep the weights of another module of the same shape as one more set."""
        locked = self.device.type == "cuda"
        self._sets[name] = {
            key: tensor.pin_memory() if locked else tensor
            for key, tensor in other.state_dict().items()
        }

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the sets of weights."""
        return tuple(self._sets)

    def ready(self, name: str = ONLY) -> bool:
        """Return whether a set is on the device already."""
        return self._present == name

    # The caller may be in inference mode, whose tensors could not be written to outside of it.
    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def bring(self, name: str = ONLY) -> None:
        """Bring a set onto the device, unless it is there."""
        if self._present == name:
            return
        self._present = None  # also if memory runs out on the way
        for key, slot in self._slots.items():
            source = self._sets[name][key]
            if slot.is_cuda:
                slot.data.copy_(source, non_blocking=True)
            else:
                slot.data = source.to(self.device, non_blocking=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._present = name

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def leave(self) -> None:
        """Free the device's memory."""
        self._present = None
        waiting = next(iter(self._sets.values()))
        for key, slot in self._slots.items():
            slot.data = waiting[key]
