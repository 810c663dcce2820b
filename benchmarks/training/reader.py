"""Linear reader from latents to pictures: a cheap decoder for training an encoder.

The real decoder costs ten times as much as the encoder, and learns slowly. What a linear map can
reconstruct, a decoder can learn; so the encoder is trained with this reader first, and the decoder
with the encoder afterwards. Latents with linear structure are also easier to generate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.opensora.config import VaeConfig
from inference.opensora.geometry import SPACE_FACTOR, TIME_FACTOR
from inference.opensora.networks.vae import VideoVae

_KERNEL = 3
_RIDGE = 0.3


class LinearReader(nn.Module):
    """Linear map from latents of one chunk [B, channels, t, h, w] to pixels [B, 3, 4t - 3, 8h, 8w].

    Its input per pixel is the latent with its neighbours in space and the one before in time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        pixels = 3 * SPACE_FACTOR**2
        self.first = nn.Conv2d(channels, pixels, _KERNEL, padding=1, padding_mode="replicate")
        self.others = nn.Conv2d(
            2 * channels, pixels * TIME_FACTOR, _KERNEL, padding=1, padding_mode="replicate"
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Map the latents of one chunk to pixels."""
        first = functional.pixel_shuffle(self.first(latents[:, :, 0]), SPACE_FACTOR)
        pairs = _pairs(latents)
        read = functional.pixel_shuffle(self.others(pairs), SPACE_FACTOR)
        frames = torch.unflatten(torch.unflatten(read, 0, (len(latents), -1)), 2, (3, TIME_FACTOR))
        return torch.cat((first[:, :, None], frames.transpose(1, 2).flatten(2, 3)), dim=2)

    @torch.no_grad()
    def solve(self, examples: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the weights to the least-squares solution for pairs of latents and pixels."""
        sums: dict[nn.Conv2d, tuple[Tensor, Tensor]] = {}
        for latents, pixels in examples:
            later = (
                torch.unflatten(pixels[:, :, 1:], 2, (-1, TIME_FACTOR))
                .transpose(1, 2)
                .flatten(2, 3)
            )
            for conv, seen, shown in (
                (self.first, latents[:, :, 0], pixels[:, :, 0]),
                (self.others, _pairs(latents), later.flatten(0, 1)),
            ):
                padded = functional.pad(seen, (1, 1, 1, 1), mode="replicate")
                patches = functional.unfold(padded, _KERNEL).transpose(1, 2).flatten(0, 1)
                patches = functional.pad(patches, (0, 1), value=1.0)
                blocks = functional.pixel_unshuffle(shown, SPACE_FACTOR)
                wanted = blocks.flatten(2).transpose(1, 2).flatten(0, 1)
                square, product = sums.get(conv, (torch.zeros(()), torch.zeros(())))
                sums[conv] = (square + patches.T @ patches, product + patches.T @ wanted)
        for conv, (square, product) in sums.items():
            ridge = _RIDGE * torch.eye(len(square))
            solution = torch.linalg.solve(square + ridge, product)
            conv.weight.copy_(solution[:-1].T.reshape(conv.weight.shape))
            conv.bias.copy_(solution[-1])  # type: ignore[union-attr]  # the layers have biases


@torch.no_grad()
def arrange(vae: VideoVae, reader: LinearReader, clips: Iterable[Tensor]) -> VaeConfig:
    """Rotate the encoder's latents, so that channels are uncorrelated and ordered by importance.

    Channels get unit variance and are ordered by their effect on the reader's picture. The returned
    configuration normalises them to standard deviations by the root of that effect, so that in
    sampling important channels emerge from the noise first.

    Args:
        vae: VAE; its encoder's last layer is changed in place, and its decoder no longer fits.
        reader: Reader fitted to the encoder.
        clips: Pixels [B, 3, T, H, W] of one chunk each.

    Returns:
        The VAE's configuration with the new statistics.
    """
    channels = vae.config.decoder.latent_channels
    rows = torch.cat(
        [vae.encoder(clip)[:, :channels].movedim(1, -1).flatten(0, -2) for clip in clips]
    )
    mean = rows.mean(0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    weight = reader.others.weight
    now = weight[:, channels:]
    flat = weight[:, :channels].sum((2, 3)) + now.sum((2, 3))
    gram = (flat.T @ flat + torch.einsum("oihw,ojhw->ij", now, now)) / (2 * len(weight))
    values, vectors = torch.linalg.eigh(covariance)
    whiten = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    colour = vectors @ torch.diag(values.sqrt()) @ vectors.T
    shares, turn = torch.linalg.eigh(colour @ gram @ colour)
    turned = turn.flip(1).T @ whiten
    last = vae.encoder.conv_out.conv
    last.weight[:channels] = torch.einsum("ij,j...->i...", turned, last.weight[:channels])
    last.bias[:channels] = turned @ (last.bias[:channels] - mean)  # type: ignore[index]
    last.weight[channels:] = 0
    last.bias[channels:] = -6.0  # type: ignore[index]  # log-variance: almost none
    gain = shares.flip(0).clamp_min(1e-4 * float(shares.max())) ** 0.25
    gain = (gain / gain.square().mean().sqrt()).clamp(0.5, 2.0)
    return replace(
        vae.config,
        latent_mean=(0.0,) * channels,
        latent_std=tuple(round(float(1 / one), 6) for one in gain),
    )


def _pairs(latents: Tensor) -> Tensor:
    """Concatenate each latent frame with the one before: [B (t - 1), 2 channels, h, w]."""
    return torch.cat((latents[:, :, :-1], latents[:, :, 1:]), 1).transpose(1, 2).flatten(0, 1)
