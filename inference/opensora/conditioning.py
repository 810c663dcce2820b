"""Conditioning on references: image preparation, and where reference latents go in a clip."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inference.opensora.geometry import CHUNK_LATENTS, PixelSize
from inference.opensora.sampler import References


def fit_image(image: Image.Image, size: PixelSize) -> Image.Image:
    """Scale a picture to cover `size` and crop its centre."""
    image = image.convert("RGB")
    scale = max(size.height / image.height, size.width / image.width)
    width = max(size.width, round(image.width * scale))
    height = max(size.height, round(image.height * scale))
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size.width) / 2), round((height - size.height) / 2)
    return scaled.crop((left, top, left + size.width, top + size.height))


def to_pixels(image: Image.Image) -> Tensor:
    """Convert an RGB picture to VAE input: fp32 in -1..1, [3, height, width]."""
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return values.float().div(255).sub(0.5).div(0.5)


def to_uint8(pixels: Tensor) -> Tensor:
    """Convert [3, T, H, W] in -1..1 to frames [T, H, W, 3] uint8; other values are clamped."""
    values = pixels.float().clamp(-1, 1).add(1).div(2).mul(255).add(0.5).clamp(0, 255)
    return values.permute(1, 2, 3, 0).to(torch.uint8)


class ReferenceKind(StrEnum):
    """Position of references in a clip, with the original's names."""

    IMAGE_HEAD = "i2v_head"
    """First frame."""
    IMAGE_LOOP = "i2v_loop"
    """First and last frame."""
    VIDEO_HEAD = "v2v_head"
    """First chunk."""
    IMAGE_TAIL = "i2v_tail"
    """Last frame."""


def place_references(kind: ReferenceKind, references: Sequence[Tensor], frames: int) -> References:
    """Place encoded references in an otherwise empty clip of `frames` latent frames.

    Args:
        kind: Their position.
        references: Latents [channels, t, h, w]. Only `IMAGE_LOOP` takes a second one, for the last
            frame; without it the last frame of the first one is used.
        frames: Latent frames of the clip.
    """
    first = references[0]
    latents = torch.zeros(first.shape[0], frames, *first.shape[2:])
    length = min(CHUNK_LATENTS, first.shape[1], frames) if kind == ReferenceKind.VIDEO_HEAD else 1
    given: list[int] = []
    if kind != ReferenceKind.IMAGE_TAIL:
        latents[:, :length] = first[:, :length]
        given += range(length)
    if kind in (ReferenceKind.IMAGE_LOOP, ReferenceKind.IMAGE_TAIL):
        latents[:, -1] = references[1][:, 0] if len(references) > 1 else first[:, -1]
        given.append(frames - 1)
    return References(latents=latents[None], frames=tuple(dict.fromkeys(given)))


def continue_clip(samples: Tensor, frames: int, tail: Tensor | None = None) -> References:
    """Return references that make the next pass start with the last chunk of this one.

    Args:
        samples: Latents of this pass, [1, channels, T, h, w].
        frames: Latent frames of the next pass.
        tail: Latent [channels, h, w] of a required last frame.
    """
    latents = torch.zeros_like(samples[:, :, :1]).repeat(1, 1, frames, 1, 1)
    latents[:, :, :CHUNK_LATENTS] = samples[:, :, -CHUNK_LATENTS:]
    given = list(range(CHUNK_LATENTS))
    if tail is not None:
        latents[:, :, -1] = tail
        given.append(frames - 1)
    return References(latents=latents, frames=tuple(dict.fromkeys(given)))
