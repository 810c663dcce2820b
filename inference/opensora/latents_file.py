"""Latents on disk, for a later clip to go on from: bf16, about 14 MB for 720p and 97 frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from inference.opensora.geometry import CHUNK_LATENTS, PixelSize, latent_size

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_NAME = "latents"


def pack(latents: Tensor) -> bytes:
    """Return the file of a clip's latents [1, channels, t, h, w]."""
    return save({_NAME: latents.to("cpu", torch.bfloat16).contiguous()})


def unpack(path: Path, *, channels: int, size: PixelSize) -> Tensor:
    """Read latents that a clip of this size can go on from: bf16 [1, channels, t, h, w].

    Args:
        path: What `pack` made.
        channels: Of the model's latents.
        size: Pixel size of the clip, as asked of the model.

    Raises:
        ValueError: The file is not whole, or of another size or model.
    """
    try:
        latents = load_file(path)[_NAME]
    except (OSError, SafetensorError, KeyError) as error:
        raise ValueError(f"{path.name}: no latents") from error
    if latents.ndim != 5 or latents.shape[2] % CHUNK_LATENTS:  # noqa: PLR2004 - b, c, t, h, w
        raise ValueError(f"{path.name}: not the latents of a clip: {tuple(latents.shape)}")
    wanted = (1, channels, *latent_size(size))
    found = (*latents.shape[:2], *latents.shape[3:])
    if found != wanted:
        raise ValueError(f"{path.name}: latents {found}, not {wanted}")
    if not latents.isfinite().all():
        raise ValueError(f"{path.name}: latents that are not finite")
    return latents
