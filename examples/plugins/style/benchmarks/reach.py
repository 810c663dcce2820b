"""Says what stands between clip and picture where style transfer does not bring them near.

    python examples/plugins/style/benchmarks/reach.py

For each pair whose distance falls by less than 60 %: how far it would fall if every pixel could
have any colour at the lightness that it has now, and how far, at which SSIM, if lightness had no
limits.
Measured in frames, before they are encoded: that costs a hundredth.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from measures import distance, ssim
from pictures import Pixels, style_pictures
from rushes_style import lightness
from rushes_style.colour import Floats, to_lab
from rushes_style.look import Look, Picture
from rushes_style.refinement import Quantiles, even_directions
from rushes_style.transport import Palette
from table import CLIPS, FRAMES, config, rendered

from bot.cli.offline_render import open_slot

WANTED = 0.6
_ROUNDS, _PIXELS = 60, 1500


def made(plain: Pixels, picture: Pixels) -> Pixels:
    """Return some frames of a clip in the look of a picture."""
    frames = plain[::12].copy()
    Look.make(Picture.read(picture), plain[:8]).apply(frames)
    return frames


def fall(plain: Pixels, colours: Floats, picture: Pixels) -> float:
    """Return how much of the distance is gone."""
    look = to_lab(picture.reshape(-1, 3)[::7])
    return 1 - distance(colours, look) / distance(sample(plain[::12]), look)


def sample(frames: Pixels) -> Floats:
    """Return some pixels of frames, CIELAB."""
    pixels = frames.reshape(-1, 3)
    return to_lab(pixels[:: len(pixels) // _PIXELS + 1])


def freed(colours: Floats, picture: Pixels) -> Floats:
    """Return colours that come as near to a picture as they can at their lightness."""
    wanted = Quantiles(Palette.of(Picture.read(picture).pixels), even_directions())
    colours = colours.copy()
    shares = np.full(len(colours), 1 / len(colours), np.float32)
    for _ in range(_ROUNDS):
        colours[:, 1:] += wanted.steps(colours, shares)[:, 1:]
    return colours


def row(plain: Pixels, picture: Pixels) -> str | None:
    """Return what there is to say of a pair; None where it is near enough."""
    now = sample(made(plain, picture))
    reached = fall(plain, now, picture)
    if reached >= WANTED:
        return None
    free = fall(plain, freed(now, picture), picture)
    with (
        mock.patch.object(lightness, "LEAST_SSIM", -1.0),
        mock.patch.object(lightness, "MOST_FLICKER", np.inf),
    ):
        bent = made(plain, picture)
    structure = ssim(*(to_lab(frames[2])[..., 0] for frames in (plain[::12], bent)))
    unlimited = fall(plain, sample(bent), picture)
    return f"{reached:.0%} | {free:.0%} | {unlimited:.0%} | {structure:.2f}"


async def main() -> None:
    """Print the table."""
    sys.stdout.write(
        "| clip | picture | falls by | free colours | free lightness | its SSIM |\n"
        "| --- | --- | ---: | ---: | ---: | ---: |\n"
    )
    house = config()
    with tempfile.TemporaryDirectory() as folder:
        async with open_slot(house, house.models.installed) as slot:
            for clip in list(CLIPS)[:4]:
                plain = await rendered(house, slot, CLIPS[clip] + FRAMES, Path(folder))
                for name, picture in style_pictures().items():
                    if (told := row(plain, picture)) is not None:
                        sys.stdout.write(f"| {clip} | {name} | {told} |\n")
                        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
