"""Cost models by kind of device, because times differ between devices."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from inference.domain.capabilities import Capabilities
from inference.domain.job import Job
from inference.domain.spec import Spec
from inference.jobs.estimates.cost_model import CostModel, Fit, Stages, megapixel_frames

LEARN_FROM = 200
"""Delivered jobs that estimates begin with."""

LONGEST_DELIVERY = 600.0
"""Seconds: what takes longer waited for a platform that was away, and teaches nothing."""

_DELIVERY = (1.0, 0.01)
"""First guess of a delivery: seconds, and seconds for each megapixel-frame."""

UNKNOWN = ""
"""Kind of the device of jobs that were rendered before it was noted."""


class DeviceCosts:
    """Predicts GPU seconds per kind of device, by its name.

    A kind that is new begins with what is known of unknown devices: on a machine that never had
    another GPU, these are its own renders.

    Args:
        present: Kinds of the slots that there are, as far as that is known.
    """

    def __init__(self, present: Callable[[], Collection[str]] = tuple) -> None:
        self._present = present
        self._models = {UNKNOWN: CostModel()}
        self._deliveries: dict[str, Fit] = {}
        """By platform."""

    def learn(
        self, spec: Spec, capabilities: Capabilities, timings: Mapping[str, float], kind: str | None
    ) -> None:
        """Learn from a finished job; see `CostModel.learn`."""
        self.on(kind).learn(spec, capabilities, timings)

    def learn_from(self, jobs: Iterable[Job], capabilities: Callable[[str], Capabilities]) -> None:
        """Learn from delivered jobs, without those of models and sizes that no longer exist."""
        for job in jobs:
            if job.manifest is not None and "total" in job.manifest.timings:
                with contextlib.suppress(Exception):
                    known = capabilities(job.spec.model)
                    self.learn(job.spec, known, job.manifest.timings, job.device)
                    self.learn_delivery(job, known)

    def learn_delivery(self, job: Job, capabilities: Capabilities) -> None:
        """Learn from a delivered job how long its file took to be posted."""
        if job.manifest is None or job.started_at is None or job.ended_at is None:
            return
        timings = job.manifest.timings
        rendered = sum(timings.get(name, 0.0) for name in ("load", "start", "total"))
        seconds = job.ended_at - job.started_at - rendered
        if 0 <= seconds <= LONGEST_DELIVERY:
            delivery = self._deliveries.setdefault(job.platform, Fit(*_DELIVERY))
            delivery.learn(megapixel_frames(job.spec, capabilities), seconds)

    def delivery_seconds(self, spec: Spec, capabilities: Capabilities, platform: str) -> float:
        """Predict the seconds from a finished file to a posted one."""
        delivery = self._deliveries.get(platform, Fit(*_DELIVERY))
        return delivery.at(megapixel_frames(spec, capabilities))

    def stages(
        self, job: Job, capabilities: Capabilities, kind: str | None, *, warm: bool
    ) -> Stages:
        """Predict the stages of a job on a kind of device, its delivery included."""
        stages = self.on(kind).stages(job.spec, capabilities, warm=warm)
        deliver = self.delivery_seconds(job.spec, capabilities, job.platform)
        return replace(stages, deliver=deliver)

    def soonest(self, job: Job, capabilities: Capabilities) -> Stages:
        """Predict the stages of a waiting job on the fastest kind that there is."""
        models = self._candidates()
        fastest = min(models, key=lambda model: model.seconds(job.spec, capabilities))
        stages = fastest.stages(job.spec, capabilities, warm=False)
        deliver = self.delivery_seconds(job.spec, capabilities, job.platform)
        return replace(stages, deliver=deliver)

    def seconds(self, spec: Spec, capabilities: Capabilities) -> float:
        """Predict GPU seconds of a render on the fastest kind that there is."""
        return min(model.seconds(spec, capabilities) for model in self._candidates())

    def load_seconds(self, capabilities: Capabilities) -> float:
        """Return the time to load a model on the fastest kind that there is."""
        return min(model.load_seconds(capabilities) for model in self._candidates())

    def on(self, kind: str | None) -> CostModel:
        """Return the cost model of a kind of device, None for an unknown one."""
        name = kind or UNKNOWN
        if name not in self._models:
            self._models[name] = copy.deepcopy(self._models[UNKNOWN])
        return self._models[name]

    def _candidates(self) -> list[CostModel]:
        known = set(self._models) - {UNKNOWN}
        return [self.on(kind) for kind in self._present() or known or {UNKNOWN}]
