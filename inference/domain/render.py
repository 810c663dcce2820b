"""Render types: stages, progress, and the manifest of a finished file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

LATENTS_NAME = "latents.bin"
"""File beside a clip with what its model needs to go on from it."""


PREVIEW_NAME = "preview.jpg"
"""File beside a clip that is not there yet: how it looks so far."""


class Stage(StrEnum):
    """Stage of a running job."""

    LOADING = "loading"
    """Bringing the model's weights in."""
    RENDERING = "rendering"
    """Sampling, step by step."""
    EFFECTS = "effects"
    """All steps done: effects are applied, frame by frame, as they are decoded."""
    FINISHING = "finishing"
    """All steps done: decoding, watermark, encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a running job."""

    stage: Stage
    done: int
    """Steps done (percent while loading)."""
    total: int
    previews: int = 0
    """How many previews this attempt has written, each over the one before."""


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Description of a finished file, sent after it is fsynced and renamed."""

    name: str
    """File name inside the attempt's directory: `clip.mp4` or `image.png`."""
    size: int
    """Bytes."""
    sha256: str
    width: int
    height: int
    frames: int
    notes: tuple[str, ...] = ()
    """Catalog codes of remarks for the person, from the engine."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds per stage: load; the engine's own, such as text, sample and decode; encode, which
    runs beside them; finish, after the last frame. By the dispatcher: start, until there was a
    worker; total, all but load and start."""
    forwards: int | None = None
    """Evaluations of the network, each branch of the guidance counted."""
    peak_bytes: int | None = None
    """Most memory in use at once: of the GPU, else of the worker process."""
    effects: dict[str, str] = field(default_factory=dict)
    """Effects that changed the frames -> their package and its release."""
    latents_sha256: str | None = None
    """Of `LATENTS_NAME` in the same directory; None where nothing was kept."""
