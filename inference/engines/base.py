"""The engine port: the interface that every model implements inside a worker process."""

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
"""Bytes per number in fp32, the precision on CPUs."""

Still = Callable[[], "npt.NDArray[np.uint8]"]
"""Draws a small preview of the clip so far: uint8 [height, width, 3], RGB. It is valid only during
the callback that receives it."""

StepCallback = Callable[[int, int, Still | None], None]
"""Called as (steps done, steps in all, still) after every step; still is None if the model cannot
draw a preview."""

ProgressCallback = Callable[[float, str], None]
"""Called while loading as (fraction done 0..1, name of the part being read)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Sound of a whole clip: float32 in -1..1, shape [channels, samples], one or two channels."""

    samples: npt.NDArray[np.float32]
    rate: int
    """Samples per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameChunk:
    """Consecutive finished frames: uint8, shape [frames, height, width, 3], RGB."""

    frames: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    """Catalog codes of notes for the requester, such as that the prompt was shortened."""
    sound: Sound | None = None
    """Sound of the whole clip, in the first chunk only: a file's streams are declared first."""


class CancelToken:
    """Cancellation flag, set by one thread and read by the engine at every step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Request that the render stops at its next step."""
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
        """Sleep until the time is over or the render is cancelled.

        Raises:
            Cancelled: `cancel` was called, before or during the wait.
        """
        if self._event.wait(seconds):
            raise Cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Input files of a render; None for those that the spec does not need."""

    image: Path | None = None
    """Prepared reference image for the first frame."""
    last: Path | None = None
    """Prepared reference image for the last frame."""
    pictures: Mapping[str, Path] = field(default_factory=dict)
    """Prepared pictures of effects by option name; a model may read them too."""
    latents: Path | None = None
    """Data that the same model passed to `Monitor.keep` for the clip to extend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """Callbacks of a render: progress, cancellation, metering."""

    on_step: StepCallback = lambda _done, _total, _still: None
    cancel: CancelToken = field(default_factory=CancelToken)
    """Cancellation flag, which the engine checks at least once per step."""
    keep: Callable[[bytes], None] = lambda _data: None
    """Called once, at the latest after the last frame, with the data that the model needs to extend
    this clip. Only by models with `Capabilities.extends`, and not for images."""
    without: Callable[[str], None] = lambda _switch: None
    """Called before the first frame with a key of `ModelEntry.recipe` that was not applied to this
    clip, such as "compile" without a compiler; the file's recipe leaves it out."""
    instead: Callable[[str, OptionValue], None] = lambda _option, _value: None
    """Called before the first frame with an option that this device does not support, and the value
    used in its place; the file's recipe names that value."""
    meter: Meter = field(default_factory=Meter)
    """Receives the engine's measurements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Numbers that determine the memory of an Open-Sora model: bytes of weights, and widths."""

    text_bytes: int
    transformer_bytes: int
    """Bytes of one set of the transformer's weights."""
    transformer_sets: int
    """Number of weight sets; those not in use are in host memory."""
    vae_bytes: int
    hidden_size: int
    layers: int
    """Layers of the transformer with cross-attention to the text."""
    base_channels: int
    """Channels of the VAE's layers at full size."""
    itemsize: int = 2
    """Bytes per number, in weights and activations."""
    fused: bool = False
    """Whether fused kernels normalise and pad in one pass, which needs less memory."""

    def in_fp32(self) -> Self:
        """Return the footprint in fp32, the precision on CPUs."""
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
    """Interface of a model: renders a resolved spec to frames, inside a worker process."""

    def load(self, on_progress: ProgressCallback) -> None:
        """Load the weights; does nothing if they are loaded.

        Raises:
            EngineError: Weights are missing or do not fit.
        """
        ...

    def render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[FrameChunk]:
        """Yield the clip's frames in order, as soon as they are final.

        Args:
            spec: The render. It yields `Spec.total_frames` frames, of the size in the model's
                `Capabilities.sizes`.
            inputs: Input files.
            monitor: Callbacks.

        Raises:
            Cancelled: `monitor.cancel` was set.
            EngineError: The render failed; `transient` says whether another attempt may work.
        """
        ...
