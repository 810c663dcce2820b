"""Layers of the video VAE. Tensors are [B, C, T, H, W]; all layers are causal in time.

Tensors are channels-last in memory, which the convolutions of cuDNN and oneDNN prefer. Layers with
`frames` set work on so many frames at a time, to save memory (`slices`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.networks.convolution import add_into, convolve, pad_in_time, upsample
from inference.opensora.networks.normalisation import (
    measure_statistics,
    norm_activate_pad,
    norm_skip,
)
from inference.opensora.networks.slices import (
    Prepare,
    causal_attention,
    convolve_causal_slices,
    spans,
)

_GROUPS = 32
_NORM_EPSILON = 1e-6


def group_norm(channels: int, epsilon: float = _NORM_EPSILON) -> nn.GroupNorm:
    """Create the norm that all layers of the VAE use."""
    return nn.GroupNorm(_GROUPS, channels, eps=epsilon)


class InSlices(nn.Module):
    """Base of layers that can work on a few frames at a time."""

    frames: int | None = None
    """Frames at a time; None is all of them."""


class CausalConv3d(InSlices):
    """3-D convolution, causal in time, with a cubic kernel."""

    def __init__(self, channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        side = kernel // 2
        self.conv = nn.Conv3d(
            channels, out_channels, kernel, stride=stride, padding=(0, side, side)
        )

    def forward(self, x: Tensor, norm: nn.GroupNorm | None = None) -> Tensor:
        """Convolve a clip; T, H, W are kept, or halved (rounding up) with stride 2.

        Args:
            x: The clip.
            norm: If given, the clip is normalised and activated first.
        """
        kernel = self.conv.kernel_size[0]
        if self.frames is not None and self.conv.stride[0] == 1:
            prepare = None if norm is None else in_slices(norm, x, self.frames)
            return convolve_causal_slices(x, self.frames, kernel, self._convolve, prepare)
        if norm is None:
            return self._convolve(pad_in_time(x, kernel - 1))
        return self._convolve(norm_activate_pad(x, norm, kernel - 1))

    def _convolve(self, piece: Tensor) -> Tensor:
        return convolve(self.conv, piece)


def in_slices(norm: nn.GroupNorm, x: Tensor, frames: int) -> Prepare:
    """Return a function that normalises (by statistics of all of x), activates and pads slices."""
    whole = measure_statistics(norm, x, frames)
    return lambda part, past: norm_activate_pad(part, whole, past)


class ResnetBlock(InSlices):
    """Residual block: norm, SiLU and convolution, twice, added to the input."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = group_norm(channels)
        self.conv1 = CausalConv3d(channels, out_channels)
        self.norm2 = group_norm(out_channels)
        self.conv2 = CausalConv3d(out_channels, out_channels)
        self.nin_shortcut = (
            CausalConv3d(channels, out_channels, kernel=1) if channels != out_channels else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, T, H, W] to [B, out_channels, T, H, W]."""
        hidden = self.conv2(self.conv1(x, self.norm1), self.norm2)
        return add_into(hidden, x if self.nin_shortcut is None else self.nin_shortcut(x))


class CausalAttention(nn.Module):
    """Causal attention with one head over all positions, in (T, H, W) order.

    The sequence has 72,000 tokens at 720p, and a mask for it would take gigabytes; the attention
    kernel applies causality itself. Fused kernels need the channels contiguous, and few support
    heads this wide: with `rows` set, `causal_attention` is used, with so many queries at a time.
    """

    rows: int | None = None

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q = CausalConv3d(channels, channels, kernel=1)
        self.k = CausalConv3d(channels, channels, kernel=1)
        self.v = CausalConv3d(channels, channels, kernel=1)
        self.proj_out = CausalConv3d(channels, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of x."""
        normed = norm_activate_pad(x, self.norm, activate=False)
        query, key, value = (
            project(normed).flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
            for project in (self.q, self.k, self.v)
        )
        if self.rows is None:
            found = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            found = causal_attention(query, key, value, self.rows)
        return add_into(self.proj_out(found.squeeze(1).transpose(1, 2).reshape(x.shape)), x)


class MiddleBlock(nn.Module):
    """Middle of the encoder or decoder: attention between two residual blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = CausalAttention(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of x."""
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class SpaceDownsample(nn.Module):
    """Downsampling of height and width by 2, rounding down after padding by one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the channels and T."""
        return _frame_by_frame(self.conv, functional.pad(x, (0, 1, 0, 1)))


class SpaceTimeDownsample(nn.Module):
    """Downsampling of time, height and width by 2, rounding up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the channels."""
        out: Tensor = self.conv(x)
        return out


class SpaceUpsample(InSlices):
    """Upsampling of height and width by 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the channels and T."""
        if self.frames is None:
            return self._upsample(x)
        return convolve_causal_slices(x, self.frames, 1, self._upsample)

    def _upsample(self, x: Tensor) -> Tensor:
        return _frame_by_frame(self.conv, upsample(x, time=1))


class SpaceTimeUpsample(nn.Module):
    """Upsampling of time, height and width by 2, followed by two refinement layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3d = _Refinement(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the channels."""
        out: Tensor = self.conv3d(upsample(x, time=2))
        return out


class _Refinement(InSlices):
    def __init__(self, channels: int) -> None:
        super().__init__()
        epsilon = 1e-5  # PyTorch's default, which the original uses only here
        self.conv1 = CausalConv3d(channels, channels)
        self.norm1 = group_norm(channels, epsilon)
        self.conv2 = CausalConv3d(channels, channels)
        self.norm2 = group_norm(channels, epsilon)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.conv2(self.conv1(x), self.norm1)
        if self.frames is None:
            return norm_skip(hidden, self.norm2, x)
        norm = measure_statistics(self.norm2, hidden, self.frames)
        for start, stop in spans(x.shape[2], self.frames):
            part = x[:, :, start:stop]
            hidden[:, :, start:stop] = norm_skip(hidden[:, :, start:stop], norm, part)
        return hidden


def _frame_by_frame(conv: nn.Conv2d, x: Tensor) -> Tensor:
    frames = x.transpose(1, 2)
    out = conv(frames.flatten(0, 1))
    return torch.unflatten(out, 0, frames.shape[:2]).transpose(1, 2)
