"""Convolutions of the VAE and what goes around them, without copies. Tensors are [B, C, T, H, W].

Where no gradient is needed, results are written over what they replace: each pass over a clip at
full size costs as much as a convolution's tenth.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.networks.normalisation import with_past

LARGEST = 2**31 - 1
"""Elements of one sample that a convolution may see: kernels count them in 32 bits, and have been
wrong beyond without a word (pytorch#163539)."""

_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it unannotated


def convolved(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """Apply a convolution, slice by slice in time where x is too large for its kernels.

    Args:
        conv: Pads nothing in time.
        x: With the frames that it needs.
    """
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    if conv.kernel_size == (1, 1, 1):
        return _pointwise(conv, x)
    side = 2 * int(conv.padding[1])
    per_frame = x.shape[1] * (x.shape[3] + side) * (x.shape[4] + side)
    frames = LARGEST // per_frame - (kernel - 1)
    if x.shape[2] - (kernel - 1) <= frames or stride != 1:
        return _convolved(conv, x)
    starts = range(0, x.shape[2] - (kernel - 1), max(frames, 1))
    pieces = [_convolved(conv, x[:, :, at : at + frames + kernel - 1]) for at in starts]
    return torch.cat(pieces, 2)


def padded_in_time(x: Tensor, past: int) -> Tensor:
    """Put zero frames before a clip."""
    if not past:
        return x
    if torch.is_grad_enabled():
        return functional.pad(x, (0, 0, 0, 0, past, 0))
    padded, room = with_past(x, past)
    room.copy_(x)
    return padded


def added(x: Tensor, other: Tensor) -> Tensor:
    """Add to a tensor that nobody else needs."""
    return x + other if torch.is_grad_enabled() else x.add_(other)


def upsampled(x: Tensor, *, time: int) -> Tensor:
    """Repeat every row and column twice and every frame `time` times."""
    last = x.movedim(1, -1)
    batch, frames, height, width, channels = last.shape
    wide = last[:, :, None, :, None, :, None].expand(
        batch, frames, time, height, 2, width, 2, channels
    )
    return wide.reshape(batch, frames * time, 2 * height, 2 * width, channels).movedim(-1, 1)


def _convolved(conv: nn.Conv3d, x: Tensor) -> Tensor:
    plain = x.device.type != "cpu" or x.dtype != torch.float32 or not _ONEDNN
    if plain or torch.is_grad_enabled():
        out: Tensor = conv(x)
        return out
    # torch leaves small inputs to a kernel of its own, which takes several times as long
    found: Tensor = torch.ops.aten.mkldnn_convolution(
        x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups
    )
    return found


def _pointwise(conv: nn.Conv3d, x: Tensor) -> Tensor:
    weight = conv.weight.flatten(1)
    return functional.linear(x.movedim(1, -1), weight, conv.bias).movedim(-1, 1)
