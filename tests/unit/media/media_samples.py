"""Pictures to encode, and a way to look at what was encoded."""

from __future__ import annotations

import functools
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from inference.domain.spec import Size

Frames = npt.NDArray[np.uint8]


def plain(count: int, size: Size, level: int) -> Frames:
    return np.full((count, size.height, size.width, 3), level, np.uint8)


@functools.lru_cache(maxsize=4)  # they take longer to draw than to encode
def moving(count: int, size: Size, noise: float = 4.0) -> Frames:
    """Drifting colour waves with film grain: something an encoder has to work for."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0 : size.height, 0 : size.width]
    frames = []
    for index in range(count):
        waves = [np.sin(columns / 40 + index / 5), np.sin(rows / 30 - index / 7)]
        picture = np.stack([*waves, waves[0] * waves[1]], axis=-1) * 110 + 127
        grain = rng.normal(0, noise, (size.height, size.width, 1))
        frames.append(np.clip(picture + grain, 0, 255).astype(np.uint8))
    clip = np.stack(frames)
    clip.flags.writeable = False  # it is the same for every test
    return clip


def decode(path: Path) -> Frames:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
