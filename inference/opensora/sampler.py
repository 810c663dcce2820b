"""Rectified-flow sampler (arXiv:2209.03003), with the original's guidance by text and references.

Latents are [B, channels, T, h, w] fp32. The model predicts the velocity, data minus noise. Guidance
combines branches of a batch. Without references these are: text; empty caption. With references:
text and image; empty caption and image; empty caption without image. Branches with weight zero at a
step are not evaluated, and optionally whole steps are skipped (`step_plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inference.opensora.geometry import PixelSize
from inference.opensora.networks.transformer import Conditions, STDiT3
from inference.opensora.presets import SamplingPreset
from inference.opensora.step_plan import branch_counts, find_skipped_steps, oscillating

if TYPE_CHECKING:
    from inference.opensora.graphs import GraphCache

_FLAW_FIX_WEIGHT = 0.7
_TOP_LEVEL = 1000.0

NoiseSource = Callable[[], Tensor]
"""Draws fresh standard-normal noise, shaped like the latents."""

Estimate = Callable[[], Tensor]
"""Returns an estimate of the final latents: one straight step with the current velocity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Latent frames that the clip must keep."""

    latents: Tensor
    """[B, channels, T, h, w]; only `frames` are used."""
    frames: tuple[int, ...]
    """Indices of the reference frames; not negative."""

    def mask(self) -> Tensor:
        """One at the reference frames, zero elsewhere, shaped like the latents."""
        mask = torch.zeros_like(self.latents)
        mask[:, :, list(self.frames)] = 1
        return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Callbacks of a sampling run. Any of them may raise to end the run."""

    on_step: Callable[[int, int, Estimate], None] = lambda _step, _total, _estimate: None
    """Called as (steps done, steps in all, estimate) after every step that is not skipped."""
    check: Callable[[], None] = lambda: None
    """Called before every evaluation of the network."""
    before_pass: Callable[[bool], None] = lambda _references: None
    """Called before each pass with whether it has references; may swap the transformer's
    weights."""
    on_forwards: Callable[[int], None] = lambda _branches: None
    """Called after every evaluation with the number of branches in its batch."""


def branch_conditions(
    model: STDiT3,
    shape: Sequence[int],
    captions: Sequence[Tensor],
    *,
    fps: float,
    size: PixelSize,
    negative: Sequence[Tensor] | None = None,
    references: References | None = None,
) -> Conditions:
    """Prepare the batch of branches that `sample` evaluates.

    Args:
        model: The network.
        shape: Shape of the latents.
        captions: Caption of each sample without padding, [tokens, caption_channels].
        fps: Frames per second to condition on.
        size: Pixel size of the video.
        negative: Captions to steer away from; by default the model's learned empty caption, cut to
            the length of the prompt as in the original.
        references: Reference frames.
    """
    empty = [model.null_caption[: len(caption)] for caption in captions]
    away = list(negative or empty)
    _, *rest = shape
    rate = torch.tensor([float(fps)])
    if references is None:
        rows = [*captions, *away]
        return model.prepare((len(rows), *rest), rows, fps=rate, size=size)
    rows = [*captions, *away, *away]
    mask = references.mask()
    latents = references.latents * mask
    return model.prepare(
        (len(rows), *rest),
        rows,
        fps=rate,
        size=size,
        cond=torch.cat((latents, latents, torch.zeros_like(latents))),
        cond_mask=mask.repeat(3, 1, 1, 1, 1),
        mask_index=references.frames,
        empty_captions=empty * 3,
    )


class Sampler:
    """Euler sampler, which integrates one batch of latents from noise to data."""

    def __init__(
        self,
        model: STDiT3,
        conditions: Conditions,
        preset: SamplingPreset,
        *,
        references: References | None = None,
        sequential: bool = False,
        skips: bool = False,
        graphs: GraphCache | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        """Create a sampler for one run.

        Args:
            model: The network.
            conditions: From `branch_conditions`, with the same references.
            preset: Settings; `steps` and `timestep_shift` are not read here, because the caller
                passes the noise levels.
            references: Reference frames.
            sequential: Evaluate branches one after the other, which takes less memory.
            skips: Skip some steps, which changes the result a little.
            graphs: Cache of CUDA graphs for small shapes.
            hooks: Progress and cancellation.
        """
        self._model = model
        self._graphs = graphs
        self._conditions = conditions
        self._preset = preset
        self._references = references
        self._sequential = sequential
        self._hooks = hooks or Hooks()
        self._parts: dict[tuple[int, int], Conditions] = {}
        self._skips = skips
        self._skipped: frozenset[int] = frozenset()
        self._trends: list[_Trend] = []
        """Velocity extrapolation of each branch; empty if no steps are skipped."""

    def run(self, latents: Tensor, levels: Sequence[float], noise: NoiseSource) -> Tensor:
        """Sample latents.

        Args:
            latents: Initial noise.
            levels: Noise levels from `geometry.timesteps`, 1000 downwards.
            noise: Called once per step for references, if the preset has `sdedit`.

        Returns:
            Latents, fp32, on the model's device.
        """
        z = latents.to(self._model.device, torch.float32)
        given, mask = z, torch.zeros_like(z, dtype=torch.bool)
        if self._references is not None:
            given, mask = self._references.latents.to(z), self._references.mask().to(z) > 0
        pace = _Pace(z.device)
        if self._skips:
            self._plan_skipping(len(levels))
        done, steps = 0, len(levels) - len(self._skipped)
        for step, (level, following) in enumerate(pairwise([*levels, 0.0])):
            if self._references is not None and self._preset.sdedit:
                z = torch.where(mask, _noised(given, noise().to(z), level), z)
            velocity = self._velocity(z, level, step, len(levels))
            z = z + velocity * ((level - following) / _TOP_LEVEL)
            if step in self._skipped:
                continue
            done += 1
            pace.step()
            # not assigned to a name, which would keep the tensors alive during skipped steps
            self._hooks.on_step(done, steps, partial(_straight_on, z, velocity, following))
        if self._references is not None and self._preset.keep_references:
            z = torch.where(mask, given, z)
        return z

    def _plan_skipping(self, steps: int) -> None:
        references = self._references is not None
        counts = branch_counts(self._preset, steps, references=references)
        self._skipped = find_skipped_steps(counts)
        self._trends = [_Trend() for _ in range(max(counts))]

    def _velocity(self, z: Tensor, level: float, step: int, steps: int) -> Tensor:
        preset = self._preset
        text = oscillating(preset.guidance, step, on=preset.oscillation)
        if self._references is None:
            if text == 1:
                return self._predict(z, level, step, 1)[0]
            prompted, plain = self._predict(z, level, step, 2)
            velocity = plain + text * (prompted - plain)
            return _flaw_fixed(velocity, prompted) if preset.flaw_fix else velocity

        image = self._image_guidance(step, steps, z)
        if isinstance(image, float) and image == 1:
            if text == 1:
                return self._predict(z, level, step, 1)[0]
            prompted, plain = self._predict(z, level, step, 2)
            return plain + text * (prompted - plain)
        prompted, plain, unseeing = self._predict(z, level, step, 3)
        return unseeing + image * (plain - unseeing) + text * (prompted - plain)

    def _image_guidance(self, step: int, steps: int, z: Tensor) -> float | Tensor:
        """Return the image guidance scale at a step, as a factor of latents.

        A Python number if it is the same for all frames, so that reading it needs no GPU sync.
        """
        preset = self._preset
        scale = oscillating(preset.image_guidance, step, on=preset.image_oscillation)
        if not preset.image_ramp or scale <= 1:
            return scale
        last = torch.linspace(scale, 1.0, steps)[step].item()
        if last == 1:
            return 1.0
        return torch.linspace(1.0, last, z.shape[2], device=z.device)[:, None, None]

    def _predict(self, z: Tensor, level: float, step: int, branches: int) -> tuple[Tensor, ...]:
        """Return the velocity of the first `branches` branches, extrapolated at skipped steps."""
        if step in self._skipped:
            return tuple(trend.at(level) for trend in self._trends[:branches])
        found = self._evaluate(z, level, branches)
        for trend, velocity in zip(self._trends, found, strict=False):
            trend.add(level, velocity)
        return found

    def _evaluate(self, z: Tensor, level: float, branches: int) -> tuple[Tensor, ...]:
        """Evaluate the velocity of the first `branches` branches, each shaped like z."""
        rows = branches * len(z)
        width = len(z) if self._sequential else rows
        found = []
        for start in range(0, rows, width):
            self._hooks.check()
            predicted = self._denoise(z, level, start, start + width)
            found.append(predicted[:, : z.shape[1]])
            self._hooks.on_forwards(width // len(z))
        return torch.split(torch.cat(found), len(z))

    def _denoise(self, z: Tensor, level: float, start: int, stop: int) -> Tensor:
        rows = z.repeat((stop - start) // len(z), 1, 1, 1, 1)
        levels = torch.full((stop - start,), level, device=z.device)
        conditions = self._part(start, stop)
        if self._graphs is None:
            return self._model.denoise(rows, levels, conditions)
        return self._graphs.denoise(self._model, rows, levels, conditions)

    def _part(self, start: int, stop: int) -> Conditions:
        if (start, stop) not in self._parts:
            self._parts[start, stop] = self._conditions.part(slice(start, stop))
        return self._parts[start, stop]


class _Trend:
    """Linear extrapolation of a branch's velocity from its last two evaluations."""

    def __init__(self) -> None:
        self._known: list[tuple[float, Tensor]] = []

    def add(self, level: float, velocity: Tensor) -> None:
        """Add the velocity that was evaluated at a noise level."""
        own = velocity.clone()  # a view would keep the whole batch alive
        self._known = [*self._known[-1:], (level, own)]

    def at(self, level: float) -> Tensor:
        """Return the extrapolated velocity at a noise level."""
        (first, before), (second, last) = self._known
        return torch.lerp(before, last, (level - first) / (second - first))


class _Pace:
    """Limits the host to one step ahead of the GPU, so that reported progress is real."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._last: torch.cuda.Event | None = None

    def step(self) -> None:
        """Record the end of a step, and wait for the end of the one before."""
        if not self._on_gpu:
            return
        last, self._last = self._last, torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._last.record()
        if last is not None:
            last.synchronize()


def _noised(clean: Tensor, noise: Tensor, level: float) -> Tensor:
    share = level / _TOP_LEVEL
    return (1 - share) * clean + share * noise


def _straight_on(z: Tensor, velocity: Tensor, level: float) -> Tensor:
    return z + velocity * (level / _TOP_LEVEL)


def _flaw_fixed(velocity: Tensor, prompted: Tensor) -> Tensor:
    """Rescale a guided velocity towards the standard deviation of the unguided one.

    As in "Common Diffusion Noise Schedules and Sample Steps are Flawed", section 3.4
    (arXiv:2305.08891).
    """
    axes = (1, 2, 3, 4)
    ratio = prompted.std(axes, keepdim=True) / velocity.std(axes, keepdim=True)
    return velocity * (_FLAW_FIX_WEIGHT * ratio + (1 - _FLAW_FIX_WEIGHT))
