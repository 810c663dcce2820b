"""The video VAE of Open-Sora v1.3, with the official state-dict keys.

It compresses 8x in space and 4x in time. Clips are encoded in chunks of 17 frames, which share one
frame with their neighbours; each chunk has five latent frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from inference.opensora.config import CoderConfig, VaeConfig
from inference.opensora.geometry import CHUNK_FRAMES, CHUNK_LATENTS, latent_frames
from inference.opensora.networks.convolution import convolve
from inference.opensora.networks.normalisation import norm_activate_pad
from inference.opensora.networks.slices import convolve_causal_slices
from inference.opensora.networks.vae_blocks import (
    CausalAttention,
    CausalConv3d,
    InSlices,
    MiddleBlock,
    ResnetBlock,
    SpaceDownsample,
    SpaceTimeDownsample,
    SpaceTimeUpsample,
    SpaceUpsample,
    group_norm,
    in_slices,
)

_SURPLUS_FRAMES = 3
"""Leading frames of a decoded chunk that are dropped: 5 latent frames decode to 20, not to 17."""


class Level(nn.Module):
    """Residual blocks at one size, and the resampling to the next."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        blocks: int,
        *,
        downsample: nn.Module | None = None,
        upsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        widths = [channels] + [out_channels] * blocks
        self.block = nn.ModuleList(ResnetBlock(before, after) for before, after in pairwise(widths))
        self.downsample = downsample
        self.upsample = upsample

    def parts(self) -> Iterator[nn.Module]:
        """Yield the modules to run in order: the blocks, then the resampling, if any.

        In place of a `forward`, whose caller would keep the input in memory during the whole level.
        """
        yield from self.block
        yield from (one for one in (self.downsample, self.upsample) if one is not None)


class Encoder(nn.Module):
    """Encoder from pixels [B, 3, T, H, W] to moments [B, 2 * latent channels, t, h, w].

    All sides are rounded up.
    """

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        widths, last = config.channels, len(config.channels) - 1
        self.conv_in = CausalConv3d(config.pixel_channels, widths[0])
        levels = []
        for level, width in enumerate(widths):
            resample: nn.Module | None = None
            if level != last:
                kind = SpaceTimeDownsample if level in config.temporal_levels else SpaceDownsample
                resample = kind(width)
            before = widths[max(level - 1, 0)]
            levels.append(Level(before, width, config.blocks_per_level, downsample=resample))
        self.down = nn.ModuleList(levels)
        self.mid = MiddleBlock(widths[-1])
        self.norm_out = group_norm(widths[-1])
        self.conv_out = CausalConv3d(widths[-1], 2 * config.latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return means and log-variances, concatenated along the channels."""
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last_3d))
        for level in self.down:
            for part in cast("Level", level).parts():
                x = part(x)
        out: Tensor = self.conv_out(self.mid(x), self.norm_out)
        return out


class Decoder(InSlices):
    """Decoder from latents [B, latent channels, t, h, w] to pixels [B, 3, 4t - 3, 8h, 8w]."""

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        widths, last = config.channels, len(config.channels) - 1
        self.conv_in = CausalConv3d(config.latent_channels, widths[-1])
        self.mid = MiddleBlock(widths[-1])
        levels = []
        for level, width in enumerate(widths):
            resample: nn.Module | None = None
            if level != 0:
                kind = SpaceTimeUpsample if level in config.temporal_levels else SpaceUpsample
                resample = kind(width)
            before = widths[min(level + 1, last)]
            levels.append(Level(before, width, config.blocks_per_level + 1, upsample=resample))
        self.up = nn.ModuleList(levels)
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv3d(widths[0], config.pixel_channels, 3, padding=(0, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        """Return pixels in about -1..1."""
        x = self.mid(self.conv_in(z.contiguous(memory_format=torch.channels_last_3d)))
        for level in reversed(self.up):
            for part in cast("Level", level).parts():
                x = part(x)
        kernel = self.conv_out.kernel_size[0]
        if self.frames is None:
            seen = norm_activate_pad(x, self.norm_out)[:, :, _SURPLUS_FRAMES - (kernel - 1) :]
            return convolve(self.conv_out, seen)
        prepare = in_slices(self.norm_out, x, self.frames)
        found = convolve_causal_slices(x, self.frames, kernel, self._convolve, prepare)
        return found[:, :, _SURPLUS_FRAMES:]

    def _convolve(self, piece: Tensor) -> Tensor:
        return convolve(self.conv_out, piece)


class Posterior(NamedTuple):
    """Posterior of an encoded clip: a normal distribution per latent value."""

    mean: Tensor
    log_variance: Tensor


class VideoVae(nn.Module):
    """Encoder and decoder with chunking and the normalisation of latents."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.decoder = Decoder(config.decoder)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights, and of the computation."""
        return self.decoder.conv_out.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.decoder.conv_out.weight.device

    def work_in_slices(self, *, frames: int | None, rows: int | None) -> None:
        """Limit how much is computed at a time; None is no limit.

        Args:
            frames: Frames per convolution: saves memory, costs a little time.
            rows: Queries per attention call, for devices whose fused kernels lack wide heads.
        """
        for module in self.modules():
            if isinstance(module, InSlices):
                module.frames = frames
            if isinstance(module, CausalAttention):
                module.rows = rows

    def moments(self, pixels: Tensor) -> Posterior:
        """Encode pixels in -1..1, [B, 3, T, H, W] with T = 1 or 16n + 1, without normalisation.

        Raises:
            ValueError: T is neither 1 nor 16n + 1.
        """
        latent_frames(pixels.shape[2])  # checks the length
        stride = CHUNK_FRAMES - 1
        starts = range(0, max(pixels.shape[2] - 1, 1), stride)
        chunks = (pixels[:, :, start : start + CHUNK_FRAMES] for start in starts)
        encoded = [
            torch.cat(
                [self.encoder(clip.to(self.device, self.dtype)) for clip in torch.split(chunk, 1)]
            )
            for chunk in chunks
        ]
        mean, log_variance = torch.cat(encoded, dim=2).chunk(2, dim=1)
        return Posterior(mean, log_variance)

    def encode(self, pixels: Tensor) -> Tensor:
        """Encode to normalised latents, fp32: the posterior's mean.

        The original samples; with the mean the same image always gives the same latents.

        Raises:
            ValueError: See `moments`.
        """
        mean, std = self._statistics()
        return ((self.moments(pixels).mean.float() - mean) / std).contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """Decode normalised latents [B, C, t, h, w] at once; see `decode_chunks`."""
        return torch.cat(list(self.decode_chunks(latents)), dim=2)

    def decode_chunks(self, latents: Tensor) -> Iterator[Tensor]:
        """Decode normalised latents, t = 1 or 5n, yielding pixels [B, 3, T, 8h, 8w] when final.

        The frame that two chunks share is the mean of both versions, so a chunk's last frame comes
        with the next chunk. The difference of the two versions is an error of the decoder, seen as
        a jump: with `border_fade` it is blended over so many frames at each side.
        """
        mean, std = self._statistics()
        latents = latents.to(self.device).float() * std + mean
        held = self.config.border_fade + 1
        waiting: Tensor | None = None
        for chunk in torch.split(latents, CHUNK_LATENTS, dim=2):
            clips = torch.split(chunk.to(self.dtype), 1)
            pixels = torch.cat([self.decoder(clip) for clip in clips]).float()
            if waiting is not None:
                pixels = _joined(waiting, pixels)
            waiting = pixels[:, :, -held:]
            if pixels.shape[2] > held:
                yield pixels[:, :, :-held]
        if waiting is not None:
            yield waiting

    def _statistics(self) -> tuple[Tensor, Tensor]:
        shape = (1, -1, 1, 1, 1)
        mean = torch.tensor(self.config.latent_mean, device=self.device)
        std = torch.tensor(self.config.latent_std, device=self.device)
        return mean.view(shape), std.view(shape)


def _joined(ending: Tensor, pixels: Tensor) -> Tensor:
    """Concatenate the end of a chunk and the next chunk, blending the frame that both share.

    Args:
        ending: Last frames of the first chunk, [B, 3, n, H, W].
        pixels: The next chunk, at least n frames.
    """
    frames = ending.shape[2]
    step = (pixels[:, :, :1] - ending[:, :, -1:]) / 2
    rising = (torch.arange(1, frames + 1, device=step.device) / frames).view(-1, 1, 1)
    ending = ending + step * rising
    start = pixels[:, :, :frames] - step * rising.flip(0)
    return torch.cat((ending[:, :, :-1], start, pixels[:, :, frames:]), dim=2)
