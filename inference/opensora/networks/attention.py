"""Attention of the transformer: within a frame, within windows over time, and to the text.

No masks are built for self-attention. The original pads the patch grid to whole windows and masks
the padding; attention among the real tokens of each window is the same function, so border windows
run as smaller dense batches instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.geometry import WINDOW
from inference.opensora.networks.embeddings import RopeTable

NORM_EPSILON = 1e-6

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention over [B, T, H, W, heads, head_channels] with some grouping of the tokens."""


def attend_frames(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend among all tokens of each frame."""

    def grouped(x: Tensor) -> Tensor:
        return x.flatten(0, 1).flatten(1, 2).transpose(1, 2)

    out = functional.scaled_dot_product_attention(grouped(query), grouped(key), grouped(value))
    return out.transpose(1, 2).reshape(query.shape)


def attend_windows(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend among all frames of each 8 x 8 window of the patch grid."""
    height, width = query.shape[2:4]
    out = torch.empty_like(query)
    for rows, row_window in _spans(height):
        for columns, column_window in _spans(width):
            region = (slice(None), slice(None), rows, columns)

            q, k, v = (_windowed(x[region], row_window, column_window) for x in (query, key, value))
            shape = q.shape
            q, k, v = (x.flatten(0, 2).flatten(2, 4) for x in (q, k, v))
            found = functional.scaled_dot_product_attention(q, k, v).view(shape)
            found = found.permute(0, 4, 1, 5, 2, 6, 3, 7)
            out[region] = found.flatten(4, 5).flatten(2, 3)
    return out


def _windowed(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut [B, T, H, W, heads, D] to [B, H / rows, W / columns, heads, T, rows, columns, D]."""
    cut = torch.unflatten(torch.unflatten(x, 3, (-1, columns)), 2, (-1, rows))
    return cut.permute(0, 2, 4, 6, 1, 3, 5, 7)


def _spans(length: int) -> Iterator[tuple[slice, int]]:
    """Split a side into its whole windows and the narrower rest, as (slice, window side)."""
    whole = length - length % WINDOW
    if whole:
        yield slice(0, whole), WINDOW
    if whole < length:
        yield slice(whole, length), length - whole


class RmsNorm(nn.Module):
    """Root-mean-square norm over the last axis with a learned gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of x."""
        return functional.rms_norm(x, self.weight.shape, self.weight, NORM_EPSILON)


class SelfAttention(nn.Module):
    """Normed, rotated queries and keys, grouped by `attend`."""

    def __init__(self, channels: int, heads: int, attend: Attend) -> None:
        super().__init__()
        self.heads = heads
        self.attend = attend
        self.qkv = nn.Linear(channels, channels * 3)
        self.q_norm = RmsNorm(channels // heads)
        self.k_norm = RmsNorm(channels // heads)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, rope: RopeTable) -> Tensor:
        """Keep the shape of x [B, T, H, W, channels]."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        query, key = rope.rotate(self.q_norm(query)), rope.rotate(self.k_norm(key))
        out: Tensor = self.proj(self.attend(query, key, value).flatten(-2))
        return out


class KeysValues(NamedTuple):
    """What one cross-attention layer knows of a batch of captions."""

    key: Tensor
    """[B, heads, tokens, head_channels]."""
    value: Tensor
    mask: Tensor | None
    """Which tokens are real, [B, 1, 1, tokens]; None when all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextContext:
    """A batch of captions as every block needs it, computed once per request."""

    layers: tuple[KeysValues, ...]
    """Spatial and temporal block of each depth in turn."""
    lengths: tuple[int, ...]
    """Real tokens per caption; the rest of a row is padding."""

    @classmethod
    def build(cls, layers: Iterable[tuple[Tensor, Tensor]], lengths: tuple[int, ...]) -> Self:
        """Attach the padding mask, where there is padding, to each layer's (key, value)."""
        mask: Tensor | None = None
        built = []
        for key, value in layers:
            if mask is None and min(lengths) < max(lengths):
                places = torch.arange(max(lengths), device=key.device)
                real = places < torch.tensor(lengths, device=key.device)[:, None]
                mask = real[:, None, None]
            built.append(KeysValues(key, value, mask))
        return cls(layers=tuple(built), lengths=lengths)

    def part(self, rows: slice) -> Self:
        """Return some of the captions, without padding that no longer has a use."""
        lengths = self.lengths[rows]
        tokens = max(lengths)
        cut = ((kv.key[rows, :, :tokens], kv.value[rows, :, :tokens]) for kv in self.layers)
        return self.build(cut, lengths)


class Look(NamedTuple):
    """What the frames of a clip see of the text, for one layer."""

    text: KeysValues
    given: tuple[Tensor, Tensor, KeysValues] | None = None
    """Indices of frames that come from a reference, of all others, and what the former see."""


class CrossAttention(nn.Module):
    """Attention of picture tokens to caption tokens; neither norm nor positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_linear = nn.Linear(channels, channels)
        self.kv_linear = nn.Linear(channels, channels * 2)
        self.proj = nn.Linear(channels, channels)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Project caption tokens [B, tokens, channels] to (key, value)."""
        key, value = self.kv_linear(tokens).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        return key.transpose(1, 2), value.transpose(1, 2)

    def forward(self, x: Tensor, look: Look) -> Tensor:
        """Keep the shape of x [B, T, H, W, channels]."""
        if look.given is None:
            return self._attend(x, look.text)
        given, free, empty = look.given
        answered = self._attend(x[:, free], look.text)
        out = answered.new_empty(x.shape)  # of the arithmetic's type, which may not be that of x
        out[:, free] = answered
        out[:, given] = self._attend(x[:, given], empty)
        return out

    def _attend(self, x: Tensor, text: KeysValues) -> Tensor:
        query = torch.unflatten(self.q_linear(x).flatten(1, 3), -1, (self.heads, -1))
        found = functional.scaled_dot_product_attention(
            query.transpose(1, 2), text.key, text.value, attn_mask=text.mask
        )
        out: Tensor = self.proj(found.transpose(1, 2).reshape(x.shape))
        return out
