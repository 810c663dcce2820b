"""Training batches, drawn from a pool: tokenised captions, noisy latents and references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.training.latents import ClipShape, Shard
from benchmarks.training.world.captions import Caption, brief, distracted
from benchmarks.training.world.scenes import STRAIGHT_MOVES, Scene
from inference.opensora.controls import Camera
from inference.opensora.geometry import CHUNK_LATENTS, shift_level
from inference.opensora.presets import NANO
from inference.opensora.prompts import clean
from inference.opensora.text import TextEncoder

_CAPTION_DROPOUT = 0.1
_REFERENCE_SHARE = 0.3
_CONTINUATION_SHARE = 0.25
_LAST_SHARE = 0.3
_UNSEEING_SHARE = 0.1
_LARGEST_BATCH = 64
_BRIEF_SHARE = 0.25
_ODD_SHARE = 0.2
_MOVING_SHARE = 3
"""Frequency of clips with a direction of motion, relative to others."""

_SHIFT = NANO.timestep_shift or 1.0
"""Shift of noise levels towards high noise, in training as in sampling.

Things are large and visible even at a level of 0.96, where the noisy clip already shows the
direction of motion. Only at higher levels does the network have to learn it from the caption.
"""

_IMAGE_SHIFT = _SHIFT / 2
"""The same for still images, which teach outlines: these are decided at lower levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Noisy clips of one shape, with their targets and conditions."""

    shape: ClipShape
    noisy: Tensor
    """Noisy latents, [B, channels, t, h, w]."""
    target: Tensor
    """Target velocity, data minus noise, shaped like `noisy`."""
    level: Tensor
    """Noise level of each sample, 0..1, [B]."""
    tokens: tuple[tuple[int, ...], ...]
    """Token ids of each caption."""
    dropped: Tensor
    """Which samples have the empty caption, [B] bool."""
    weights: Tensor | None = None
    """Loss weight of each latent, with mean 1, [B, 1, t, h, w]; None for equal weights."""
    references: Tensor | None = None
    """Latents of reference frames, zero elsewhere; None without references."""
    given: tuple[int, ...] = ()
    """Indices of the reference frames."""


class Batches:
    """An endless, reproducible stream of batches."""

    def __init__(
        self,
        pool: Sequence[Shard],
        encoder: TextEncoder,
        *,
        tokens: int,
        image_share: float,
        thing_weight: float,
        random: torch.Generator,
    ) -> None:
        """Group a pool by shape.

        Args:
            pool: Shards to draw from; the frequency of a shape is its share of the pool's clips.
            encoder: Text encoder, for its tokenizer.
            tokens: Patches per batch over all samples; larger clips have smaller batches.
            image_share: Share of batches with still images, if the pool has both.
            thing_weight: Loss weight of latents that the thing covers, relative to others.
            random: Generator on the CPU, the only source of randomness.

        Raises:
            ValueError: The pool is empty.
        """
        if not pool:
            raise ValueError("the pool has no shards")
        self._groups: dict[ClipShape, list[tuple[Shard, int]]] = {}
        for shard in pool:
            clips = [
                (shard, index)
                for index, scene in enumerate(shard.scenes)
                for _ in range(_MOVING_SHARE if _is_telling(scene) else 1)
            ]
            self._groups.setdefault(shard.shape, []).extend(clips)
        self._shapes = list(self._groups)
        self._shares = _shares(self._groups, image_share)
        self._encoder = encoder
        self._tokens = tokens
        self._thing_weight = thing_weight
        self._random = random
        self._ids: dict[Caption, tuple[int, ...]] = {}

    def draw(self) -> Batch:
        """Draw the next batch."""
        shape = self._shapes[int(torch.multinomial(self._shares, 1, generator=self._random))]
        clips = self._groups[shape]
        _, frames, height, width = clips[0][0].latents.shape[1:]
        patches = frames * -(-height // 2) * -(-width // 2)
        count = min(max(self._tokens // patches, 1), _LARGEST_BATCH)
        chosen = [clips[self._index(len(clips))] for _ in range(count)]
        tokens = tuple(self._caption(shard, index) for shard, index in chosen)
        data = torch.stack([shard.latents[index] for shard, index in chosen]).float()
        cover = torch.stack([shard.cover[index] for shard, index in chosen]).float()
        weights = 1 + (self._thing_weight - 1) * cover[:, None]
        shift = _IMAGE_SHIFT if shape.frames == 1 else _SHIFT
        level = torch.rand(count, generator=self._random).apply_(
            lambda one: shift_level(one, shift)
        )
        noise = torch.randn(data.shape, generator=self._random)
        share = level[:, None, None, None, None]
        references, given = None, tuple[int, ...]()
        if shape.begins or (frames > 1 and self._chance(_REFERENCE_SHARE)):
            references, given = self._references(data, chosen, shape)
        return Batch(
            shape=shape,
            noisy=(1 - share) * data + share * noise,
            target=data - noise,
            level=level,
            tokens=tokens,
            dropped=torch.rand(count, generator=self._random) < _CAPTION_DROPOUT,
            weights=weights / weights.mean(),
            references=references,
            given=given,
        )

    def _caption(self, shard: Shard, index: int) -> tuple[int, ...]:
        several = shard.captions[index]
        caption = several[self._index(len(several))]
        random = np.random.default_rng(self._index(2**31))
        if self._chance(_BRIEF_SHARE):
            caption = brief(shard.scenes[index], random, image=shard.shape.frames == 1)
        if self._chance(_ODD_SHARE):
            caption = distracted(caption, random)
        return token_ids(caption, self._encoder, self._ids)

    def _references(
        self, data: Tensor, chosen: Sequence[tuple[Shard, int]], shape: ClipShape
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Choose references: the chunk that a longer clip extends, or pictures at its ends."""
        references = torch.zeros_like(data)
        frames = data.shape[2]
        longer = frames > CHUNK_LATENTS
        if shape.begins or (longer and self._chance(_CONTINUATION_SHARE)):
            given = tuple(range(CHUNK_LATENTS))
            references[:, :, :CHUNK_LATENTS] = data[:, :, :CHUNK_LATENTS]
        else:
            given = (0,)
            references[:, :, :1] = torch.stack([shard.first[index] for shard, index in chosen])
            if self._chance(_LAST_SHARE):
                given = (0, frames - 1)
                references[:, :, -1:] = torch.stack([shard.last[index] for shard, index in chosen])
        # trains the branch without references, which image guidance needs
        unseeing = torch.rand(len(data), generator=self._random) < _UNSEEING_SHARE
        references[unseeing] = 0
        return references, given

    def _index(self, length: int) -> int:
        return int(torch.randint(length, (), generator=self._random))

    def _chance(self, probability: float) -> bool:
        return bool(torch.rand((), generator=self._random) < probability)


def _shares(groups: Mapping[ClipShape, Sequence[object]], images: float) -> Tensor:
    """Return the frequency of each group: by its size, but `images` for all images together."""
    still = torch.tensor([shape.frames == 1 for shape in groups])
    sizes = torch.tensor([float(len(clips)) for clips in groups.values()])
    if still.all() or not still.any():
        return sizes
    clips = torch.where(still, 0, sizes)
    return images * (sizes - clips) / (sizes - clips).sum() + (1 - images) * clips / clips.sum()


def _is_telling(scene: Scene) -> bool:
    return scene.move in STRAIGHT_MOVES or scene.camera not in (Camera.NONE, Camera.STATIC)


def token_ids(
    caption: Caption, encoder: TextEncoder, known: dict[Caption, tuple[int, ...]]
) -> tuple[int, ...]:
    """Clean and tokenise a caption as `TextEncoder.encode` does; `known` is a cache."""
    if caption not in known:
        text = clean(caption.prompt + caption.suffix)
        known[caption] = tuple(encoder.tokenizer(text, add_special_tokens=True).input_ids)
    return known[caption]
