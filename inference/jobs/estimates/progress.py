"""Progress of one job over all its stages: one bar, and the time that is left."""

from __future__ import annotations

from dataclasses import dataclass

from inference.clock import Clock
from inference.domain.render import Progress, Stage
from inference.jobs.estimates.cost_model import Stages

TRUSTED_STEPS = 4
"""Steps after which a render's own pace says all about its end."""

OVERRUN = 0.1
"""What is left of a stage that takes longer than expected, as a part of what it has taken."""

FULLEST = 0.99
"""How full a bar is at most before the file is there."""

_USUAL, _SLOWEST = 1.5, 4.0
"""How much slower steps must be than expected, and are at most, to say that the stages after them
will be slower too. Smaller differences, and faster steps, say nothing about decoding."""


_OF_FIRST = 0.5
"""How much at least of the time until the first step was for that step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Progress of a job and the expected seconds until its file is posted."""

    fraction: float
    """Of the time from the claim to the posted file, 0 to 1; never less than before."""
    seconds_left: float
    """Until the file is posted."""


class JobProgress:
    """Follows one render from its claim to the posted file.

    Args:
        stages: What each stage is expected to take.
        clock: Its monotonic time counts.
    """

    def __init__(self, stages: Stages, clock: Clock) -> None:
        self.stages = stages
        self.latest: Progress | None = None
        self._clock = clock
        self._started = self._changed = clock.monotonic()
        self._stepping: float | None = None
        self._base: tuple[float, int] | None = None
        """When the pace begins to count, and the steps that were done then: not the first one,
        which includes text encoding and warm-up."""
        self._pace: float | None = None
        self._trust = 0.0
        self._steps = 1
        self._decoding: float | None = None
        self._rendered: float | None = None
        self._highest = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the job was claimed."""
        return self._clock.monotonic() - self._started

    @property
    def seconds_to_first(self) -> float:
        """Seconds from the claim until the model was there and the render began, if it did."""
        return 0.0 if self._stepping is None else self._stepping - self._started

    def note(self, progress: Progress) -> None:
        """Take note of a report from the worker."""
        now = self._clock.monotonic()
        self.latest, self._changed = progress, now
        if progress.stage is Stage.LOADING:
            return
        if progress.stage is Stage.RENDERING and not progress.done:
            self._stepping, self._base = now, (now, 0)
        elif self._stepping is None:
            self._stepping, self._base = self._started, (self._started, 0)
        if progress.stage is Stage.RENDERING:
            self._steps = progress.total
            self._note_step(progress.done, now)
        elif self._decoding is None:
            self._decoding = now

    def mark_rendered(self, *, after: float = 0.0) -> None:
        """Record that the file is complete and only its delivery remains.

        Args:
            after: Seconds that the render took before this began to follow it.
        """
        self._rendered = self._clock.monotonic()
        self._started -= after

    def until_rendered(self) -> float:
        """Return the expected seconds until the file is complete and the slot is free."""
        if self._rendered is not None:
            return 0.0
        stages, progress, now = self.stages, self.latest, self._clock.monotonic()
        if self._stepping is None:
            before = self._load(progress) + stages.text
            begun = _remaining(before, now - self._started)
            return begun + stages.sample + stages.rest
        if self._decoding is not None and progress is not None:
            return self._left_of_rest(progress, now)
        if progress is None or not progress.done:
            return _remaining(stages.text + stages.sample, now - self._stepping) + stages.rest
        pace = self._expected_pace(progress.total)
        if self._pace is not None:
            pace = self._trust * self._pace + (1 - self._trust) * pace
        steps = progress.total - progress.done
        into = min(now - self._changed, pace) if steps else 0.0
        return pace * steps - into + stages.rest * self._slowness()

    def outlook(self) -> Outlook:
        """Return the progress of the whole job; it never decreases."""
        deliver = self.stages.deliver
        if self._rendered is None:
            left = self.until_rendered() + deliver
        else:
            left = _remaining(deliver, self._clock.monotonic() - self._rendered)
        elapsed = self.elapsed
        fraction = elapsed / (elapsed + left) if elapsed + left > 0 else 0.0
        self._highest = min(FULLEST, max(self._highest, fraction))
        return Outlook(fraction=self._highest, seconds_left=left)

    def _note_step(self, done: int, now: float) -> None:
        if not done or self._base is None:
            return
        since, steps = self._base
        if done > steps:
            took = now - since
            if done == 1:  # reading the prompt was before it
                took = max(took - self.stages.text, _OF_FIRST * took)
            self._pace = took / (done - steps)
            self._trust = min(1.0, (done - steps) / TRUSTED_STEPS)
        if done == 1:
            self._base = (now, 1)

    def _expected_pace(self, steps: int) -> float:
        return self.stages.sample / max(1, steps)

    def _slowness(self) -> float:
        """Return the factor by which this render's steps are slower than expected."""
        expected = self._expected_pace(self._steps)
        if self._pace is None or expected <= 0:
            return 1.0
        ratio = min(_SLOWEST, self._pace / expected)
        return 1 + self._trust * (ratio - 1) if ratio > _USUAL else 1.0

    def _load(self, progress: Progress | None) -> float:
        """Return the seconds that loading takes, the more by its own pace the further it is."""
        expected = self.stages.load
        if progress is None or not progress.done or not progress.total:
            return expected
        share = min(1.0, progress.done / progress.total)
        return (self._changed - self._started) + (1 - share) * expected

    def _left_of_rest(self, progress: Progress, now: float) -> float:
        assert self._decoding is not None  # noqa: S101 - the caller looked
        expected = self.stages.rest * self._slowness()
        if progress.done and progress.total:
            share = min(1.0, progress.done / progress.total)
            by_pace = (self._changed - self._decoding) / share
            expected = share * by_pace + (1 - share) * expected
        return _remaining(expected, now - self._decoding)


def _remaining(expected: float, taken: float) -> float:
    """Return the seconds left of a running stage, always above 0."""
    return max(expected - taken, OVERRUN * taken)
