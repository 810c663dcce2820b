"""A contact sheet: what a model makes of a handful of prompts, to be looked at.

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
from inference.nano.captions import plain
from inference.nano.scenes import Move, Scene
from inference.opensora.controls import Aesthetic, Camera, Motion

_SHOWN = 4
"""Moments of each clip."""

_PICTURE = (160, 90)
_COLUMNS = 2
_MARGIN = 12
_CAPTION = 22
_PAPER = "#16161d"
_INK = "#e8e6f0"


def _scene(thing: str, colour: str, place: str, move: Move = Move.STILL) -> Scene:
    return Scene(
        thing=thing,
        colour=colour,
        place=place,
        move=move,
        motion=Motion.FAIR,
        camera=Camera.NONE,
        aesthetic=Aesthetic.EXCELLENT,
        seed=3,
    )


SCENES = (
    _scene("ball", "red", "snow", Move.RIGHT),
    _scene("star", "yellow", "night", Move.UP),
    _scene("heart", "pink", "sky", Move.LEFT),
    _scene("square", "blue", "desert", Move.RIGHT),
    _scene("boat", "orange", "sea", Move.LEFT),
    _scene("diamond", "purple", "meadow", Move.DOWN),
    _scene("ring", "green", "checkerboard", Move.RIGHT),
    _scene("triangle", "white", "city", Move.UP),
    _scene("house", "brown", "snow", Move.GROW),
    replace(_scene("tree", "black", "sunset"), camera=Camera.PAN_RIGHT),
    _scene("moon", "yellow", "sunset", Move.DOWN),
    _scene("fish", "red", "sea", Move.RIGHT),
)
"""Something of everything; several of the pairs of thing and colour were never trained."""


def draw(shots: Sequence[tuple[str, Frames]]) -> Image.Image:
    """Lay clips out under their captions.

    Args:
        shots: Caption and frames of each.
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
            caption = plain(scene).prompt
            if scene.camera is not Camera.NONE:
                caption += f", camera: {scene.camera}"
            shots.append((caption, installation.shoot(scene)))
    draw(shots).save(options.sheet)


if __name__ == "__main__":
    main()
