"""Measures style transfer over pictures and clips, through the real worker, and prints a table.

    python examples/plugins/style/benchmarks/table.py [--clips 4] [--pictures 8]

Needs Rushes with the plugin installed. Every clip is rendered once plain and once with each
picture: encoded, watermarked, and read back from its file. `seconds` are CPU seconds of the
effect alone.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
from measures import Measured, frames_of, measured
from pictures import Pixels, style_pictures
from PIL import Image
from rushes_style.look import Look, NoiseGate, Picture

from bot.cli.offline_render import open_slot, plan, render
from bot.config.sections import Config
from bot.config.sources import load_config
from inference.workers.slot import Slot

CLIPS = {
    "ball in snow": "a red ball bouncing in the snow --model nano --seed 7",
    "fish at sea": "a yellow fish swimming in the sea --model nano --seed 3 --motion high",
    "tree, meadow": "a brown tree in a green meadow --model nano --seed 5",
    "test card": "a red fox running through snow --model testcard --resolution 360p --seed 7",
    "star at night": "a blue star moving up in the night sky --model nano --seed 7",
}
"""The last one is nearly black: no bright picture is near it as long as its structure stays."""

FRAMES = " --frames 49"


def config() -> Config:
    """Return the installation that the clips are rendered in."""
    return load_config(
        None,
        overrides={
            "models": {"installed": ["nano", "testcard"], "testcard": {"step_seconds": 0.0}}
        },
    )


async def rendered(
    house: Config, slot: Slot, line: str, folder: Path, picture: Path | None = None
) -> Pixels:
    """Render a clip and return the frames of its file."""
    more = "" if picture is None else f" --style {picture}"
    output = folder / "clip.mp4"
    resolved = plan(house, line + more, output)
    await render(house, slot, resolved, output, lambda _progress: None)
    return frames_of(output)


async def measurements(
    clips: Sequence[str], pictures: Sequence[str]
) -> AsyncIterator[tuple[str, str, Measured, float]]:
    """Yield clip, picture, what was measured, and the CPU seconds of 49 frames."""
    drawn, house = style_pictures(), config()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with open_slot(house, house.models.installed) as slot:
            for clip in clips:
                line = CLIPS[clip] + FRAMES
                plain = await rendered(house, slot, line, folder)
                for name in pictures:
                    file = folder / f"{name}.png"
                    Image.fromarray(drawn[name]).save(file)
                    styled = await rendered(house, slot, line, folder, file)
                    found = measured(plain, styled, drawn[name])
                    yield clip, name, found, cost(plain, drawn[name])


def cost(frames: Pixels, picture: Pixels) -> float:
    """Return the CPU seconds that the effect takes for frames."""
    frames = frames.copy()
    started = time.process_time()
    look, gate = Look.make(Picture.read(picture), frames[:8]), NoiseGate()
    for start in range(0, len(frames), 8):
        look.apply(frames[start : start + 8], gate)
    return time.process_time() - started


async def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=len(CLIPS))
    parser.add_argument("--pictures", type=int, default=8)
    chosen = parser.parse_args()
    rows = []
    sys.stdout.write(
        "| clip | picture | distance | after | falls by | SSIM | flicker | seconds |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    )
    clips, pictures = list(CLIPS)[: chosen.clips], list(style_pictures())[: chosen.pictures]
    async for clip, name, found, seconds in measurements(clips, pictures):
        rows.append((clip, found.fall, found.structure, found.flicker, seconds))
        sys.stdout.write(
            f"| {clip} | {name} | {found.before:.1f} | {found.after:.1f} | {found.fall:.0%} | "
            f"{found.structure:.3f} | {found.flicker:.2f} | {seconds:.2f} |\n"
        )
        sys.stdout.flush()
    for clip in [*clips, None]:
        own = np.array([row[1:] for row in rows if clip in {None, row[0]}])
        fall, structure, flicker, seconds = own.mean(0)
        sys.stdout.write(
            f"| **{clip or 'all'}** | mean | | | {fall:.0%} | {structure:.3f} (least "
            f"{own[:, 1].min():.3f}) | {flicker:.2f} | {seconds:.2f} |\n"
        )


if __name__ == "__main__":
    asyncio.run(main())
