"""Pictures of latents without the VAE: one linear map per latent pixel, fitted once per VAE.

The map gives each latent pixel's patch of the picture. It costs next to nothing, and what it shows
is blurred, but the colours and places are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from inference.opensora.conditioning import to_uint8

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from inference.opensora.vae import VideoVae

FILE_NAME = "preview.safetensors"
"""Beside the weights of the VAE that it was fitted to."""

PATCH = 4
"""Pixels per side of the patch that each latent pixel is drawn as; the VAE has 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentPreview:
    """The fitted map."""

    weight: Tensor
    """[3 * patch * patch, channels]."""
    bias: Tensor
    """[3 * patch * patch]."""

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read the map of the VAE in `folder`, or None where none was fitted."""
        path = folder / FILE_NAME
        return cls(**load_file(path)) if path.is_file() else None

    def save(self, folder: Path) -> None:
        """Write the map beside its VAE."""
        save_file({"weight": self.weight, "bias": self.bias}, folder / FILE_NAME)

    def still(self, latents: Tensor) -> npt.NDArray[np.uint8]:
        """Draw the middle of a clip's latents [1, channels, t, h, w]: uint8 [height, width, 3]."""
        with torch.inference_mode():
            middle = latents[0, :, latents.shape[2] // 2].permute(1, 2, 0).float().cpu()
            values = functional.linear(middle, self.weight, self.bias)
            patch = round((self.weight.shape[0] / 3) ** 0.5)
            pixels = functional.pixel_shuffle(values.permute(2, 0, 1), patch)
            frame: npt.NDArray[np.uint8] = to_uint8(pixels[:, None])[0].numpy()
            return frame


@torch.inference_mode()
def fit(vae: VideoVae, clips: Iterable[Tensor]) -> LatentPreview:
    """Fit the map by least squares.

    Args:
        vae: The VAE.
        clips: Pixels in -1..1, [3, T, height, width] with T = 17 and sides divisible by 16.
    """
    gram: Tensor | float = 0.0
    target: Tensor | float = 0.0
    for clip in clips:
        latents = vae.encode(clip[None])[0].double().cpu()
        # Latent 0 stands for the first frame, every later one for four of them.
        first, rest = clip[:, :1], functional.avg_pool3d(clip[:, 1:], (4, 1, 1))
        pictures = torch.cat((first, rest), dim=1).transpose(0, 1)
        size = tuple(PATCH * side for side in latents.shape[2:])
        small = functional.interpolate(pictures, size=size, mode="area").double()
        wanted = functional.pixel_unshuffle(small, PATCH).permute(0, 2, 3, 1).flatten(0, 2)
        given = latents.permute(1, 2, 3, 0).flatten(0, 2)
        given = torch.cat((given, torch.ones(len(given), 1, dtype=given.dtype)), dim=1)
        gram, target = gram + given.T @ given, target + given.T @ wanted
    if not isinstance(gram, Tensor) or not isinstance(target, Tensor):
        raise TypeError("there were no clips to fit to")
    solution = torch.linalg.lstsq(gram, target).solution.float().T
    return LatentPreview(weight=solution[:, :-1].contiguous(), bias=solution[:, -1].contiguous())
