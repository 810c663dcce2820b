"""Sampling presets for each set of weights. No torch.

A preset says nothing about size, length, prompt or seed: those belong to the request.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPreset:
    """The sampler's switches; their names follow the original's options where it has one."""

    steps: int = 30
    guidance: float = 7.0
    """How strongly the prompt pulls; 1 turns the guidance off."""
    timestep_shift: float | None = None
    """How much more time is spent at high noise; 1 is no more. None: by size and length, as the
    original does (`geometry.schedule_ratio`)."""
    oscillation: bool = True
    """From step 10 on, leave out the prompt guidance at every other step."""
    flaw_fix: bool = True
    """Shrink guided velocities towards the spread of the unguided ones (text-to-video only)."""
    image_guidance: float = 5.0
    """How strongly the reference frames pull."""
    image_oscillation: bool = True
    """The same leaving-out for the image guidance."""
    image_ramp: bool = True
    """Let the image guidance grow from 1 at the first frame towards the last one."""
    sdedit: bool = True
    """At every step put freshly noised reference latents in place of the reference frames."""
    keep_references: bool = False
    """At the end put the reference latents themselves in place of the reference frames."""


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
"""What the shipped nano weights were tuned with, for text and images alike."""
