"""Training pool on disk: latents and captions of drawn scenes, encoded once.

A shard is one safetensors file with clips of one shape; captions are in its JSON metadata. Encoding
in advance saves the VAE, the most expensive part of a training step on a CPU.
"""

from __future__ import annotations

import argparse
import itertools
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
from benchmarks.training.world.backgrounds import PLAIN
from benchmarks.training.world.captions import Caption, describe, draw_scene
from benchmarks.training.world.scenes import WIDE, Move, Scene, cover, render
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
    """Properties that all clips of a batch share."""

    size: PixelSize
    frames: int
    fps: float
    """Frame rate of the scenes; lower rates cover more time with the same frames."""
    begins: float = 0.0
    """Start time of clips, as a share of their length. Clips that start later are only used as
    continuations, because captions do not tell the thing's position there."""


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
"""Shapes by frequency: mostly the default size.

Short clips show the same motion as long ones for a third of the cost, but three times as much of it
per latent frame, so outlines in long clips must be learned from long clips.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Encoded clips of one shape, with captions."""

    shape: ClipShape
    latents: Tensor
    """Normalised latents, fp16 [clips, channels, t, h, w]."""
    first: Tensor
    """Each clip's first frame, encoded as an image, [clips, channels, 1, h, w]: the reference for
    clips from an image. It differs from `latents[:, :, :1]`."""
    last: Tensor
    """Each clip's last frame, encoded as an image: the reference for clips with a last frame."""
    cover: Tensor
    """Largest coverage by the thing of any pixel in each latent, fp16 [clips, t, h, w]."""
    scenes: tuple[Scene, ...]
    captions: tuple[tuple[Caption, ...], ...]
    """Several captions for each clip."""

    def save(self, path: Path) -> None:
        """Write the shard atomically."""
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
        """Read a shard written with `save`."""
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
    """Draw, encode and caption scenes."""
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
    """Return the coverage by the thing per latent, [t, h, w]."""
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
    plain: bool = False,
) -> Iterator[Path]:
    """Write shards of `clips` clips each, yielding their paths; existing shards are kept.

    Args:
        vae: Frozen VAE.
        folder: Folder of the pool; created if missing.
        seed: Seed of the first shard; later shards have the following seeds.
        shards: Number of shards.
        clips: Clips per shard.
        shapes: Shapes of shards, repeated in order.
        held_out: Use only scenes that are held out from training.
        plain: Use only scenes with a plain background, in which things and backgrounds have
            colours to be told apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(seed, seed + shards):
        path = folder / f"{number:06d}.safetensors"
        if not path.exists():
            random = np.random.default_rng(number)
            shape = shapes[number * 7 % len(shapes)]
            drawn = (draw_scene(random, held_out=held_out) for _ in itertools.count())
            suitable = (scene for scene in drawn if scene.place in PLAIN or not plain)
            scenes = list(itertools.islice(suitable, clips))
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
    parser.add_argument("--plain", action="store_true", help="only plain backgrounds")
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
        plain=options.plain,
    )
    for path in written:
        say(str(path))


if __name__ == "__main__":
    main()
