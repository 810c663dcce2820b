"""Sampling presets for each set of weights. No torch.

Size, length, prompt and seed are not part of a preset; they belong to the request.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPreset:
    """Settings of the sampler, with the original's option names where it has them."""

    steps: int = 30
    guidance: float = 7.0
    """Scale of classifier-free guidance (arXiv:2207.12598) for the prompt; 1 turns it off."""
    timestep_shift: float | None = None
    """Shift of the noise schedule towards high noise; 1 is none. None: by size and length, as in
    the original (`geometry.schedule_ratio`)."""
    oscillation: bool = True
    """Skip the prompt guidance at every other step, from step 10."""
    flaw_fix: bool = True
    """Rescale guided velocities towards the standard deviation of unguided ones (text-to-video
    only)."""
    image_guidance: float = 5.0
    """Guidance scale of the reference frames; 1 turns it off."""
    image_oscillation: bool = True
    """Skip the image guidance at every other step, from step 10."""
    image_ramp: bool = True
    """Increase the image guidance from 1 at the first frame to its full scale at the last."""
    sdedit: bool = True
    """Replace the reference frames at every step with freshly noised reference latents (SDEdit,
    arXiv:2108.01073)."""
    keep_references: bool = False
    """Replace the reference frames at the end with the reference latents."""


OFFICIAL_T2V = SamplingPreset()
"""The official configuration for text, with the guidance of the original's own demo."""

OFFICIAL_I2V = SamplingPreset(flaw_fix=False)
"""The official configuration for references and continuations."""

NANO = SamplingPreset(
    steps=14,
    guidance=4.0,
    timestep_shift=8.0,
    oscillation=False,
    flaw_fix=False,
    image_guidance=1.5,
    image_oscillation=False,
    image_ramp=False,
    sdedit=False,
    keep_references=True,
)
"""Settings of the bundled nano weights, for text and images."""
