"""What style transfer is measured by: palette distance, structure, flicker, in frames of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from rushes_style.colour import Floats, to_lab

Pixels = npt.NDArray[np.uint8]

_DIRECTIONS, _QUANTILES = 96, 512
_KERNEL = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_KERNEL /= _KERNEL.sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A styled clip beside the same clip without its style, both read from their files."""

    before: float
    """Sliced Wasserstein distance (CIELAB) of the plain clip to the picture."""
    after: float
    structure: float
    """Mean SSIM of the lightness of the two."""
    flicker: float
    """Mean change of lightness from frame to frame, as a multiple of the plain clip's."""

    @property
    def fall(self) -> float:
        """How much of the distance is gone, 0..1."""
        return 1 - self.after / self.before


def measured(plain: Pixels, styled: Pixels, picture: Pixels) -> Measured:
    """Compare frames [frames, height, width, 3] of two files with a picture."""
    look = to_lab(picture.reshape(-1, 3)[::7])
    lightness = [to_lab(frames[::8])[..., 0] for frames in (plain, styled)]
    changes = [
        np.abs(np.diff(to_lab(f[:, ::2, ::2])[..., 0], axis=0)).mean() for f in (plain, styled)
    ]
    return Measured(
        before=distance(_palette(plain), look),
        after=distance(_palette(styled), look),
        structure=float(np.mean([ssim(*pair) for pair in zip(*lightness, strict=True)])),
        flicker=float(changes[1] / changes[0]),
    )


def _palette(frames: Pixels) -> Floats:
    return to_lab(frames[::4].reshape(-1, 3)[::53])


def distance(some: Floats, others: Floats) -> float:
    """Return the sliced Wasserstein-1 distance of two clouds of points, [points, 3]."""
    directions = np.random.default_rng(0).normal(size=(3, _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    one, other = (np.quantile(points @ directions, shares, axis=0) for points in (some, others))
    return float(np.abs(one - other).mean())


def ssim(one: Floats, other: Floats) -> float:
    """Return the mean structural similarity of two pictures of lightness 0..100 (Wang 2004)."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    mean, other_mean = _blurred(one), _blurred(other)
    variance = _blurred(one**2) - mean**2
    other_variance = _blurred(other**2) - other_mean**2
    covariance = _blurred(one * other) - mean * other_mean
    light = (2 * mean * other_mean + 1) / (mean**2 + other_mean**2 + 1)
    return float((light * (2 * covariance + 9) / (variance + other_variance + 9)).mean())


def _blurred(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    for _ in range(2):
        rows = len(image) - len(_KERNEL) + 1
        image = np.sum([w * image[i : i + rows] for i, w in enumerate(_KERNEL)], axis=0).T
    return image


def frames_of(path: Path) -> Pixels:
    """Return the frames of a file, [frames, height, width, 3]."""
    with av.open(str(path)) as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])
