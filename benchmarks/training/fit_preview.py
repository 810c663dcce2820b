"""Fits the preview map of a VAE on drawn scenes.

    python -m benchmarks.training.fit_preview inference/weights/nano/vae

Works for any VAE of the official architecture. The file is written to the VAE's folder, from where
the engine loads it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.training.reporting import say
from benchmarks.training.world.captions import draw_scene
from benchmarks.training.world.scenes import WIDE, render
from inference.opensora.checkpoint import load_vae
from inference.opensora.geometry import CHUNK_FRAMES
from inference.opensora.preview import FILE_NAME, fit


def clips(count: int, seed: int) -> Iterator[Tensor]:
    """Yield drawn scenes: pixels in -1..1, [3, T, height, width] each."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        frames = render(draw_scene(random), WIDE, CHUNK_FRAMES)
        yield torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1


def main() -> None:
    """Fit the map from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("vae", type=Path, help="folder of the VAE")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    fit(load_vae(options.vae), clips(options.clips, options.seed)).save(options.vae)
    say(str(options.vae / FILE_NAME))


if __name__ == "__main__":
    main()
