"""Triton kernels of the transformer for the functions of `fused`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.opensora.networks.regions import Region, Regions, slices

if TYPE_CHECKING:
    from inference.opensora.networks.tokens import RopeTable, Tokens


def add_norm_modulate(
    tokens: Tokens, shift: Tensor, scale: Tensor, regions: Regions | None, epsilon: float
) -> Tensor:
    """Kernel of `fused.add_norm_modulate`; does not remove the update from `tokens`."""
    x, update, gate = tokens.x, tokens.update, tokens.gate
    _, frames, height, width, channels = x.shape
    if regions is None:
        out = torch.empty_like(x)
        regions = (Region(0, 0, height, width, (1, height, width)),)
    else:
        out = x.new_empty(x.numel() // channels, channels)
    flat = out.view(-1, channels)
    for region, rows in slices(regions, len(flat)):
        _add_norm_modulate[(rows.stop - rows.start,)](
            x,
            x if update is None else update,
            shift if gate is None else gate,
            shift,
            scale,
            flat[rows],
            *_grid(region, frames, height, width),
            *_steps(shift if gate is None else gate),
            *_steps(shift),
            *_steps(scale),
            channels,
            epsilon,
            ADDS=update is not None,
            GATED=gate is not None,
            BLOCK=triton.next_power_of_2(channels),
        )
    return out


def add_gated(x: Tensor, gate: Tensor, updates: Sequence[Tensor], regions: Regions) -> None:
    """Kernel of `fused.add_gated`."""
    _, frames, height, width, channels = x.shape
    for region, update in zip(regions, updates, strict=True):
        _add_gated[(len(update),)](
            x,
            update,
            gate,
            *_grid(region, frames, height, width),
            *_steps(gate),
            channels,
            BLOCK=triton.next_power_of_2(channels),
        )


def norm_rotate(
    qkv: Tensor, gains: tuple[Tensor, Tensor], rope: RopeTable, regions: Regions, epsilon: float
) -> None:
    """Kernel of `fused.norm_rotate`; changes queries and keys in place."""
    _, _, heads, channels = qkv.shape
    turns = torch.view_as_real(rope.turns)
    for region, rows in slices(regions, len(qkv)):
        _norm_rotate[(rows.stop - rows.start, 2)](
            qkv[rows],
            *gains,
            turns,
            region.tokens,
            *region.box[1:],
            *turns.shape[1:3],
            heads,
            channels // 2,
            epsilon,
            HEADS=triton.next_power_of_2(heads),
            PAIRS=triton.next_power_of_2(channels // 2),
        )


def _grid(region: Region, frames: int, height: int, width: int) -> tuple[int, ...]:
    """Return the kernel arguments that locate a region's tokens in the grid."""
    return (
        frames,
        height,
        width,
        region.top,
        region.left,
        region.height // region.box[1],
        region.width // region.box[2],
        *region.box,
    )


def _steps(modulation: Tensor) -> tuple[int, int]:
    """Return the strides of a modulation tensor over samples and frames, in values."""
    batch, frames = modulation.stride()[:2]
    return (batch if len(modulation) > 1 else 0, frames if modulation.shape[1] > 1 else 0)


_SIZES = [
    "frames", "height", "width", "top", "left", "down", "across",
    "box_frames", "box_rows", "box_columns",
]  # fmt: skip
"""Arguments that differ between clips; Triton must not specialise kernels for their values."""


@triton.jit
def _place(
    token, frames, height, width, top, left, down, across, box_frames, box_rows, box_columns
):
    """Return the sample, frame and row in [B * T * H * W] of a token, given its region index."""
    tokens = box_frames * box_rows * box_columns
    box, inside = token // tokens, token % tokens
    column = left + box % across * box_columns + inside % box_columns
    line = top + box // across % down * box_rows + inside // box_columns % box_rows
    boxes = frames // box_frames
    along = box // (across * down)
    frame = along % boxes * box_frames + inside // (box_columns * box_rows)
    sample = along // boxes
    return sample, frame, ((sample * frames + frame) * height + line) * width + column


@triton.jit(
    do_not_specialize=[
        *_SIZES, "gate_sample", "gate_frame", "shift_sample", "shift_frame",
        "scale_sample", "scale_frame",
    ]
)  # fmt: skip
def _add_norm_modulate(
    x_at,
    update_at,
    gate_at,
    shift_at,
    scale_at,
    out_at,
    frames,
    height,
    width,
    top,
    left,
    down,
    across,
    box_frames,
    box_rows,
    box_columns,
    gate_sample,
    gate_frame,
    shift_sample,
    shift_frame,
    scale_sample,
    scale_frame,
    channels,
    epsilon,
    ADDS: tl.constexpr,
    GATED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """For one token: x += gate * update; out = norm(x) * (1 + scale) + shift."""
    token = tl.program_id(0)
    sample, frame, row = _place(
        token, frames, height, width, top, left, down, across, box_frames, box_rows, box_columns
    )
    channel = tl.arange(0, BLOCK)
    real = channel < channels
    at = row.to(tl.int64) * channels + channel
    x = tl.load(x_at + at, real, other=0).to(tl.float32)
    if ADDS:
        update = tl.load(update_at + at, real, other=0).to(tl.float32)
        if GATED:
            gates = gate_at + sample * gate_sample + frame * gate_frame
            update *= tl.load(gates + channel, real, other=0).to(tl.float32)
        x += update
        stored = x.to(x_at.dtype.element_ty)
        tl.store(x_at + at, stored, real)
        x = stored.to(tl.float32)
    mean = tl.sum(x, 0) / channels
    away = tl.where(real, x - mean, 0)
    normed = away * tl.rsqrt(tl.sum(away * away, 0) / channels + epsilon)
    shifts = shift_at + sample * shift_sample + frame * shift_frame
    scales = scale_at + sample * scale_sample + frame * scale_frame
    shift = tl.load(shifts + channel, real, other=0).to(tl.float32)
    scale = tl.load(scales + channel, real, other=0).to(tl.float32)
    out = normed * (1 + scale) + shift
    place = token.to(tl.int64) * channels + channel
    tl.store(out_at + place, out.to(out_at.dtype.element_ty), real)


@triton.jit(do_not_specialize=[*_SIZES, "gate_sample", "gate_frame"])
def _add_gated(
    x_at,
    update_at,
    gate_at,
    frames,
    height,
    width,
    top,
    left,
    down,
    across,
    box_frames,
    box_rows,
    box_columns,
    gate_sample,
    gate_frame,
    channels,
    BLOCK: tl.constexpr,
):
    """For one token: x += gate * update, with the update in a region's order."""
    token = tl.program_id(0)
    sample, frame, row = _place(
        token, frames, height, width, top, left, down, across, box_frames, box_rows, box_columns
    )
    channel = tl.arange(0, BLOCK)
    real = channel < channels
    at = row.to(tl.int64) * channels + channel
    place = token.to(tl.int64) * channels + channel
    gates = gate_at + sample * gate_sample + frame * gate_frame
    x = tl.load(x_at + at, real, other=0).to(tl.float32)
    gate = tl.load(gates + channel, real, other=0).to(tl.float32)
    update = tl.load(update_at + place, real, other=0).to(tl.float32)
    tl.store(x_at + at, (x + gate * update).to(x_at.dtype.element_ty), real)


@triton.jit(do_not_specialize=["tokens", "box_rows", "box_columns", "table_rows", "table_columns"])
def _norm_rotate(
    qkv_at,
    query_gain_at,
    key_gain_at,
    turns_at,
    tokens,
    box_rows,
    box_columns,
    table_rows,
    table_columns,
    heads,
    pairs,
    epsilon,
    HEADS: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """RMS norm, gain and rotation for all heads of one token's queries, or of its keys."""
    row, part = tl.program_id(0), tl.program_id(1)
    inside = row % tokens
    line = inside // box_columns % box_rows
    frame = inside // (box_columns * box_rows)
    place = (frame * table_rows + line) * table_columns + inside % box_columns

    head = tl.arange(0, HEADS)[:, None, None]
    pair = tl.arange(0, PAIRS)[None, :, None]
    half = tl.arange(0, 2)[None, None, :]
    real = (head < heads) & (pair < pairs)
    width = 2 * pairs
    at = (row.to(tl.int64) * 3 + part) * heads * width + head * width + 2 * pair + half
    x = tl.load(qkv_at + at, real, other=0).to(tl.float32)
    even, odd = tl.split(x)
    size = tl.sum(even * even + odd * odd, 1) / width
    factor = tl.rsqrt(size + epsilon)[:, None]

    in_table = pair < pairs
    of_query = tl.load(query_gain_at + 2 * pair + half, in_table, other=0).to(tl.float32)
    of_key = tl.load(key_gain_at + 2 * pair + half, in_table, other=0).to(tl.float32)
    even_gain, odd_gain = tl.split(tl.where(part == 0, of_query, of_key))
    cos, sin = tl.split(tl.load(turns_at + place * width + 2 * pair + half, in_table, other=0))
    even, odd = even * factor * even_gain, odd * factor * odd_gain
    turned = tl.join(even * cos - odd * sin, odd * cos + even * sin)
    tl.store(qkv_at + at, turned.to(qkv_at.dtype.element_ty), real)
