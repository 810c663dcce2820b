"""Cost model: GPU seconds of a render, learned from finished jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from inference.domain.spec import Mode, Spec
from inference.engines.base import Capabilities

MEMORY = 50
"""Finished jobs per model that the fit looks at: enough to be stable, few enough to follow."""

PRIOR_WEIGHT = 0.5
"""How much the capabilities' first guess counts against one measured job."""


_WARM_SECONDS = 0.05
"""A load that takes no longer was none: the model was there already."""

REFERENCE_FACTOR = 1.5
"""A pass that keeps given frames compares three branches where one from text compares two."""


def work_units(spec: Spec, capabilities: Capabilities) -> float:
    """Return the sampling work in megapixel-frame-steps, weighted for continued passes."""
    begins_with_frames = spec.image is not None or spec.latents is not None
    first = REFERENCE_FACTOR if begins_with_frames else 1.0
    passes = first + REFERENCE_FACTOR * (spec.loops - 1)
    return _megapixels(spec, capabilities) * spec.frames * spec.steps * passes


def _megapixels(spec: Spec, capabilities: Capabilities) -> float:
    size = capabilities.sizes[spec.resolution, spec.aspect]
    return size.width * size.height / 1e6


Kind = tuple[str, Mode]
"""Model and mode: images teach nothing about clips."""


def _kind(spec: Spec) -> Kind:
    return spec.model, spec.mode


class CostModel:
    """Predicts GPU seconds per model and mode: sampling by work, the rest by frames.

    Before anything was measured, the capabilities' first guess counts, which knows no rest.
    """

    def __init__(self) -> None:
        self._sampling: dict[Kind, _Fit] = {}
        self._rest: dict[Kind, _Fit] = {}
        self._loads: dict[str, float] = {}

    def learn(self, spec: Spec, capabilities: Capabilities, timings: Mapping[str, float]) -> None:
        """Learn from a finished job's `Manifest.timings`, including its total.

        Of an engine that does not say how long it sampled, everything counts as that.
        """
        load = timings.get("load", 0.0)
        if load > _WARM_SECONDS:
            self._loads[spec.model] = load
        total = timings["total"]
        sampling = min(timings.get("sample", total), total)
        cost = capabilities.cost
        work = work_units(spec, capabilities)
        kind = _kind(spec)
        self._sampling.setdefault(
            kind, _Fit(cost.fixed_seconds, cost.seconds_per_megapixel_frame_step)
        ).learn(work, sampling)
        frames = _megapixels(spec, capabilities) * spec.total_frames
        self._rest.setdefault(kind, _Fit(0.0, 1.0)).learn(frames, total - sampling)

    def load_seconds(self, capabilities: Capabilities) -> float:
        """Return the last measured load time of the model, or the initial guess."""
        return self._loads.get(capabilities.name, capabilities.cost.load_seconds)

    def seconds(self, spec: Spec, capabilities: Capabilities) -> float:
        """Predict GPU seconds of a render on a warm model; always positive."""
        work, cost = work_units(spec, capabilities), capabilities.cost
        fit = self._sampling.get(_kind(spec))
        sampling = (
            cost.fixed_seconds + cost.seconds_per_megapixel_frame_step * work
            if fit is None
            else fit.at(work)
        )
        return max(0.01, sampling + self.rest_seconds(spec, capabilities))

    def rest_seconds(self, spec: Spec, capabilities: Capabilities) -> float:
        """Predict the seconds outside sampling: text encoding, decoding, video encoding."""
        fit = self._rest.get(_kind(spec))
        if fit is None:
            return 0.0
        return fit.at(_megapixels(spec, capabilities) * spec.total_frames)


class _Fit:
    """Least-squares line through the newest measurements, with a prior.

    The guess counts as two pseudo-observations: without it, jobs of one single size would leave
    one of the two terms open.
    """

    def __init__(self, fixed: float, rate: float) -> None:
        self._guess = fixed, rate
        self._samples: deque[tuple[float, float]] = deque(maxlen=MEMORY)
        self._line: tuple[float, float] | None = None

    def learn(self, size: float, seconds: float) -> None:
        self._samples.append((size, seconds))
        self._line = None

    def at(self, size: float) -> float:
        if self._line is None:
            self._line = self._fitted()
        fixed, rate = self._line
        return fixed + rate * size

    def _fitted(self) -> tuple[float, float]:
        fixed, rate = self._guess
        samples = self._samples
        typical = sum(size for size, _ in samples) / len(samples)
        # If the first guess is off by some factor, it is off by the same factor everywhere.
        guessed = sum(fixed + rate * size for size, _ in samples)
        scale = sum(seconds for _, seconds in samples) / max(guessed, 1e-9)
        weighted = [(size, seconds, 1.0) for size, seconds in samples]
        weighted += [
            (size, scale * (fixed + rate * size), PRIOR_WEIGHT) for size in (0.0, 2 * typical)
        ]
        total = sum(weight for *_, weight in weighted)
        mean_size = sum(size * weight for size, _, weight in weighted) / total
        mean_seconds = sum(seconds * weight for _, seconds, weight in weighted) / total
        spread = sum(weight * (size - mean_size) ** 2 for size, _, weight in weighted)
        slope = (
            sum(w * (size - mean_size) * (seconds - mean_seconds) for size, seconds, w in weighted)
            / spread
        )
        slope = max(0.0, slope)
        return max(0.0, mean_seconds - slope * mean_size), slope
