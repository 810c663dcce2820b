"""A pool of scenes on disk, encoded once: latents and captions, ready to train on.

A shard is one safetensors file of clips of one shape; what they show is in its JSON metadata. The
VAE is the costly part of a training step on a CPU, and it is frozen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from benchmarks.training.reporting import say
from inference.nano.captions import Caption, describe, draw_scene
from inference.nano.scenes import WIDE, Move, Scene, cover, render
from inference.opensora.checkpoint import load_vae
from inference.opensora.controls import Aesthetic, Camera, Motion
from inference.opensora.geometry import (
    CHUNK_FRAMES,
    IMAGE_FPS,
    NANO_SIZES,
    SPACE_FACTOR,
    TIME_FACTOR,
    PixelSize,
)
from inference.opensora.networks.vae import VideoVae

CAPTIONS_PER_CLIP = 4

_TENSORS = ("latents", "first", "last", "cover")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipShape:
    """What clips must share to be in one batch."""

    size: PixelSize
    frames: int
    fps: float
    """What the scenes were drawn at; slower rates show more time in the same frames."""
    begins: float = 0.0
    """How far in clips begin, as a share of their length. Later ones are only ever trained as
    continuations: captions do not say where a thing has got to."""


_STILL = ClipShape(size=WIDE, frames=1, fps=IMAGE_FPS)
_OTHERS = tuple(size for size in NANO_SIZES.values() if size != WIDE)
_SHAPES = (
    *[ClipShape(size=WIDE, frames=17, fps=8)] * 12,
    *[ClipShape(size=WIDE, frames=49, fps=24)] * 11,
    *[ClipShape(size=WIDE, frames=49, fps=24, begins=2 / 3)] * 2,
    ClipShape(size=WIDE, frames=17, fps=24),
    ClipShape(size=WIDE, frames=33, fps=24),
    *[_STILL] * 2,
    *(ClipShape(size=size, frames=17, fps=8) for size in _OTHERS),
    *(ClipShape(size=size, frames=1, fps=IMAGE_FPS) for size in _OTHERS),
)
"""The mix of shapes, as often as they are to come: mostly the product's default size.

The short clips show as much as the long ones for a third of the cost, but a latent of theirs holds
three times the motion: outlines in long clips are learned from long clips.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Clips of one shape."""

    shape: ClipShape
    latents: Tensor
    """Normalised, fp16, [clips, channels, t, h, w]."""
    first: Tensor
    """Each clip's first frame encoded as an image, [clips, channels, 1, h, w]; it is not
    `latents[:, :, :1]`, and it is what the product starts a clip from."""
    last: Tensor
    """Each clip's last frame in the same way, for clips that are to end with a picture."""
    cover: Tensor
    """Largest share of a pixel that the thing hides in each latent, fp16 [clips, t, h, w]."""
    scenes: tuple[Scene, ...]
    captions: tuple[tuple[Caption, ...], ...]
    """Several ways to say each scene."""

    def save(self, path: Path) -> None:
        """Write the shard; it appears under its name only when whole."""
        shape = {**asdict(self.shape), "size": list(self.shape.size)}
        metadata = {
            "shape": json.dumps(shape),
            "scenes": json.dumps([asdict(scene) for scene in self.scenes]),
            "captions": json.dumps([[asdict(c) for c in several] for several in self.captions]),
        }
        part = path.with_suffix(".part")
        tensors = {name: getattr(self, name) for name in _TENSORS}
        save_file(tensors, part, metadata)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Shard:
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
        shape = json.loads(metadata["shape"])
        return cls(
            shape=ClipShape(**{**shape, "size": PixelSize(*shape["size"])}),
            **tensors,
            scenes=tuple(_scene(values) for values in json.loads(metadata["scenes"])),
            captions=tuple(
                tuple(Caption(**values) for values in several)
                for several in json.loads(metadata["captions"])
            ),
        )


def load_pool(folder: Path) -> list[Shard]:
    """Read all shards of a folder, in the order of their names."""
    return [Shard.load(path) for path in sorted(folder.glob("*.safetensors"))]


def encode_scenes(
    vae: VideoVae, scenes: Sequence[Scene], shape: ClipShape, random: np.random.Generator
) -> Shard:
    """Draw, encode and describe scenes."""
    image = shape.frames == 1
    clips, firsts, lasts, covers = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()
    for scene in scenes:
        drawn = render(scene, shape.size, shape.frames, shape.fps, begins=shape.begins)
        frames = torch.from_numpy(drawn)
        pixels = frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.inference_mode():
            clips.append(vae.encode(pixels))
            for ends, frame in ((firsts, pixels[:, :, :1]), (lasts, pixels[:, :, -1:])):
                ends.append(clips[-1] if image else vae.encode(frame))
        covers.append(_covered(scene, shape))
    captions = tuple(
        tuple(describe(scene, random, image=image) for _ in range(CAPTIONS_PER_CLIP))
        for scene in scenes
    )
    return Shard(
        shape=shape,
        latents=torch.cat(clips).to("cpu", torch.float16),
        first=torch.cat(firsts).to("cpu", torch.float16),
        last=torch.cat(lasts).to("cpu", torch.float16),
        cover=torch.stack(covers).half(),
        scenes=tuple(scenes),
        captions=captions,
    )


def _covered(scene: Scene, shape: ClipShape) -> Tensor:
    """Tell where the thing is, per latent: [t, h, w]."""
    seen = cover(scene, shape.size, shape.frames, shape.fps, begins=shape.begins)
    cells = functional.max_pool2d(torch.from_numpy(seen), SPACE_FACTOR)
    latents = []
    for start in range(0, max(shape.frames - 1, 1), CHUNK_FRAMES - 1):
        rest = torch.unflatten(cells[start + 1 : start + CHUNK_FRAMES], 0, (-1, TIME_FACTOR))
        latents += [cells[start : start + 1], rest.amax(1)]
    return torch.cat(latents)


def build_pool(
    vae: VideoVae,
    folder: Path,
    *,
    seed: int,
    shards: int,
    clips: int,
    shapes: Sequence[ClipShape] = _SHAPES,
    held_out: bool = False,
) -> Iterator[Path]:
    """Write shards of `clips` clips each, yielding their paths; existing ones are kept.

    Args:
        vae: Encodes; frozen.
        folder: Where to; made if absent.
        seed: Of the first shard; the others count on.
        shards: How many.
        clips: Per shard.
        shapes: What comes in turn.
        held_out: Only scenes that training never shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(seed, seed + shards):
        path = folder / f"{number:06d}.safetensors"
        if not path.exists():
            random = np.random.default_rng(number)
            shape = shapes[number * 7 % len(shapes)]
            scenes = [draw_scene(random, held_out=held_out) for _ in range(clips)]
            encode_scenes(vae, scenes, shape, random).save(path)
        yield path


def _scene(values: dict[str, Any]) -> Scene:
    return Scene(
        **values
        | {
            "move": Move(values["move"]),
            "motion": Motion(values["motion"]),
            "camera": Camera(values["camera"]),
            "aesthetic": Aesthetic(values["aesthetic"]),
        }
    )


def main() -> None:
    """Build a pool from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, default=Path("inference/weights/nano"))
    parser.add_argument("--seed", type=int, default=0, help="of the first shard")
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--clips", type=int, default=24, help="per shard")
    parser.add_argument("--images", action="store_true", help="only still images")
    parser.add_argument("--held-out", action="store_true", help="only pairs never trained on")
    options = parser.parse_args()
    vae = load_vae(options.weights / "vae")
    written = build_pool(
        vae,
        options.folder,
        seed=options.seed,
        shards=options.shards,
        clips=options.clips,
        shapes=(_STILL,) if options.images else _SHAPES,
        held_out=options.held_out,
    )
    for path in written:
        say(str(path))


if __name__ == "__main__":
    main()
