"""Convolutions, padding and upsampling of the VAE, without copies. Tensors are [B, C, T, H, W].

Where no gradient is needed, operations work in place: each pass over a clip at full size costs a
tenth of a convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.networks import winograd
from inference.opensora.networks.normalisation import with_past

LARGEST = 2**31 - 1
"""Most elements of one sample per convolution, as many as 32-bit indices reach; larger inputs are
convolved in slices."""

_OUTPUTS_AT_ONCE = 16
"""Output channels that oneDNN computes at once: an AVX-512 register of fp32."""

_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it unannotated


def convolve(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """Apply a convolution, in slices over time where x is too large for its kernels.

    Args:
        conv: Convolution without padding in time.
        x: Input, already padded in time.
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


def pad_in_time(x: Tensor, past: int) -> Tensor:
    """Prepend `past` zero frames to a clip."""
    if not past:
        return x
    if torch.is_grad_enabled():
        return functional.pad(x, (0, 0, 0, 0, past, 0))
    padded, room = with_past(x, past)
    room.copy_(x)
    return padded


def add_into(x: Tensor, other: Tensor) -> Tensor:
    """Add two tensors, in place in x where no gradient is needed."""
    return x + other if torch.is_grad_enabled() else x.add_(other)


def upsample(x: Tensor, *, time: int) -> Tensor:
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
    if (mixed := winograd.prepare_kernels(conv, x)) is not None:
        found = winograd.convolve_groups(conv, mixed, x)
        if rest := found.shape[2] % winograd.TOGETHER:
            found[:, :, -rest:] = _by_onednn(conv, x[:, :, -rest - 2 :])
        return found
    if _has_few_outputs(conv):
        return _frame_by_frame(conv, x)
    return _by_onednn(conv, x)


def _by_onednn(conv: nn.Conv3d, x: Tensor) -> Tensor:
    # called directly: for small inputs torch would choose its native kernel, several times slower
    found: Tensor = torch.ops.aten.mkldnn_convolution(
        x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups
    )
    return found


def _has_few_outputs(conv: nn.Conv3d) -> bool:
    together = conv.kernel_size[0] * conv.out_channels
    return together <= _OUTPUTS_AT_ONCE and conv.stride == conv.dilation == (1, 1, 1)


def _frame_by_frame(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """Convolve each frame once with all temporal taps as output channels, then sum over taps."""
    outputs, kernel, made = conv.out_channels, conv.kernel_size[0], x.shape[2]
    made -= kernel - 1
    frames = x.transpose(1, 2)
    parts = torch.ops.aten.mkldnn_convolution(
        frames.flatten(0, 1),
        conv.weight.permute(2, 0, 1, 3, 4).flatten(0, 1),
        None,
        conv.padding[1:],
        (1, 1),
        (1, 1),
        1,
    )
    parts = parts.unflatten(0, frames.shape[:2]).unflatten(2, (kernel, outputs))
    found: Tensor = parts[:, :made, 0] + (0 if conv.bias is None else conv.bias[:, None, None])
    for part in range(1, kernel):
        found += parts[:, part : part + made, part]
    return found.transpose(1, 2)


def _pointwise(conv: nn.Conv3d, x: Tensor) -> Tensor:
    weight = conv.weight.flatten(1)
    return functional.linear(x.movedim(1, -1), weight, conv.bias).movedim(-1, 1)
