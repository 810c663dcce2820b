"""Triton kernels of the VAE for the functions of `normalisation`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS_AT_ONCE = 4096
"""Values per tile of a program."""

_PARTS = 1024
"""Most programs among which the statistics of a clip are split."""


def statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the mean and the sum of squared deviations of each channel, for parts of a clip.

    Args:
        x: [B, C, T, H, W], each sample dense and channels-last.

    Returns:
        Rows per part, [parts]; means, [B, parts, C]; sums of squared deviations from those means,
        [B, parts, C]. All fp32.
    """
    batch, channels = x.shape[:2]
    rows = x[0].numel() // channels
    block = triton.next_power_of_2(channels)
    at_once = max(_ROWS_AT_ONCE // block, 1)
    each = triton.cdiv(triton.cdiv(rows, _PARTS), at_once) * at_once
    parts = triton.cdiv(rows, each)
    mean, spread = torch.empty(2, batch, parts, channels, device=x.device, dtype=torch.float32)
    _statistics[(parts, batch)](
        x, mean, spread, rows, each, x.stride(0), parts, channels, ROWS=at_once, BLOCK=block
    )
    counts = (rows - each * torch.arange(parts, device=x.device)).clamp(max=each).float()
    return counts, mean, spread


def scale_and_shift(
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    *,
    past: int = 0,
    activate: bool = False,
    skip: Tensor | None = None,
) -> Tensor:
    """Return x * gain + shift behind zero frames, optionally with a skip connection and SiLU.

    Args:
        x: [B, C, T, H, W], each sample dense and channels-last.
        gain: fp32 [B, C].
        shift: fp32 [B, C].
        past: Number of zero frames before the result.
        activate: Apply SiLU.
        skip: Tensor with the layout of x, added before and after the activation.
    """
    batch, channels, frames, height, width = x.shape
    out = torch.empty(
        (batch, channels, frames + past, height, width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last_3d,
    )
    rows = (frames + past) * height * width
    block = triton.next_power_of_2(channels)
    at_once = max(_ROWS_AT_ONCE // block, 1)
    other = x if skip is None else skip
    _scaled[(triton.cdiv(rows, at_once), batch)](
        x,
        gain,
        shift,
        other,
        out,
        rows,
        past * height * width,
        x.stride(0),
        other.stride(0),
        channels,
        ACTIVATES=activate,
        SKIPS=skip is not None,
        ROWS=at_once,
        BLOCK=block,
    )
    return out


@triton.jit(do_not_specialize=["rows", "each", "sample_step", "parts"])
def _statistics(
    x_at,
    mean_at,
    spread_at,
    rows,
    each,
    sample_step,
    parts,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Statistics of one part of one sample; tiles are merged by Chan's parallel algorithm."""
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    x_at += sample * sample_step
    first = part.to(tl.int64) * each
    last = tl.minimum(first + each, rows)
    mean = tl.zeros((BLOCK,), tl.float32)
    spread = tl.zeros((BLOCK,), tl.float32)
    for start in range(first, last, ROWS):
        row = start + tl.arange(0, ROWS)[:, None]
        real = (row < last) & (channel < channels)[None, :]
        x = tl.load(x_at + row * channels + channel[None, :], real, other=0).to(tl.float32)
        count = tl.minimum(last - start, ROWS).to(tl.float32)
        before = (start - first).to(tl.float32)
        tile_mean = tl.sum(x, 0) / count
        away = tl.where(real, x - tile_mean[None, :], 0)
        apart = tile_mean - mean
        mean += apart * (count / (before + count))
        spread += tl.sum(away * away, 0) + apart * apart * (before * count / (before + count))
    out = (sample * parts + part) * channels + channel
    tl.store(mean_at + out, mean, channel < channels)
    tl.store(spread_at + out, spread, channel < channels)


@triton.jit(do_not_specialize=["rows", "missing", "sample_step", "skip_step"])
def _scaled(
    x_at,
    gain_at,
    shift_at,
    skip_at,
    out_at,
    rows,
    missing,
    sample_step,
    skip_step,
    channels,
    ACTIVATES: tl.constexpr,
    SKIPS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gain, shift, skip and activation for a tile of rows of one sample."""
    sample = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    channel = tl.arange(0, BLOCK)[None, :]
    real = (row < rows) & (channel < channels)
    inside = real & (row >= missing)
    at = (row - missing) * channels + channel
    x = tl.load(x_at + sample * sample_step + at, inside, other=0).to(tl.float32)
    of_channel = sample * channels + channel
    gain = tl.load(gain_at + of_channel, channel < channels, other=0)
    shift = tl.load(shift_at + of_channel, channel < channels, other=0)
    y = x * gain + shift
    if SKIPS:
        skip = tl.load(skip_at + sample * skip_step + at, inside, other=0).to(tl.float32)
        y += skip
    if ACTIVATES:
        y = y * tl.sigmoid(y)
    if SKIPS:
        y += skip
    y = tl.where(inside, y, 0)
    place = (sample * rows + row) * channels + channel
    tl.store(out_at + place, y.to(out_at.dtype.element_ty), real)
