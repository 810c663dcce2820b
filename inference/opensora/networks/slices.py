"""Slicing of the VAE's layers over time, so that large pictures fit into small GPUs.

At 720p one activation of the decoder takes up to 9 GB, and norm, SiLU, padding and convolution
would hold four of them. Here the statistics of a norm are computed first, over the whole clip; then
each slice is normalised, activated, padded and convolved by itself. Every frame is computed once
from the same numbers, so the result is the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

Convolve = Callable[[Tensor], Tensor]
"""Maps [B, C, t, H, W] with `kernel - 1` leading frames to the frames after those."""

Prepare = Callable[[Tensor, int], Tensor]
"""Transforms each frame of a slice, and prepends the given number of zero frames."""


def convolve_causal_slices(
    x: Tensor, frames: int, kernel: int, convolve: Convolve, prepare: Prepare | None = None
) -> Tensor:
    """Apply a convolution that is causal in time, `frames` output frames at a time.

    Args:
        x: [B, C, T, H, W].
        frames: Output frames per slice.
        kernel: Size of the convolution in time: an output frame depends on itself and those before.
        convolve: Called with each slice and the frames before it, zero before the first.
        prepare: Applied to each slice first; the default only pads.
    """
    out: Tensor | None = None
    for start, stop in spans(x.shape[2], frames):
        past = max(0, start - kernel + 1)
        piece = x[:, :, past:stop]
        missing = kernel - 1 - (start - past)
        if prepare is not None:
            piece = prepare(piece, missing)
        elif missing:
            piece = functional.pad(piece, (0, 0, 0, 0, missing, 0))
        found = convolve(piece)
        if out is None:
            out = found.new_empty((*found.shape[:2], x.shape[2], *found.shape[3:]))
        out[:, :, start:stop] = found
    if out is None:
        raise ValueError("a clip without frames")
    return out


def spans(length: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive slices; the last one may be shorter."""
    for start in range(0, length, size):
        yield start, min(start + size, length)


def causal_attention(query: Tensor, key: Tensor, value: Tensor, rows: int) -> Tensor:
    """Compute causal attention, `rows` queries at a time, each slice with the keys before its end.

    Fused kernels support heads of up to 256 channels, and wider ones slowly or not at all. This
    needs memory for rows x tokens scores, and half the multiplications of an unmasked product.

    Args:
        query: Queries, [B, heads, tokens, channels].
        key: Keys, shaped like the queries.
        value: Values, shaped like the queries.
        rows: Queries per slice.
    """
    found = torch.empty_like(query)
    scale = query.shape[-1] ** -0.5
    for start, stop in spans(query.shape[2], rows):
        scores = (query[:, :, start:stop] * scale) @ key[:, :, :stop].transpose(-2, -1)
        later = torch.ones(stop - start, stop - start, dtype=torch.bool, device=query.device)
        scores[..., start:].masked_fill_(later.triu(1), -torch.inf)
        weights = scores.float().softmax(-1).to(value.dtype)
        found[:, :, start:stop] = weights @ value[:, :, :stop]
    return found
