"""Switch between Triton kernels and their reference implementations in plain torch.

Kernels run on CUDA, if Triton can be imported and `backends.choose_kernels` found that they agree
with their definitions. CPUs, training, and machines without the C compiler that Triton needs use
plain torch.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

_kernels: ModuleType | None = None


def kernels(x: Tensor) -> ModuleType | None:
    """Return the module `kernels` if it should be used for x, else None."""
    if _kernels is None or not x.is_cuda or torch.is_grad_enabled():
        return None
    return _kernels


def uses_kernels() -> bool:
    """Return whether Triton kernels are switched on in this process."""
    return _kernels is not None


def use_kernels(*, on: bool) -> None:
    """Switch Triton kernels on or off in this process.

    Raises:
        ImportError: Triton is not installed.
    """
    global _kernels  # noqa: PLW0603 - one choice per process
    _kernels = import_module("inference.opensora.networks.kernels") if on else None
