"""Linear layers in FP8 (e4m3), which recent GPUs multiply twice as fast as 16-bit numbers.

Weights are stored as before; rows of both factors are quantised at each product, so no FP8 copy has
to be stored or updated when weights are swapped. Devices without FP8 compute the definition:
products of the rounded numbers in fp32. (Formats: "FP8 Formats for Deep Learning",
arXiv:2209.05433.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inference.opensora.config import FP8_ROWS

FIRST_CAPABILITY = (8, 9)
"""Lowest compute capability with FP8 matrix products."""

_FP8 = torch.float8_e4m3fn
_LARGEST = torch.finfo(_FP8).max
_LEAST_ROWS = 8192
"""With fewer rows, quantising the weights costs more time than the product saves."""
_TOLERANCE = 0.05
"""Largest allowed relative error of a product of random numbers."""


class FP8Linear(nn.Linear):
    """A linear layer that computes in FP8 when `use_fp8` has switched it on."""

    in_fp8 = False

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., in_features] to [..., out_features]."""
        if not self.in_fp8 or x.numel() < _LEAST_ROWS * self.in_features:
            return super().forward(x)
        flat = x.flatten(0, -2)
        out = flat.new_empty(len(flat), self.out_features)
        multiply = multiply_rows if x.is_cuda else multiply_rows_reference
        weight, weight_scale = quantize_rows(self.weight)
        for start in range(0, len(flat), FP8_ROWS):
            rows, scale = quantize_rows(flat[start : start + FP8_ROWS])
            out[start : start + FP8_ROWS] = multiply(rows, scale, weight, weight_scale, out.dtype)
        return torch.unflatten(out.add_(self.bias), 0, x.shape[:-1])


def use_fp8(network: nn.Module, *, on: bool) -> None:
    """Switch FP8 on or off for all linear layers of a network."""
    for module in network.modules():
        if isinstance(module, FP8Linear):
            module.in_fp8 = on


def uses_fp8(network: nn.Module) -> bool:
    """Return whether FP8 is switched on for a network."""
    return any(isinstance(module, FP8Linear) and module.in_fp8 for module in network.modules())


def is_supported(device: torch.device) -> bool:
    """Return whether a device, its driver and libraries support FP8, by trying a product."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < FIRST_CAPABILITY:
        return False
    left, right = torch.randn(2, 256, 256, device=device, dtype=torch.bfloat16)
    try:
        found = multiply_rows(*quantize_rows(left), *quantize_rows(right), torch.bfloat16)
    except (RuntimeError, ValueError):  # torch refuses with either
        return False
    expected = left.float() @ right.float().t()
    return bool((found - expected).norm() < _TOLERANCE * expected.norm())


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise the rows of x [rows, width] to FP8; returns them and their fp32 scales [rows, 1]."""
    peak = torch.linalg.vector_norm(x, torch.inf, dim=-1, keepdim=True, dtype=torch.float32)
    scale = peak.clamp_min(torch.finfo(torch.float32).tiny * _LARGEST) / _LARGEST
    # One pass over memory. No clamp is needed: quotients exceed the largest FP8 value by rounding
    # errors only, and round to it.
    return torch.div(x, scale, out=torch.empty_like(x, dtype=_FP8)), scale


def multiply_rows(
    left: Tensor, left_scale: Tensor, right: Tensor, right_scale: Tensor, dtype: torch.dtype
) -> Tensor:
    """Multiply quantised rows on the GPU, [m, width] and [n, width] to [m, n]."""
    return torch._scaled_mm(  # noqa: SLF001 - the only name that torch 2.11 has for it
        left,
        right.t(),
        scale_a=left_scale,
        scale_b=right_scale.t(),
        out_dtype=dtype,
        use_fast_accum=True,
    )


def multiply_rows_reference(
    left: Tensor, left_scale: Tensor, right: Tensor, right_scale: Tensor, dtype: torch.dtype
) -> Tensor:
    """Reference implementation of `multiply_rows`."""
    return ((left.float() * left_scale) @ (right.float() * right_scale).t()).to(dtype)
