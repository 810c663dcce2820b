"""The engine port: what every model must do, and what the bot may know of it without torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from inference.errors import Cancelled
from inference.spec import Aspect, Mode, Resolution, Size

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from inference.spec import Spec

StepCallback = Callable[[int, int], None]
"""Called as (steps done, steps in all) after every step."""

ProgressCallback = Callable[[float, str], None]
"""Called while loading as (fraction done 0..1, what is being read)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameChunk:
    """Consecutive finished frames: uint8, shape [frames, height, width, 3], RGB."""

    frames: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    """Catalog codes of remarks for the person, such as that the prompt was shortened."""


class CancelToken:
    """A flag set by one thread and read by the engine at every step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the render to stop at the next step."""
        self._event.set()

    def raise_if_cancelled(self) -> None:
        """Stop the render here if it was asked to.

        Raises:
            Cancelled: `cancel` was called.
        """
        if self._event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Pause, but no longer than the render may go on.

        Raises:
            Cancelled: `cancel` was called, now or before.
        """
        if self._event.wait(seconds):
            raise Cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """First guess of GPU seconds, before finished jobs teach better (`jobs.estimate`)."""

    load_seconds: float
    """Bringing the weights onto the device, once per swap."""
    fixed_seconds: float
    """Per job: text encoding, start-up of encoder and so on."""
    seconds_per_megapixel_frame_step: float
    """Multiplied by megapixels x frames x steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model can do, as data: the bot validates and estimates with it, torch-free."""

    name: str
    """As typed: `--model NAME`."""
    title: str
    """As shown: "Open-Sora v1.3"."""
    resolutions: tuple[Resolution, ...]
    aspects: tuple[Aspect, ...]
    frames: tuple[int, ...]
    """Legal lengths, ascending; 1 means that it makes images."""
    modes: frozenset[Mode]
    sizes: Mapping[tuple[Resolution, Aspect], Size]
    """Pixel size of the finished file."""
    cost: Cost
    defaults: Mapping[str, object] = field(default_factory=dict)
    """The model's own values by option name; they override the built-in ones."""
    negative: bool = False
    """Whether a negative prompt does anything."""
    prompt_advice: str | None = None
    """What the prompt assistant is told, in English, where prompts must be of a special kind."""
    native_note: str | None = None
    """Catalog code of a remark for cards, such as that small frames are upscaled."""


class Engine(Protocol):
    """Turns a resolved spec into frames. Lives in a worker process; never touches chat or store."""

    def load(self, on_progress: ProgressCallback) -> None:
        """Bring the weights into memory; a second call is free.

        Raises:
            EngineError: Weights are missing or do not fit.
        """
        ...

    def render(
        self, spec: Spec, *, image: Path | None, on_step: StepCallback, cancel: CancelToken
    ) -> Iterator[FrameChunk]:
        """Yield the clip's frames in order, as soon as they are final.

        Args:
            spec: What to make. `frames` (times loops, minus overlaps) frames come out at the
                size the model's `Capabilities.sizes` names.
            image: The prepared reference image on disk for image-to-video, else None.
            on_step: Called after each step.
            cancel: Read at least once per step.

        Raises:
            Cancelled: `cancel` was set.
            EngineError: The render failed; `transient` says whether another attempt may work.
        """
        ...
