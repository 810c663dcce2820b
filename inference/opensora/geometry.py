"""Geometry of clips: sizes in pixels and latents, legal lengths, noise schedule. No torch."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import NamedTuple

SPACE_FACTOR = 8
"""Pixels per latent along height and width."""

TIME_FACTOR = 4
"""Frames per latent frame, but for the first latent frame of a chunk, which is one frame."""

CHUNK_FRAMES = 17
"""Frames of one chunk, which the VAE encodes by itself; neighbouring chunks share one frame."""

CHUNK_LATENTS = 5
"""Latent frames of one chunk."""

WINDOW = 8
"""Rows and columns of an attention window of the transformer's temporal blocks, in patches."""

IMAGE_FPS = 120
"""Frame rate that still images had in training."""

_SCHEDULE_AREA = 512 * 512


class PixelSize(NamedTuple):
    """Height and width in pixels, in the order of the original's tables."""

    height: int
    width: int


def _table(rows: str) -> MappingProxyType[str, PixelSize]:
    sizes = {}
    for row in rows.split():
        aspect, height, width = row.split("=")[0], *row.split("=")[1].split("x")
        sizes[aspect] = PixelSize(int(height), int(width))
    return MappingProxyType(sizes)


OFFICIAL_SIZES = MappingProxyType(
    {
        "360p": _table(
            "3:8=294x784 9:21=314x732 12:25=332x692 1:2=340x680 9:17=350x662 27:50=352x652 "
            "9:16=360x640 5:8=380x608 2:3=392x588 3:4=416x554 1:1=480x480 4:3=554x416 "
            "3:2=588x392 16:9=640x360 17:9=660x350 2:1=678x340 50:27=692x332"
        ),
        "720p": _table(
            "3:8=588x1568 9:21=628x1466 12:25=666x1388 1:2=678x1356 9:17=698x1318 27:50=706x1306 "
            "9:16=720x1280 5:8=758x1212 2:3=784x1176 3:4=832x1110 1:1=960x960 4:3=1108x832 "
            "3:2=1176x784 16:9=1280x720 17:9=1320x698 2:1=1358x680 50:27=1386x666"
        ),
    }
)
"""Sizes by resolution and aspect as **height:width**, exactly as in the original's tables."""

NANO_SIZES = _table("9:16=64x112 16:9=112x64 3:4=64x96 4:3=96x64 1:1=80x80")
"""Sizes by aspect as height:width, near those that the bundled nano model was trained with."""


def flip_aspect(aspect: str) -> str:
    """Swap the sides of an aspect: "width:height" of options, "height:width" of the tables."""
    width, height = aspect.split(":")
    return f"{height}:{width}"


def official_size(resolution: str, aspect: str) -> PixelSize:
    """Return the official models' size for an aspect as "width:height" (16:9 is landscape).

    Raises:
        KeyError: The resolution or the aspect is not in the tables.
    """
    return OFFICIAL_SIZES[resolution][flip_aspect(aspect)]


def nano_size(aspect: str) -> PixelSize:
    """Return nano's size for an aspect as "width:height".

    Raises:
        KeyError: The aspect is not in the table.
    """
    return NANO_SIZES[flip_aspect(aspect)]


def latent_frames(frames: int) -> int:
    """Return the number of latent frames of a clip with `frames` frames.

    Raises:
        ValueError: `frames` is neither 1 nor 16n + 1.
    """
    if frames == 1:
        return 1
    chunks, rest = divmod(frames - 1, CHUNK_FRAMES - 1)
    if rest or chunks < 1:
        raise ValueError(f"{frames} frames: a clip has 1 or 16n + 1 of them")
    return chunks * CHUNK_LATENTS


def latent_size(size: PixelSize) -> PixelSize:
    """Return the latent height and width; the encoder rounds up."""
    return PixelSize(math.ceil(size.height / SPACE_FACTOR), math.ceil(size.width / SPACE_FACTOR))


def compute_decoded_size(size: PixelSize) -> PixelSize:
    """Return the size of the decoded frames when `size` is requested (554 becomes 560)."""
    latent = latent_size(size)
    return PixelSize(latent.height * SPACE_FACTOR, latent.width * SPACE_FACTOR)


def schedule_ratio(size: PixelSize, frames: int) -> float:
    """Return the shift of the noise schedule by size and length (1: unchanged).

    Large and long clips spend more steps at high noise. As in training, length counts in groups of
    four frames, without the VAE's chunks.
    """
    time = 1 if frames == 1 else (frames - 1) // 4
    return math.sqrt(size.height * size.width / _SCHEDULE_AREA) * math.sqrt(time)


def timesteps(steps: int, ratio: float = 1.0) -> list[float]:
    """Return the noise levels of a sampling run, from 1000 downwards, without the final 0.

    Args:
        steps: Number of steps.
        ratio: From `schedule_ratio`; 1 spaces the levels evenly.
    """
    return [1000 * shift_level(1 - step / steps, ratio) for step in range(steps)]


def shift_level(level: float, ratio: float) -> float:
    """Shift a noise level t in 0..1 towards high noise: `ratio` multiplies the odds t / (1 - t)."""
    return ratio * level / (1 + (ratio - 1) * level)
