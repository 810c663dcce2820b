"""How long a render takes, learned from finished ones, and when a waiting job's turn comes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from inference.engines.base import Capabilities
from inference.spec import Spec

MEMORY = 50
"""Finished jobs per model that the fit looks at: enough to be stable, few enough to follow."""

PRIOR_WEIGHT = 0.5
"""How much the capabilities' first guess counts against one measured job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a waiting job stands."""

    position: int
    """1 is the next to be served."""
    start_in: float
    """Seconds until the GPU takes it."""
    ready_in: float
    """Seconds until its clip is there."""


def work_units(spec: Spec, capabilities: Capabilities) -> float:
    """Return the size of a render in megapixel-frame-steps."""
    size = capabilities.sizes[spec.resolution, spec.aspect]
    megapixels = size.width * size.height / 1e6
    return megapixels * spec.frames * spec.steps * spec.loops


class CostModel:
    """Predicts GPU seconds as `fixed + rate x work`, per model.

    Least squares over the newest finished jobs, with the capabilities' first guess as two
    pseudo-observations: without it, jobs of one single size would leave one of the two terms open.
    """

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, float]]] = {}
        self._fits: dict[str, tuple[float, float]] = {}

    def learn(self, spec: Spec, capabilities: Capabilities, seconds: float) -> None:
        """Take in what a finished job really cost, without the time to load its model."""
        samples = self._samples.setdefault(spec.model, deque(maxlen=MEMORY))
        samples.append((work_units(spec, capabilities), seconds))
        self._fits.pop(spec.model, None)

    def seconds(self, spec: Spec, capabilities: Capabilities) -> float:
        """Predict GPU seconds of a render on a warm model; always positive."""
        fit = self._fits.get(spec.model)
        if fit is None:
            fit = self._fits[spec.model] = self._fit(spec, capabilities)
        fixed, rate = fit
        return max(0.01, fixed + rate * work_units(spec, capabilities))

    def _fit(self, spec: Spec, capabilities: Capabilities) -> tuple[float, float]:
        cost = capabilities.cost
        fixed, rate = cost.fixed_seconds, cost.seconds_per_megapixel_frame_step
        samples = self._samples.get(spec.model)
        if not samples:
            return fixed, rate
        typical = sum(work for work, _ in samples) / len(samples)
        # If the first guess is off by some factor, it is off by the same factor everywhere.
        guessed = sum(fixed + rate * work for work, _ in samples)
        scale = sum(seconds for _, seconds in samples) / max(guessed, 1e-9)
        weighted = [(work, seconds, 1.0) for work, seconds in samples]
        weighted += [
            (work, scale * (fixed + rate * work), PRIOR_WEIGHT) for work in (0.0, 2 * typical)
        ]
        total = sum(weight for *_, weight in weighted)
        mean_work = sum(work * weight for work, _, weight in weighted) / total
        mean_seconds = sum(seconds * weight for _, seconds, weight in weighted) / total
        spread = sum(weight * (work - mean_work) ** 2 for work, _, weight in weighted)
        slope = (
            sum(w * (work - mean_work) * (seconds - mean_seconds) for work, seconds, w in weighted)
            / spread
        )
        slope = max(0.0, slope)
        return max(0.0, mean_seconds - slope * mean_work), slope
