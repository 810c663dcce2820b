"""Draws the picture of the README: clips from nano, plain and in the look of four pictures.

    python examples/plugins/style/benchmarks/before_after.py before-after.jpg

Needs Rushes with the plugin installed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np
from pictures import Pixels, style_pictures
from PIL import Image
from rushes_style.look import Look, Picture
from table import CLIPS, FRAMES, config, rendered

from bot.cli.offline_render import open_slot

_CLIPS = ("ball in snow", "fish at sea", "tree, meadow")
_PICTURES = ("sunset", "sepia", "forest", "pastel")
_WIDTH, _HEIGHT, _GAP = 300, 169, 8


async def draw() -> Image.Image:
    """Return rows of clips below the pictures, the plain ones at the left."""
    drawn, house = style_pictures(), config()
    rows: list[list[Pixels | None]] = [[None, *(drawn[name] for name in _PICTURES)]]
    with tempfile.TemporaryDirectory() as folder:
        async with open_slot(house, house.models.installed) as slot:
            for clip in _CLIPS:
                plain = await rendered(house, slot, CLIPS[clip] + FRAMES, Path(folder))
                row = [plain[24]]
                for name in _PICTURES:
                    moment = plain[24:25].copy()
                    Look.make(Picture.read(drawn[name]), plain[:8]).apply(moment)
                    row.append(moment[0])
                rows.append(list(row))
    return sheet(rows)


def sheet(rows: list[list[Pixels | None]]) -> Image.Image:
    """Return pictures on a white sheet, an empty place where there is none."""
    size = (len(rows[0]) * (_WIDTH + _GAP) + _GAP, len(rows) * (_HEIGHT + _GAP) + _GAP)
    made = Image.new("RGB", size, "white")
    for down, row in enumerate(rows):
        for right, picture in enumerate(row):
            if picture is not None:
                place = (_GAP + right * (_WIDTH + _GAP), _GAP + down * (_HEIGHT + _GAP))
                made.paste(Image.fromarray(np.asarray(picture)).resize((_WIDTH, _HEIGHT)), place)
    return made


if __name__ == "__main__":
    asyncio.run(draw()).save(sys.argv[1], quality=88)
