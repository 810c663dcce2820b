"""Test card engine: draws a test picture without a model or torch.

Tests and operators use it to check everything around a model: the picture shows its prompt, size,
seed and frame number. `faults` injects failures.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np

from inference.domain.errors import EngineError
from inference.engines.base import FrameChunk
from inference.engines.options import TestcardTable
from inference.engines.testcard_picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.domain.spec import Spec
    from inference.engines.base import Inputs, Monitor, ProgressCallback
    from inference.engines.entry import ModelOptions

_CHUNK_FRAMES = 16


class TestcardEngine:
    """Engine of `--model testcard`."""

    def __init__(self, options: ModelOptions) -> None:
        self._capabilities = options.capabilities
        self._options = TestcardTable.model_validate(dict(options.values))

    def load(self, on_progress: ProgressCallback) -> None:
        """Report progress; there is nothing to load."""
        on_progress(1.0, self._capabilities.name)

    def render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[FrameChunk]:
        """Yield the picture's frames; equal specs give equal frames.

        An extended clip looks like the one before and continues its frame numbers.
        """
        begun = None if inputs.latents is None else _Begun.read(inputs.latents)
        seed = spec.seed if begun is None else begun.seed
        count = spec.total_frames
        picture = Picture.draw(
            spec.prompt,
            size=self._capabilities.sizes[spec.resolution, spec.aspect],
            seed=seed,
            frames=count,
            rate=spec.file_fps,
            images=[path for path in (inputs.image, inputs.last) if path is not None],
        )
        with monitor.meter.stage("sample"):
            self._step(spec, picture, monitor)
        if count > 1:
            monitor.keep(_Begun(frames=count, seed=seed).dump())
        for first in range(0, count, _CHUNK_FRAMES):
            monitor.cancel.raise_if_cancelled()
            with monitor.meter.stage("decode"):
                numbers = range(first, min(first + _CHUNK_FRAMES, count))
                chunk = FrameChunk(frames=np.stack([picture.frame(number) for number in numbers]))
            yield chunk

    def _step(self, spec: Spec, picture: Picture, monitor: Monitor) -> None:
        steps = self._options.steps or spec.steps
        for step in range(1, steps + 1):
            monitor.cancel.wait(self._options.step_seconds)
            monitor.meter.count_forwards(1)
            monitor.on_step(step, steps, partial(picture.frame, picture.frames * step // steps - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """State of a clip that the test card keeps in place of latents, to extend it."""

    frames: int
    seed: int

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file written with `dump`.

        Raises:
            EngineError: `latents.unreadable`.
        """
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise EngineError("latents.unreadable") from error
