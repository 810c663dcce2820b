"""Winograd convolution over time, with half the multiplications: minimal filtering F(4, 3).

Four output frames of a convolution with three taps in time need twelve 2-D convolutions. Winograd
needs six: six input frames are transformed (`_MIXED`), convolved in space with transformed kernels
(`_KERNELS`), and transformed back (`_FRAMES`). This multiplies polynomials by their values at
0, 1, -1, 2, -2 and infinity (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks",
arXiv:1509.09308). Results are the same but for rounding.

It is faster on CPUs, where nano's convolutions are bound by multiplications.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TOGETHER = 4
"""Output frames per transform."""

_SEEN = 3
"""Size of the kernel in time."""

_MIXED = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float32,
)
_KERNELS = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
_FRAMES = torch.tensor(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
    dtype=torch.float32,
)
_AT_ONE = 1
"""Index of the value at 1, which has weight 1 in every output frame: the bias is added there."""

_CHANNELS = 16
"""Fewest channels for which the transforms cost less than they save."""


def prepare(network: nn.Module) -> None:
    """Transform the kernels of a network once; its weights must be fp32, on the CPU and frozen."""
    for conv in network.modules():
        if isinstance(conv, nn.Conv3d) and _pays(conv):
            conv.register_buffer("mixed", mix_kernels(conv.weight), persistent=False)


def prepare_kernels(conv: nn.Conv3d, x: Tensor) -> Tensor | None:
    """Return a convolution's transformed kernels, or None without them or for a short clip."""
    if x.shape[2] < TOGETHER + _SEEN - 1:
        return None
    mixed: Tensor | None = getattr(conv, "mixed", None)
    return mixed


def mix_kernels(weight: Tensor) -> Tensor:
    """Transform a kernel [O, I, 3, H, W] to [6, O, I, H, W], each channels-last."""
    mixed = torch.einsum("mk,oikhw->mohwi", _KERNELS.to(weight.device), weight.double())
    return mixed.to(weight.dtype).contiguous().movedim(-1, 2)


def convolve_groups(conv: nn.Conv3d, mixed: Tensor, x: Tensor) -> Tensor:
    """Compute the output frames in groups of four; the caller computes the remainder.

    Args:
        conv: Convolution with stride 1 and no padding in time.
        mixed: Its transformed kernels, from `mix_kernels`.
        x: Input [B, C, T, H, W], padded in time, channels-last.

    Returns:
        [B, O, T - 2, H, W]; the last (T - 2) % 4 frames are uninitialised.
    """
    batch, channels, frames, height, width = x.shape
    made = frames - (_SEEN - 1)
    out = x.new_empty(batch, made, height, width, conv.out_channels)
    # one buffer for all groups, so that it stays in the CPU cache
    inner = x.new_empty(len(_MIXED), height * width * channels)
    outer = x.new_empty(len(_MIXED), height * width * conv.out_channels)
    for sample, result in zip(x.movedim(1, -1), out, strict=True):
        seen, rows = sample.reshape(frames, -1), result.view(made, -1)
        for start in range(0, made - TOGETHER + 1, TOGETHER):
            torch.mm(_MIXED, seen[start : start + len(_MIXED)], out=inner)
            for at, (frame, kernel) in enumerate(zip(inner, mixed, strict=True)):
                found = torch.ops.aten.mkldnn_convolution(
                    frame.view(1, height, width, channels).movedim(-1, 1),
                    kernel,
                    conv.bias if at == _AT_ONE else None,
                    conv.padding[1:],
                    (1, 1),
                    (1, 1),
                    1,
                )
                outer[at] = found.movedim(1, -1).flatten()
            torch.mm(_FRAMES, outer, out=rows[start : start + TOGETHER])
    return out.movedim(-1, 1)


def _pays(conv: nn.Conv3d) -> bool:
    plain = conv.stride == (1, 1, 1) and conv.dilation == (1, 1, 1) and conv.groups == 1
    seen = conv.kernel_size[0] == _SEEN and conv.padding == (0, 1, 1)
    return plain and seen and min(conv.in_channels, conv.out_channels) >= _CHANNELS
