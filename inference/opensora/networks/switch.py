"""Switch between Triton kernels and their reference implementations in plain torch.

Kernels run on CUDA, where Triton can be imported and has shown on small tensors that it computes
what the definitions do. Everything else runs plain: CPUs, training, and a machine without a C
compiler, which Triton needs to reach the GPU.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

_kernels: ModuleType | None = None


def kernels(x: Tensor) -> ModuleType | None:
    """Return the module `kernels` if it is to work on x, else None."""
    if _kernels is None or not x.is_cuda or torch.is_grad_enabled():
        return None
    return _kernels


def uses_kernels() -> bool:
    """Return whether they were chosen for this process."""
    return _kernels is not None


def use_kernels(*, on: bool) -> None:
    """Choose for this process.

    Raises:
        ImportError: Triton is not installed.
    """
    global _kernels  # noqa: PLW0603 - one choice per process
    _kernels = import_module("inference.opensora.networks.kernels") if on else None
