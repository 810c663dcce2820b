"""Preview stills of clips that are being rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from inference.media.atomic_files import write_bytes
from inference.media.stills import jpeg

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

SIDE = 320
"""Pixels of the longer side."""

MOST_BYTES = 40_000

_QUALITIES = (80, 60, 40, 20, 5)


def write_preview(target: Path, still: npt.NDArray[np.uint8]) -> None:
    """Write a still [height, width, 3] as a JPEG of at most `MOST_BYTES`, over an older one.

    It is not marked: like an image, it is no clip, and too small and blurred to be taken for one.

    Raises:
        EngineError: `disk.full`.
    """
    image = Image.fromarray(still)
    factor = SIDE / max(image.size)
    size = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
    image = image.resize(size, Image.Resampling.BICUBIC)
    for quality in _QUALITIES:
        data = jpeg(image, quality)
        if len(data) <= MOST_BYTES:
            break
    write_bytes(target, data)
