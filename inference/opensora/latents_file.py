"""Latents file, which lets a later clip extend this one: bf16, 14 MB for 720p and 97 frames."""

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
    """Serialise a clip's latents [1, channels, t, h, w] to safetensors."""
    return save({_NAME: latents.to("cpu", torch.bfloat16).contiguous()})


def unpack(path: Path, *, channels: int, size: PixelSize) -> Tensor:
    """Read latents for a clip of this size to extend: bf16 [1, channels, t, h, w].

    Args:
        path: File written with `pack`.
        channels: Latent channels of the model.
        size: Requested pixel size of the clip.

    Raises:
        ValueError: The file is damaged, or of another size or model.
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
