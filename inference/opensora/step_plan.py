"""Step plan: which branches a sampling run evaluates at each step, and which steps it skips.

No torch: estimates of the time are made from the same plan. Skipped steps take the velocity that
the evaluated ones before them point to (`sampler`).
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.opensora.presets import SamplingPreset

_OSCILLATION_START = 10
_FIRST, _LAST = 4, 2
"""Steps at both ends that are never skipped: the first decide over the scene, the last over detail,
and two velocities must be known before a third can be guessed."""
_SHARE = 3
"""At most one of so many steps is skipped."""


def oscillating(scale: float, step: int, *, on: bool) -> float:
    """Return a guidance weight at a step: 1 at every other one from step 10 where it oscillates."""
    return 1.0 if on and step >= _OSCILLATION_START and step % 2 else scale


def branch_counts(preset: SamplingPreset, steps: int, *, references: bool) -> tuple[int, ...]:
    """Return how many branches of the guidance count at each step of a run."""
    if not references:
        return tuple(1 + _guides(preset, step) for step in range(steps))
    sees = (_image_guidance(preset, step, steps) != 1 for step in range(steps))
    return tuple(3 if seeing else 1 + _guides(preset, step) for step, seeing in enumerate(sees))


def skipped(counts: Sequence[int]) -> frozenset[int]:
    """Return the steps to skip of a run that evaluates so many branches at each.

    Only steps with the most branches are worth it. They are spread evenly, never two of them in a
    row, and depend on nothing but the counts.
    """
    most = max(counts)
    free = [step for step in range(_FIRST, len(counts) - _LAST) if counts[step] == most]
    number = min(len(counts) // _SHARE, (len(free) + 1) // 2)
    return frozenset(free[(index + 1) * len(free) // number - 1] for index in range(number))


def evaluated_share(preset: SamplingPreset, steps: int, *, references: bool) -> float:
    """Return how much of a run's evaluations is left when steps are skipped."""
    counts = branch_counts(preset, steps, references=references)
    return 1 - sum(counts[step] for step in skipped(counts)) / sum(counts)


def _guides(preset: SamplingPreset, step: int) -> bool:
    return oscillating(preset.guidance, step, on=preset.oscillation) != 1


def _image_guidance(preset: SamplingPreset, step: int, steps: int) -> float:
    """Return the weight of the references at a step, for the last frame where it grows to it."""
    scale = oscillating(preset.image_guidance, step, on=preset.image_oscillation)
    ramp_is_flat = preset.image_ramp and 0 < step == steps - 1
    return min(scale, 1.0) if ramp_is_flat else scale
