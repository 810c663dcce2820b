"""The engine port: what every model implements inside a worker process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

from inference.domain.errors import Cancelled
from inference.engines.meter import Meter

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from inference.domain.spec import OptionValue, Spec

FP32_BYTES = 4
"""Of a number in the precision that a CPU works in."""

Still = Callable[[], "npt.NDArray[np.uint8]"]
"""Draws how the clip looks so far: uint8 [height, width, 3], RGB, small. Call it at once or not at
all."""

StepCallback = Callable[[int, int, Still | None], None]
"""Called as (steps done, steps in all, still) after every step; still is None where the model has
no cheap way to draw one."""

ProgressCallback = Callable[[float, str], None]
"""Called while loading as (fraction done 0..1, what is being read)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The sound of a whole clip: float32, shape [channels, samples], -1..1; one or two channels."""

    samples: npt.NDArray[np.float32]
    rate: int
    """Samples per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameChunk:
    """Consecutive finished frames: uint8, shape [frames, height, width, 3], RGB."""

    frames: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    """Catalog codes of remarks for the person, such as that the prompt was shortened."""
    sound: Sound | None = None
    """The whole clip's, in its first chunk only: a file must know its streams from the start."""


class CancelToken:
    """Cancellation flag, set by one thread and read by the engine at every step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the render to stop at the next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if the render was cancelled.

        Raises:
            Cancelled: `cancel` was called.
        """
        if self._event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep, but stop at once when the render is cancelled.

        Raises:
            Cancelled: `cancel` was called, now or before.
        """
        if self._event.wait(seconds):
            raise Cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Input files of a render; each is None where the spec needs none."""

    image: Path | None = None
    """The prepared reference image: the first frame."""
    last: Path | None = None
    """The prepared image of the last frame."""
    pictures: Mapping[str, Path] = field(default_factory=dict)
    """The prepared pictures of effects by option, for models that look at them too."""
    latents: Path | None = None
    """What the same model handed to `Monitor.keep` when it made the clip to go on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """Callbacks of a render: progress, cancellation, metering."""

    on_step: StepCallback = lambda _done, _total, _still: None
    cancel: CancelToken = field(default_factory=CancelToken)
    """Read by the engine at least once per step."""
    keep: Callable[[bytes], None] = lambda _data: None
    """Called once, at the latest after the last frame, with what the model needs to go on from this
    clip. Only by models with `Capabilities.extends`, and not for images."""
    without: Callable[[str], None] = lambda _switch: None
    """Called before the first frame with a name in `ModelEntry.recipe` that does not hold for this
    clip, such as "compile" where no compiler was found: its file will not say so."""
    instead: Callable[[str, OptionValue], None] = lambda _option, _value: None
    """Called before the first frame with an option that could not be followed here, and the value
    that held instead: the file will name that one."""
    meter: Meter = field(default_factory=Meter)
    """Where the engine writes what it measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Memory footprint of a model: bytes of weights, and widths."""

    text_bytes: int
    transformer_bytes: int
    """Of one set of weights."""
    transformer_sets: int
    """How many sets there are; all but the one in use wait in host memory."""
    vae_bytes: int
    hidden_size: int
    layers: int
    """Of the transformer that look at the text."""
    base_channels: int
    """Of the VAE at full size."""
    itemsize: int = 2
    """Bytes per number, in weights and activations."""
    fused: bool = False
    """Whether kernels of its own norm and pad in one pass, which holds less at once."""

    def in_fp32(self) -> Self:
        """Return the same in the precision that a CPU works in."""
        factor = FP32_BYTES // self.itemsize
        return replace(
            self,
            text_bytes=self.text_bytes * factor,
            transformer_bytes=self.transformer_bytes * factor,
            vae_bytes=self.vae_bytes * factor,
            itemsize=FP32_BYTES,
            fused=False,
        )


class Engine(Protocol):
    """Turns a resolved spec into frames, inside a worker process; no access to chat or store."""

    def load(self, on_progress: ProgressCallback) -> None:
        """Bring the weights into memory; a second call is free.

        Raises:
            EngineError: Weights are missing or do not fit.
        """
        ...

    def render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[FrameChunk]:
        """Yield the clip's frames in order, as soon as they are final.

        Args:
            spec: What to make. `Spec.total_frames` frames come out, at the size the model's
                `Capabilities.sizes` names.
            inputs: What to start from.
            monitor: What to report to.

        Raises:
            Cancelled: `monitor.cancel` was set.
            EngineError: The render failed; `transient` says whether another attempt may work.
        """
        ...
