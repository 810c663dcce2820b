"""A test picture instead of a model: colour bars, a running clock, the prompt as text.

Needs no torch. Chat suites and an operator's wiring check use it: what arrives shows at a glance
which prompt, size, seed and frame it is. Failures on demand are in `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from inference.engines.base import FrameChunk
from inference.engines.registry import TESTCARD, capabilities
from inference.engines.testcard_picture import Picture
from inference.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from inference.engines.base import CancelToken, ProgressCallback, StepCallback
    from inference.engines.registry import ModelOptions
    from inference.spec import Spec

_CHUNK_FRAMES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TestcardOptions:
    """The members of `[models.testcard]`, but for `fail`, which concerns the worker process."""

    step_seconds: float = 0.05
    """How long a step pretends to take."""
    steps: int | None = None
    """Steps of every render, whatever was asked for; None: as asked."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Check what the configuration says.

        Raises:
            EngineError: `model.bad_option`.
        """
        own = {name: value for name, value in values.items() if name != "fail"}
        for option, value in own.items():
            legal = {
                "step_seconds": isinstance(value, (int, float)) and value >= 0,
                "steps": value is None or (isinstance(value, int) and value >= 1),
            }
            if not legal.get(option, False):
                raise EngineError("model.bad_option", option=option, value=value)
        return cls(**own)


class TestcardEngine:
    """The engine behind `--model testcard`."""

    def __init__(self, options: ModelOptions) -> None:
        self._options = TestcardOptions.read(options.values)

    def load(self, on_progress: ProgressCallback) -> None:
        """Have nothing to load, and say so."""
        on_progress(1.0, TESTCARD)

    def render(
        self, spec: Spec, *, image: Path | None, on_step: StepCallback, cancel: CancelToken
    ) -> Iterator[FrameChunk]:
        """Yield the picture's frames; equal specs give equal frames."""
        size = capabilities(TESTCARD).sizes[spec.resolution, spec.aspect]
        count = spec.frames * spec.loops
        picture = Picture.draw(spec.prompt, size=size, seed=spec.seed, frames=count, image=image)
        steps = self._options.steps or spec.steps
        for step in range(1, steps + 1):
            cancel.wait(self._options.step_seconds)
            on_step(step, steps)
        for first in range(0, count, _CHUNK_FRAMES):
            cancel.raise_if_cancelled()
            numbers = range(first, min(first + _CHUNK_FRAMES, count))
            yield FrameChunk(frames=np.stack([picture.frame(number) for number in numbers]))
