"""Step plan: which branches a sampling run evaluates at each step, and which steps it skips.

Time estimates use the same plan, so it needs no torch. At skipped steps the sampler extrapolates
the velocity from the evaluated steps before (`sampler`).
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.opensora.presets import SamplingPreset

_OSCILLATION_START = 10
_FIRST, _LAST = 4, 2
"""Steps at both ends that are never skipped: the first decide the scene, the last the detail, and
extrapolation needs two velocities."""
_SHARE = 3
"""At most one in so many steps is skipped."""


def oscillating(scale: float, step: int, *, on: bool) -> float:
    """Return a guidance scale at a step; if `on`, it is 1 at every other step from step 10."""
    return 1.0 if on and step >= _OSCILLATION_START and step % 2 else scale


def branch_counts(preset: SamplingPreset, steps: int, *, references: bool) -> tuple[int, ...]:
    """Return the number of guidance branches to evaluate at each step of a run."""
    if not references:
        return tuple(1 + _guides(preset, step) for step in range(steps))
    sees = (_image_guidance(preset, step, steps) != 1 for step in range(steps))
    return tuple(3 if seeing else 1 + _guides(preset, step) for step, seeing in enumerate(sees))


def find_skipped_steps(counts: Sequence[int]) -> frozenset[int]:
    """Return the steps to skip, given the number of branches of each step.

    Only steps with the most branches are skipped, evenly spread and never two in a row. The result
    depends on the counts alone.
    """
    most = max(counts)
    free = [step for step in range(_FIRST, len(counts) - _LAST) if counts[step] == most]
    number = min(len(counts) // _SHARE, (len(free) + 1) // 2)
    return frozenset(free[(index + 1) * len(free) // number - 1] for index in range(number))


def compute_evaluated_share(preset: SamplingPreset, steps: int, *, references: bool) -> float:
    """Return the share of a run's evaluations that remains when steps are skipped."""
    counts = branch_counts(preset, steps, references=references)
    return 1 - sum(counts[step] for step in find_skipped_steps(counts)) / sum(counts)


def _guides(preset: SamplingPreset, step: int) -> bool:
    return oscillating(preset.guidance, step, on=preset.oscillation) != 1


def _image_guidance(preset: SamplingPreset, step: int, steps: int) -> float:
    """Return the image guidance scale at a step; for the last frame if it differs by frame."""
    scale = oscillating(preset.image_guidance, step, on=preset.image_oscillation)
    ramp_is_flat = preset.image_ramp and 0 < step == steps - 1
    return min(scale, 1.0) if ramp_is_flat else scale
