"""Attention layers of the transformer: self-attention in regions, cross-attention to the text.

Self-attention needs no masks; see `regions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.networks.fp8 import FP8Linear
from inference.opensora.networks.fused import norm_rotate
from inference.opensora.networks.regions import Regions, slices
from inference.opensora.networks.tokens import RopeTable


def attend(query: Tensor, key: Tensor, value: Tensor, regions: Regions) -> list[Tensor]:
    """Compute attention inside the boxes of each region.

    Args:
        query: Queries in the order of regions, [tokens, heads, head_channels].
        key: Keys, shaped and ordered like the queries.
        value: Values, shaped and ordered like the queries.
        regions: Regions that cover all tokens.

    Returns:
        For each region the output of its tokens, [tokens of the region, channels].
    """
    found = []
    for region, rows in slices(regions, len(query)):
        q, k, v = (
            torch.unflatten(part[rows], 0, (-1, region.tokens)).transpose(1, 2)
            for part in (query, key, value)
        )
        out = functional.scaled_dot_product_attention(q, k, v)
        found.append(out.transpose(1, 2).flatten(0, 1).flatten(-2))
    return found


class HeadGain(nn.Module):
    """Learned gain of the RMS norm of queries or keys, [head_channels]; see `norm_rotate`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))


class SelfAttention(nn.Module):
    """Self-attention inside regions, with RMS-normed queries and keys and rotary positions."""

    attend = staticmethod(attend)

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = FP8Linear(channels, channels * 3)
        self.q_norm = HeadGain(channels // heads)
        self.k_norm = HeadGain(channels // heads)
        self.proj = FP8Linear(channels, channels)

    def forward(self, x: Tensor, rope: RopeTable, regions: Regions) -> Sequence[Tensor]:
        """Map tokens in the order of regions, [tokens, channels], to one output per region."""
        qkv = torch.unflatten(self.qkv(x), -1, (3, self.heads, -1))
        gains = (self.q_norm.weight, self.k_norm.weight)
        found = self.attend(*norm_rotate(qkv, gains, rope, regions), regions)
        return [self.proj(one) for one in found]


class KeysValues(NamedTuple):
    """Keys and values of one cross-attention layer for a batch of captions."""

    key: Tensor
    """[B, heads, tokens, head_channels]."""
    value: Tensor
    mask: Tensor | None
    """Which tokens are not padding, [B, 1, 1, tokens]; None without padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextContext:
    """Keys and values of a batch of captions for every block, computed once per request."""

    layers: tuple[KeysValues, ...]
    """Spatial and temporal block of each depth in turn."""
    lengths: tuple[int, ...]
    """Tokens per caption, without padding."""

    @classmethod
    def build(cls, layers: Iterable[tuple[Tensor, Tensor]], lengths: tuple[int, ...]) -> Self:
        """Build the context from each layer's (key, value), with a mask where there is padding."""
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
        """Return some of the captions, cut to the longest of them."""
        lengths = self.lengths[rows]
        tokens = max(lengths)
        cut = ((kv.key[rows, :, :tokens], kv.value[rows, :, :tokens]) for kv in self.layers)
        return self.build(cut, lengths)


class Look(NamedTuple):
    """Text that the frames of a clip attend to in one cross-attention layer."""

    text: KeysValues
    given: tuple[Tensor, Tensor, KeysValues] | None = None
    """(Indices of reference frames, indices of all others, text for the reference frames)."""


class CrossAttention(nn.Module):
    """Cross-attention from picture tokens to caption tokens, without norms or positions."""

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
        """Map tokens [B, T, H, W, channels] to the same shape."""
        if look.given is None:
            return self._attend(x, look.text)
        given, free, empty = look.given
        answered = self._attend(x[:, free], look.text)
        out = answered.new_empty(x.shape)  # autocast may have changed the dtype
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
