"""Notations of the original that the product does not offer, for comparison with its vectors.

Prompts per pass (`|0|text|2|text`), a JSON suffix with references, mask strategies, and padded
captions.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from inference.opensora.geometry import PixelSize
from inference.opensora.networks.transformer import STDiT3
from inference.opensora.sampler import NoiseSource, Sampler

TOP_LEVEL = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPrompts:
    """One text for a clip of many passes, or several that take over from each other."""

    texts: tuple[str, ...]
    starts: tuple[int, ...] | None
    """First pass of each text; None for a plain prompt."""

    @classmethod
    def parse(cls, prompt: str) -> LoopPrompts:
        """Read `|0|text|2|text`; anything that does not start with `|0|` is plain."""
        if not prompt.startswith("|0|"):
            return cls(texts=(prompt,), starts=None)
        fields = prompt.split("|")[1:]
        return cls(
            texts=tuple(text.strip() for text in fields[1::2]),
            starts=tuple(int(start) for start in fields[::2]),
        )

    def merge(self) -> str:
        """Write the notation that `parse` reads."""
        if self.starts is None:
            return self.texts[0]
        return "".join(
            f"|{start}|{text}" for start, text in zip(self.starts, self.texts, strict=True)
        )

    def at(self, loop: int) -> str:
        """Return the text of a pass: the last one that has started."""
        if self.starts is None:
            return self.texts[0]
        return self.texts[bisect_right(self.starts, loop) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSuffix:
    """A prompt and what its JSON suffix said."""

    text: str
    reference_path: str = ""
    mask_strategy: str | None = None


def split_json_suffix(prompt: str) -> JsonSuffix:
    """Split `text{"reference_path": ..., "mask_strategy": ...}`. Not for untrusted text.

    Raises:
        ValueError: More than one brace opens, the JSON is broken, or it has other keys.
    """
    text, brace, rest = prompt.partition("{")
    if not brace:
        return JsonSuffix(text=prompt)
    if "{" in rest:
        raise ValueError("a prompt has at most one JSON suffix")
    values = json.loads(brace + rest)
    if unknown := values.keys() - {"reference_path", "mask_strategy"}:
        raise ValueError(f"unknown keys in the JSON suffix: {sorted(unknown)}")
    return JsonSuffix(text=text, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRule:
    """Copies part of a reference into a pass: one group of a mask strategy."""

    loop: int = 0
    reference: int = 0
    reference_start: int = 0
    """Negative counts from the end, as in `target_start`."""
    target_start: int = 0
    length: int = 1
    edit: float = 0.0
    """Noise level (0..1) up to which the copied frames are kept."""


def parse_mask_strategy(text: str | None) -> list[MaskRule]:
    """Read `loop,reference,reference_start,target_start,length,edit;...`; all may be left out.

    Raises:
        ValueError: A group has too many or malformed numbers.
    """
    rules = []
    for group in (text or "").split(";"):
        if not group.strip():
            continue
        *whole, last = group.split(",") if group.count(",") == 5 else (*group.split(","), "0")
        names = ("loop", "reference", "reference_start", "target_start", "length")
        if len(whole) > len(names):
            raise ValueError(f"mask strategy {group!r} has more than six numbers")
        numbers = {name: int(value) for name, value in zip(names, whole, strict=False)}
        rules.append(MaskRule(**numbers, edit=float(last)))
    return rules


def nearest_start(value: int, step: int, length: int) -> int:
    """Snap to the nearest multiple of `step`, but never up past the last whole group."""
    group, rest = divmod(value, step)
    if rest > step / 2 and group < length // step - 1:
        group += 1
    return group * step


def apply_mask_strategy(
    latents: Tensor,
    references: Sequence[Tensor],
    rules: Sequence[MaskRule],
    loop: int,
    align: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Copy references into the noise of a pass.

    Args:
        latents: Noise [channels, T, h, w]; not changed.
        references: Latents [channels, t, h, w].
        rules: Those for other passes are skipped.
        loop: Number of the pass, from 0.
        align: Snap starts to multiples of this many latent frames.

    Returns:
        The latents and the frame levels [T] that `Sampler.run` takes: 1 where all is new.
    """
    latents = latents.clone()
    frames = latents.shape[1]
    levels = torch.ones(frames)
    for rule in rules:
        if rule.loop != loop:
            continue
        reference = references[rule.reference]
        source, target = rule.reference_start, rule.target_start
        source += reference.shape[1] if source < 0 else 0
        target += frames if target < 0 else 0
        if align is not None:
            source = nearest_start(source, align, reference.shape[1])
            target = nearest_start(target, align, frames)
        length = min(rule.length, frames - target, reference.shape[1] - source)
        latents[:, target : target + length] = reference[:, source : source + length]
        levels[target : target + length] = rule.edit
    return latents, levels


class FrameLevelSampler(Sampler):
    """A sampler that keeps given frames up to a noise level of their own."""

    def run_with_levels(
        self,
        latents: Tensor,
        levels: Sequence[float],
        noise: NoiseSource,
        frame_levels: Tensor,
    ) -> Tensor:
        """Turn noise into latents.

        Args:
            latents: Noise, and clean frames where `frame_levels` says so.
            levels: Noise levels from `geometry.timesteps`, 1000 downwards.
            noise: Asked once per step.
            frame_levels: Per frame, [B, T] in 0..1: up to which noise level a frame given in
                `latents` is kept as it is; 0 keeps it to the end, 1 makes it from noise.
        """
        z = latents.to(self._model.device, torch.float32)
        frame_levels = frame_levels.to(z)
        noised = frame_levels == 1
        for step, (level, following) in enumerate(pairwise([*levels, 0.0])):
            before = z
            self._active = frame_levels * TOP_LEVEL >= level
            z = torch.where(
                over_frames(self._active & ~noised), noised_to(z, noise().to(z), level), z
            )
            noised = self._active
            velocity = self._velocity(z, level, step, len(levels))
            z = z + velocity * ((level - following) / TOP_LEVEL)
            z = torch.where(over_frames(self._active), z, before)
        if self._references is not None and self._preset.keep_references:
            z = torch.where(self._references.mask().to(z) > 0, self._references.latents.to(z), z)
        return z

    def _denoise(self, z: Tensor, level: float, start: int, stop: int) -> Tensor:
        copies = (stop - start) // len(z)
        return self._model.denoise(
            z.repeat(copies, 1, 1, 1, 1),
            torch.full((stop - start,), level),
            self._part(start, stop),
            self._active.repeat(copies, 1),
        )


def over_frames(flags: Tensor) -> Tensor:
    return flags[:, None, :, None, None]


def noised_to(clean: Tensor, noise: Tensor, level: float) -> Tensor:
    share = level / TOP_LEVEL
    return (1 - share) * clean + share * noise


def evaluate(
    model: STDiT3,
    x: Tensor,
    timestep: Tensor,
    y: Tensor,
    mask: Tensor | None = None,
    *,
    fps: Tensor,
    size: PixelSize,
    x_mask: Tensor | None = None,
    cond: Tensor | None = None,
    cond_mask: Tensor | None = None,
    mask_index: Sequence[int] | None = None,
    y_null: Tensor | None = None,
) -> Tensor:
    """Evaluate the network once, with the original's arguments.

    `y` and `y_null` are padded captions [B, 1, tokens, caption_channels]; `mask` [b, tokens]
    marks the tokens of both that are not padding (rows repeat if b < B; None means all). The
    other arguments are those of `prepare` and `denoise`, where `x_mask` is `active`.
    """
    conditions = model.prepare(
        x.shape,
        _without_padding(y, mask),
        fps=fps,
        size=size,
        cond=cond,
        cond_mask=cond_mask,
        mask_index=mask_index,
        empty_captions=None if y_null is None else _without_padding(y_null, mask),
    )
    return model.denoise(x, timestep, conditions, x_mask)


def _without_padding(padded: Tensor, mask: Tensor | None) -> list[Tensor]:
    """Return the captions of [B, 1, tokens, channels] without padding."""
    rows = padded.squeeze(1)
    if mask is None:
        return list(rows)
    kept = mask.repeat(len(rows) // len(mask), 1) != 0
    return [row[keep] for row, keep in zip(rows, kept, strict=True)]
