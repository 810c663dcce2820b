"""Cost model: seconds of each stage of a render, learned from finished jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from inference.domain.capabilities import Capabilities
from inference.domain.spec import Mode, Spec

MEMORY = 50
"""Finished jobs per model and mode that the fit looks at."""

DECAY = 0.85
"""Weight of a job against the one after it: a machine that changed is followed in a few jobs."""

PRIOR_WEIGHT = 0.5
"""How much the capabilities' first guess counts against one measured job, and less among more."""

SAME_SIZE = 0.05
"""Relative difference up to which two renders are of one size."""

_WARM_SECONDS = 0.05
"""A load that takes no longer was none: the model was there already."""

_LEAST = 0.1
"""Of the typical seconds: what takes less than this part of them need not be met as exactly."""


def work_units(spec: Spec, capabilities: Capabilities) -> float:
    """Return the sampling work in megapixel-frame-steps, weighted for continued passes.

    Steps that are skipped do not count.
    """
    begins_with_frames = spec.image is not None or spec.latents is not None
    factor = capabilities.cost.reference_factor
    first = factor if begins_with_frames else 1.0
    passes = first + factor * (spec.loops - 1)
    steps = spec.steps * capabilities.work_share(spec)
    return _megapixels(spec, capabilities) * spec.frames * steps * passes


def effect_seconds(spec: Spec, capabilities: Capabilities) -> float:
    """Return the seconds that the effects of a render say they take."""
    rate = sum(effect.seconds_per_megapixel_frame for effect in spec.effects)
    return rate * megapixel_frames(spec, capabilities)


def megapixel_frames(spec: Spec, capabilities: Capabilities) -> float:
    """Return the size of the finished file in megapixels times frames."""
    return _megapixels(spec, capabilities) * spec.total_frames


def _megapixels(spec: Spec, capabilities: Capabilities) -> float:
    size = capabilities.sizes[spec.resolution, spec.aspect]
    return size.width * size.height / 1e6


Kind = tuple[str, Mode]
"""Model and mode: images teach nothing about clips."""


def _kind(spec: Spec) -> Kind:
    return spec.model, spec.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Expected seconds of a render, stage by stage."""

    load: float
    """Starting a worker and bringing the model in; 0 where it is there."""
    text: float
    """Before the first step: reading the prompt, encoding pictures."""
    sample: float
    """All steps of all passes."""
    rest: float
    """After the last step: decoding, effects, encoding, marking."""
    deliver: float = 0.0
    """From the finished file to the posted one: checks, shrinking, upload."""

    @property
    def render(self) -> float:
        """On the device, with the model there."""
        return max(0.01, self.text + self.sample + self.rest)


class CostModel:
    """Predicts the stages of a render per model and mode.

    Text encoding is a number, steps go by work, the rest by frames. Before anything was measured,
    the capabilities' first guess counts.
    """

    def __init__(self) -> None:
        self._text: dict[Kind, Fit] = {}
        self._sampling: dict[Kind, Fit] = {}
        self._rest: dict[Kind, Fit] = {}
        self._loads: dict[str, Fit] = {}

    def learn(self, spec: Spec, capabilities: Capabilities, timings: Mapping[str, float]) -> None:
        """Learn from a finished job's `Manifest.timings`, including its total.

        Of an engine that does not say how long it sampled, everything counts as that. Effects say
        themselves what they take.
        """
        load = timings.get("load", 0.0)
        if load > _WARM_SECONDS:
            # With the worker's start, which a model that was not there may have waited for too.
            self._load(capabilities).learn(1.0, load + timings.get("start", 0.0))
        total = max(0.0, timings["total"] - timings.get("effects", 0.0))
        sampling = min(timings.get("sample", total), total)
        text = min(timings.get("text", 0.0), total - sampling)
        frames = megapixel_frames(spec, capabilities)
        rest = total - sampling - text
        cost, kind = capabilities.cost, _kind(spec)
        fixed = 0.0 if "text" in timings else cost.fixed_seconds
        sampled = self._sampling.setdefault(kind, Fit(fixed, cost.seconds_per_megapixel_frame_step))
        sampled.learn(work_units(spec, capabilities), sampling)
        self._text.setdefault(kind, Fit(0.0, cost.fixed_seconds)).learn(1.0, text)
        rested = self._rest.setdefault(kind, Fit(0.0, cost.seconds_per_megapixel_frame))
        rested.learn(frames, max(0.0, rest))

    def load_seconds(self, capabilities: Capabilities) -> float:
        """Return the measured load time of the model, or the initial guess."""
        return self._load(capabilities).at(1.0)

    def is_measured(self, spec: Spec) -> bool:
        """Return whether renders of its kind were measured."""
        return _kind(spec) in self._sampling

    def stages(self, spec: Spec, capabilities: Capabilities, *, warm: bool = True) -> Stages:
        """Predict the stages of a render.

        Args:
            spec: What is rendered.
            capabilities: Of its model.
            warm: Whether the model is loaded.
        """
        frames = megapixel_frames(spec, capabilities)
        cost, kind = capabilities.cost, _kind(spec)
        text = self._text.get(kind, Fit(0.0, cost.fixed_seconds))
        sampling = self._sampling.get(kind, Fit(0.0, cost.seconds_per_megapixel_frame_step))
        rest = self._rest.get(kind, Fit(0.0, cost.seconds_per_megapixel_frame))
        return Stages(
            load=0.0 if warm else self.load_seconds(capabilities),
            text=text.at(1.0),
            sample=sampling.at(work_units(spec, capabilities)),
            rest=rest.at(frames) + effect_seconds(spec, capabilities),
        )

    def seconds(self, spec: Spec, capabilities: Capabilities) -> float:
        """Predict GPU seconds of a render on a warm model; always positive."""
        return self.stages(spec, capabilities).render

    def _load(self, capabilities: Capabilities) -> Fit:
        guess = Fit(0.0, capabilities.cost.load_seconds)
        return self._loads.setdefault(capabilities.name, guess)


class Fit:
    """Line of seconds over size through the newest measurements, with a first guess.

    A size that was measured lately is predicted by its own median of three, so that one outlier
    counts for nothing. Others lie on a line by weighted least squares of relative errors, in which
    older jobs count less. The guess counts as two pseudo-observations: without it, jobs of one
    single size would leave one of the two terms open.

    Args:
        fixed: First guess of the seconds at size 0.
        rate: First guess of the seconds per size.
    """

    def __init__(self, fixed: float, rate: float) -> None:
        self._guess = fixed, rate
        self._samples: deque[tuple[float, float]] = deque(maxlen=MEMORY)
        """Size and smoothed seconds, the newest last."""
        self._measured: deque[tuple[float, float]] = deque(maxlen=MEMORY)
        self._line: tuple[float, float] | None = None

    def learn(self, size: float, seconds: float) -> None:
        """Take a measurement in."""
        alike = [took for other, took in reversed(self._measured) if _same(size, other)][:2]
        self._measured.append((size, seconds))
        self._samples.append((size, median([seconds, *alike])))
        self._line = None

    def at(self, size: float) -> float:
        """Predict the seconds at a size; never less than at a smaller one."""
        if self._line is None:
            self._line = self._fitted()
        sizes = {other for other, _ in self._samples}
        least = max((self._near(other) for other in sizes if other <= size), default=0.0)
        if size in sizes:
            return least
        larger = min((other for other in sizes if other > size), default=None)
        found = max(least, self._near(size))
        return found if larger is None else min(found, self.at(larger))

    def _near(self, size: float) -> float:
        fixed, rate = self._line or self._guess
        on_line = fixed + rate * size
        for age, (other, seconds) in enumerate(reversed(self._samples)):
            if _same(size, other):
                trust = DECAY**age
                return trust * seconds + (1 - trust) * on_line
        return on_line

    def _fitted(self) -> tuple[float, float]:
        fixed, rate = self._guess
        count = len(self._samples)
        if not count:
            return self._guess
        if not fixed and not rate:  # nothing was guessed: it grows with the size
            rate = 1.0
        newest = [
            (size, seconds, DECAY ** (count - 1 - number))
            for number, (size, seconds) in enumerate(self._samples)
        ]
        total = sum(weight for *_, weight in newest)
        typical = sum(weight * size for size, _, weight in newest) / total
        usual = sum(weight * seconds for _, seconds, weight in newest) / total
        # If the first guess is off by some factor, it is off by the same factor everywhere.
        scale = usual / max(fixed + rate * typical, 1e-9)
        least = max(_LEAST * usual, 1e-9)
        weighted = [
            (size, seconds, weight / max(seconds, least) ** 2) for size, seconds, weight in newest
        ]
        weighted += [
            (size, scale * (fixed + rate * size), PRIOR_WEIGHT / count / max(usual, least) ** 2)
            for size in (0.0, 2 * typical)
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


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_SIZE * max(one, other)
