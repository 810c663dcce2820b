"""Contact sheet of a model's clips for a few prompts, for visual inspection.

python -m benchmarks.training.sheet SHEET.png            # the weights that ship
python -m benchmarks.training.sheet SHEET.png RUN/weights
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.training.evaluate import Installation
from benchmarks.training.measure import Frames
from benchmarks.training.prompts import scene_of
from benchmarks.training.world.backgrounds import UNNAMED
from benchmarks.training.world.captions import plain
from benchmarks.training.world.scenes import Move
from inference.opensora.controls import Camera

_SHOWN = 4
"""Frames shown of each clip."""

_PICTURE = (160, 90)
_COLUMNS = 2
_MARGIN = 12
_CAPTION = 22
_PAPER = "#16161d"
_INK = "#e8e6f0"


SCENES = (
    scene_of("ball", "red", "snow", Move.RIGHT),
    scene_of("star", "yellow", "night", Move.UP),
    scene_of("heart", "pink", "sky", Move.LEFT),
    scene_of("square", "blue", "desert", Move.RIGHT),
    scene_of("boat", "orange", "sea", Move.LEFT),
    scene_of("diamond", "purple", "meadow", Move.DOWN),
    scene_of("ring", "green", "checkerboard", Move.RIGHT),
    scene_of("triangle", "white", "city", Move.UP),
    scene_of("house", "brown", "snow", Move.GROW),
    replace(scene_of("tree", "black", "sunset"), camera=Camera.PAN_RIGHT),
    scene_of("moon", "yellow", "sunset", Move.DOWN),
    scene_of("fish", "red", "sea", Move.RIGHT),
    scene_of("fox", "red", "snow", Move.RIGHT),
    scene_of("cat", "black", UNNAMED),
    scene_of("car", "blue", "plain white", Move.LEFT),
    scene_of("rocket", "white", "night", Move.UP),
)
"""Scenes with a variety of attributes; some pairs of thing and colour are held out."""


_TYPED = {"fox": "a red fox running through snow", "cat": "a black cat"}
"""Prompts as people type them, by thing."""


def draw(shots: Sequence[tuple[str, Frames]]) -> Image.Image:
    """Draw a sheet with frames of clips below their captions.

    Args:
        shots: Caption and frames of each clip.
    """
    width = _SHOWN * _PICTURE[0]
    rows = -(-len(shots) // _COLUMNS)
    cell = (width + _MARGIN, _PICTURE[1] + _CAPTION + _MARGIN)
    sheet = Image.new("RGB", (_COLUMNS * cell[0] + _MARGIN, rows * cell[1] + _MARGIN), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for index, (caption, frames) in enumerate(shots):
        left = _MARGIN + index % _COLUMNS * cell[0]
        top = _MARGIN + index // _COLUMNS * cell[1]
        pen.text((left, top), caption, _INK, font)
        moments = np.linspace(0, len(frames) - 1, _SHOWN).astype(int)
        for place, moment in enumerate(moments):
            picture = Image.fromarray(frames[moment]).resize(_PICTURE, Image.Resampling.BOX)
            sheet.paste(picture, (left + place * _PICTURE[0], top + _CAPTION))
    return sheet


def main() -> None:
    """Draw a sheet from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sheet", type=Path, help="picture to write")
    parser.add_argument("weights", type=Path, nargs="?", help="a folder; without, what ships")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        installation = Installation(options.weights, Path(name))
        shots = []
        for scene in SCENES:
            caption = _TYPED.get(scene.thing, plain(scene).prompt)
            if scene.camera is not Camera.NONE:
                caption += f", camera: {scene.camera}"
            shots.append((caption, installation.shoot(scene, prompt=_TYPED.get(scene.thing))))
    draw(shots).save(options.sheet)


if __name__ == "__main__":
    main()
