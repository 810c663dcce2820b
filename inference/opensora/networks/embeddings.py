"""Embeddings of the transformer: patches, positions, noise levels and captions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.networks.fp8 import FP8Linear
from inference.opensora.networks.fused import linear_gelu
from inference.opensora.networks.tokens import RopeTable

_FREQUENCY_BASE = 10000.0
_TIME_FEATURES = 256


class PatchEmbedding(nn.Module):
    """Projection of 2 x 2 patches of each latent frame.

    The weight has the shape of a strided 3-D convolution, as in the checkpoints. Patches do not
    overlap, so one matrix product computes the same.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, channels, kernel_size=(1, 2, 2), stride=(1, 2, 2))

    def forward(self, latents: Tensor) -> Tensor:
        """Map [B, in, T, H, W] to [B, T, ceil(H/2), ceil(W/2), channels]; odd sides are padded."""
        height, width = latents.shape[-2:]
        latents = functional.pad(latents, (0, width % 2, 0, height % 2))
        patches = torch.unflatten(torch.unflatten(latents, -1, (-1, 2)), -3, (-1, 2))
        patches = patches.permute(0, 2, 3, 5, 1, 4, 6).flatten(-3)  # from B C T H' 2 W' 2
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class NumberEmbedding(nn.Module):
    """Sinusoidal embedding of one number per sample (noise level 0..1000, frames per second)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = nn.Linear(_TIME_FEATURES, channels)
        self.mlp = nn.Sequential(first, nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, numbers: Tensor) -> Tensor:
        """Map [B] to [B, channels]; sinusoids are computed in fp32, cosines first."""
        half = _TIME_FEATURES // 2
        steps = torch.arange(half, dtype=torch.float32, device=numbers.device) / half
        angles = numbers.float()[:, None] * torch.exp(-math.log(_FREQUENCY_BASE) * steps)
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1)
        embedded: Tensor = self.mlp(waves.to(next(self.mlp.parameters()).dtype))
        return embedded


class Mlp(nn.Module):
    """Two linear layers with a tanh-approximated GELU between them."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.fc1 = FP8Linear(in_channels, hidden)
        self.fc2 = FP8Linear(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., in_channels] to [..., out_channels]."""
        out: Tensor = self.fc2(linear_gelu(self.fc1, x))
        return out


class CaptionEmbedding(nn.Module):
    """Projection of the text encoder's output, with the learned empty caption."""

    y_embedding: Tensor

    def __init__(self, caption_channels: int, channels: int, tokens: int) -> None:
        super().__init__()
        self.register_buffer("y_embedding", torch.zeros(tokens, caption_channels))
        self.y_proj = Mlp(caption_channels, channels, channels)

    def forward(self, captions: Tensor) -> Tensor:
        """Map [..., tokens, caption_channels] to [..., tokens, channels]."""
        out: Tensor = self.y_proj(captions)
        return out


class RotaryFrequencies(nn.Module):
    """Frequencies of the rotary embedding (RoPE), a fixed buffer of the checkpoints."""

    freqs: Tensor

    def __init__(self, head_channels: int) -> None:
        super().__init__()
        channels = head_channels // 3
        exponents = torch.arange(0, channels, 2, dtype=torch.float32) / channels
        self.register_buffer("freqs", _FREQUENCY_BASE**-exponents)

    def table(self, times: Tensor, rows: Tensor, columns: Tensor) -> RopeTable:
        """Return the angles for a grid; a head's channels are split into time, row and column."""
        shape = (len(times), len(rows), len(columns), -1)
        freqs = self.freqs.float()
        angles = torch.cat(
            [
                (times[:, None] * freqs)[:, None, None].expand(shape),
                (rows[:, None] * freqs)[None, :, None].expand(shape),
                (columns[:, None] * freqs)[None, None].expand(shape),
            ],
            dim=-1,
        )
        return RopeTable(torch.polar(torch.ones_like(angles), angles))


def position_table(
    rows: int, columns: int, channels: int, scale: float, device: torch.device
) -> Tensor:
    """Return sinusoidal positions of a frame's patches, fp32 [rows, columns, channels].

    Both sides are stretched to the side of a square of the same area and divided by `scale`
    (picture size relative to the training size). Column waves come first, then row waves.
    """
    base = round(math.sqrt(rows * columns))
    steps = torch.arange(channels // 4, dtype=torch.float32, device=device) / (channels // 4)
    omega = _FREQUENCY_BASE**-steps

    def waves(count: int) -> Tensor:
        places = torch.arange(count, dtype=torch.float32, device=device) / scale * (base / count)
        angles = places[:, None] * omega
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    by_column = waves(columns)[None].expand(rows, -1, -1)
    by_row = waves(rows)[:, None].expand(-1, columns, -1)
    return torch.cat((by_column, by_row), dim=-1)
