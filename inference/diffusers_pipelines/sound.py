"""Sound of clips: read from a pipeline's result, and cross-faded where a clip is extended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from inference.device_errors import not_finite

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """Sound of a clip: float32 [channels, samples], -1..1."""

    samples: npt.NDArray[np.float32]
    rate: int


def read_waveform(pipeline: Any, audio: Any) -> Waveform | None:
    """Return the sound of a pipeline's result: [1, channels, samples] or [1, samples].

    Raises:
        EngineError: `worker.not_finite`.
    """
    if audio is None:
        return None
    samples = torch.as_tensor(audio).detach().float().cpu()[0]
    if not samples.isfinite().all():
        raise not_finite("sound")
    samples = samples[None] if samples.ndim == 1 else samples
    config = getattr(getattr(pipeline, "vocoder", None), "config", {})
    rate = config.get("output_sampling_rate") or pipeline.audio_sample_rate
    return Waveform(samples=samples.numpy(), rate=int(rate))


def join_sound(
    before: Waveform | None, after: Waveform | None, *, until: float, overlap: float
) -> Waveform | None:
    """Join the sound of a clip and of the next pass, with a cross-fade where they overlap.

    A missing sound is silence.

    Args:
        before: Sound of the clip so far.
        after: Sound of the pass, from its first frame, including repeated frames.
        until: Length of the clip so far, in seconds.
        overlap: Length of the repeated frames, in seconds.
    """
    known = after or before
    if known is None:
        return None
    rate, channels = known.rate, len(known.samples)
    begin, end = round((until - overlap) * rate), round(until * rate)
    first = _fit_length(before, rate, channels, end)
    second = np.zeros((channels, 0), np.float32) if after is None else after.samples
    fade = np.linspace(1, 0, end - begin, dtype=np.float32)
    mixed = np.zeros((channels, begin + max(second.shape[1], end - begin)), np.float32)
    mixed[:, :end] = first
    mixed[:, begin:end] *= fade
    incoming = second.copy()
    width = min(end - begin, incoming.shape[1])
    incoming[:, :width] *= 1 - fade[:width]
    mixed[:, begin : begin + incoming.shape[1]] += incoming
    return Waveform(samples=mixed, rate=rate)


def _fit_length(
    sound: Waveform | None, rate: int, channels: int, samples: int
) -> npt.NDArray[np.float32]:
    """Cut or pad a sound to a number of samples; another rate or channel count gives silence."""
    found = np.zeros((channels, samples), np.float32)
    if sound is not None and sound.rate == rate and len(sound.samples) == channels:
        known = sound.samples[:, :samples]
        found[:, : known.shape[1]] = known
    return found
