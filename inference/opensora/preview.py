"""Latent previews: pictures from latents by a linear map, without the VAE.

The map predicts a patch of pixels from each latent pixel. It is fast; its pictures are blurred, but
have the right colours and positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from inference.opensora.conditioning import to_uint8
from inference.opensora.geometry import TIME_FACTOR

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from inference.opensora.networks.vae import VideoVae

_log = structlog.get_logger(__name__)

FILE_NAME = "preview.safetensors"
"""Name of the file with the map, in the folder of its VAE."""

PATCH = 4
"""Pixels per side of the patch for each latent pixel; the VAE decodes 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentPreview:
    """A fitted linear map from latent pixels to patches of a picture."""

    weight: Tensor
    """[3 * patch * patch, channels]."""
    bias: Tensor
    """[3 * patch * patch]."""

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read the map of the VAE in `folder`; None if there is none or it is damaged."""
        path = folder / FILE_NAME
        if not path.is_file():
            return None
        try:
            found = cls(**load_file(path))
        except (OSError, SafetensorError, TypeError):
            found = None
        if found is None or not found.sound:
            _log.warning("preview.damaged", path=str(path))
            return None
        return found

    @property
    def sound(self) -> bool:
        """Whether the map's shape is valid and all its numbers are finite."""
        rows = self.weight.shape[0]
        return (
            self.weight.ndim == 2  # noqa: PLR2004 - rows and channels
            and self.bias.shape == (rows,)
            and rows == 3 * round((rows / 3) ** 0.5) ** 2
            and bool(self.weight.isfinite().all())
            and bool(self.bias.isfinite().all())
        )

    def save(self, folder: Path) -> None:
        """Write the map to the folder of its VAE."""
        save_file({"weight": self.weight, "bias": self.bias}, folder / FILE_NAME)

    def still(self, latents: Tensor) -> npt.NDArray[np.uint8]:
        """Draw the middle frame of latents [1, channels, t, h, w]: uint8 [height, width, 3].

        Raises:
            ValueError: The latents hold NaN or infinity.
        """
        with torch.inference_mode():
            middle = latents[0, :, latents.shape[2] // 2].permute(1, 2, 0).float().cpu()
            values = functional.linear(middle, self.weight, self.bias)
            if not values.isfinite().all():
                raise ValueError("the latents are not finite")
            patch = round((self.weight.shape[0] / 3) ** 0.5)
            pixels = functional.pixel_shuffle(values.permute(2, 0, 1), patch)
            frame: npt.NDArray[np.uint8] = to_uint8(pixels[:, None])[0].numpy()
            return frame


class PreviewFit:
    """Least-squares fit of the map, clip by clip.

    Args:
        patch: Pixels per side of the patch for each latent pixel.
        time_factor: Frames per latent frame; the first latent frame has one.
    """

    def __init__(self, patch: int = PATCH, time_factor: int = TIME_FACTOR) -> None:
        self._patch = patch
        self._time_factor = time_factor
        self._sums: tuple[Tensor, Tensor] | None = None

    @torch.inference_mode()
    def add(self, latents: Tensor, clip: Tensor) -> None:
        """Add a clip and its latents to the fit.

        Args:
            latents: [channels, t, h, w] of one chunk, or its first latent frames.
            clip: Pixels in -1..1, [3, T, H, W]; frames without latents are ignored.
        """
        patch, factor = self._patch, self._time_factor
        count = min(latents.shape[1], 1 + (clip.shape[1] - 1) // factor)
        latents = latents[:, :count].double().cpu()
        rest = clip[:, 1 : 1 + factor * (count - 1)]
        means = torch.unflatten(rest, 1, (count - 1, factor)).mean(2)
        pictures = torch.cat((clip[:, :1], means), dim=1)
        size = tuple(patch * side for side in latents.shape[2:])
        small = functional.interpolate(pictures.transpose(0, 1), size=size, mode="area").double()
        wanted = functional.pixel_unshuffle(small, patch).permute(0, 2, 3, 1).flatten(0, 2)
        given = latents.permute(1, 2, 3, 0).flatten(0, 2)
        given = torch.cat((given, torch.ones(len(given), 1, dtype=given.dtype)), dim=1)
        gram, target = self._sums or (0.0, 0.0)
        self._sums = gram + given.T @ given, target + given.T @ wanted

    def solve(self) -> LatentPreview:
        """Return the map with the least squared error over all added clips.

        Raises:
            ValueError: No clip was added, or the solution is not finite.
        """
        if self._sums is None:
            raise ValueError("there were no clips to fit to")
        solution = torch.linalg.lstsq(*self._sums).solution.float().T
        fitted = LatentPreview(
            weight=solution[:, :-1].contiguous(), bias=solution[:, -1].contiguous()
        )
        if not fitted.sound:
            raise ValueError("the fit is not finite")
        return fitted


def fit(vae: VideoVae, clips: Iterable[Tensor]) -> LatentPreview:
    """Fit a preview map to a VAE.

    Args:
        vae: The VAE, which encodes the clips.
        clips: Pixels in -1..1, [3, T, height, width] with T = 17 and sides divisible by 16.

    Raises:
        ValueError: There are no clips.
    """
    fitted = PreviewFit()
    for clip in clips:
        fitted.add(vae.encode(clip[None])[0], clip)
    return fitted.solve()
