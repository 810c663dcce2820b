"""Estimates over real renders, recorded by `benchmarks.stages`, on a clock of our own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.stages import spec as spec_of
from bot.delivery.live_updates import RUNNING_SECONDS
from inference.domain.fairness import Head, Shares
from inference.domain.job import JobState
from inference.domain.render import Manifest, Progress, Stage
from inference.engines.built_in import ENTRIES
from inference.jobs.estimates.device_costs import DeviceCosts
from inference.jobs.estimates.progress import FULLEST, JobProgress
from inference.jobs.forecast import FreeSlot, QueueForecast
from inference.jobs.queue import JobQueue, Ticket
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job

RECORDED = json.loads(Path(__file__).with_name("recorded_renders.json").read_text())
MOMENTS = (0.0, 0.25, 0.5, 0.75)
WITHIN = 0.25
MANIFEST = Manifest(name="clip.mp4", size=1, sha256="", width=1, height=1, frames=1)
ONE_SIZE, OTHERS, LOADED, TESTCARD = RECORDED


def capabilities(name):
    return ENTRIES[name].capabilities


class Replay:
    """One machine that renders recordings one after the other."""

    def __init__(self):
        self.costs = DeviceCosts()
        self.done = []
        self.warm = None
        self.waiting = []
        """By how much the end of the next job was missed at each moment of each job."""

    def restart(self):
        self.costs, self.warm = DeviceCosts(), None
        self.costs.learn_from(self.done, capabilities)

    def render(self, session, number, *, slower=1.0):
        """Return by how much the end was missed at each moment: seconds, and all seconds."""
        model, made = RECORDED[session]["model"], RECORDED[session]["renders"][number]
        spec, took = spec_of(model, made["asked"]), made["took"] * slower
        timings = {name: seconds * slower for name, seconds in made["timings"].items()}
        reports = [(at * slower, what) for at, *what in made["reports"]]
        clock = ManualClock()
        stages = self.costs.on(None).stages(spec, capabilities(model), warm=self.warm == model)
        progress, job = JobProgress(stages, clock), a_job(spec=spec)
        looks = [(took * moment, []) for moment in sorted({*MOMENTS, *(n / 50 for n in range(50))})]
        errors, bars, now = [], [], 0.0
        for at, report in sorted([*looks, *reports], key=lambda event: event[0]):
            clock.advance(at - now)
            now = at
            if report:
                stage, done, total = report
                progress.note(Progress(stage=Stage(stage), done=done, total=total))
                continue
            outlook = progress.outlook()
            bars.append(outlook.fraction)
            if round(at / took, 6) in MOMENTS:
                errors.append((at + outlook.seconds_left - took, took))
                self.waiting.append((self.ready_in(job, progress) + at, took))
        assert bars == sorted(bars)
        assert bars[-1] <= FULLEST
        start = max(0.0, progress.seconds_to_first - timings["load"])
        timings |= {"start": start, "total": took - timings["load"] - start}
        manifest = replace(MANIFEST, timings=timings)
        self.done.append(a_job(spec=spec, state=JobState.DONE, manifest=manifest))
        self.costs.learn(spec, capabilities(model), timings, None)
        self.warm = model
        return errors

    def ready_in(self, job, progress):
        """Return when the same again would be rendered, waiting behind a render."""
        known, queue = capabilities(job.spec.model), JobQueue(Shares())
        head = Head(job_id="next", model=job.spec.model, cost=1.0, load_seconds=9.0, sequence=1)
        stages = self.costs.soonest(job, known)
        queue.put(Ticket(head=head, tenant="a", requester_id="b", expected=lambda: stages))
        slot = FreeSlot(progress.until_rendered(), job.spec.model)
        return QueueForecast(queue).times("next", [slot]).ready_in - stages.deliver

    def all(self, session):
        return [self.render(session, number) for number in range(len(RECORDED[session]["renders"]))]


def close(errors, *, within=WITHIN):
    """Whether the end was never missed by more than a part, or than passes between two edits."""
    return all(abs(missed) <= max(within * took, RUNNING_SECONDS) for missed, took in errors)


@pytest.mark.parametrize("session", RECORDED)
def test_from_the_third_job_of_a_kind_on_the_end_is_known_to_a_quarter(session):
    asked = [json.dumps(made["asked"]) for made in RECORDED[session]["renders"]]
    missed = Replay().all(session)
    known = [number for number, kind in enumerate(asked) if asked[:number].count(kind) >= 2]
    assert known
    assert [number for number in known if not close(missed[number])] == []


@pytest.mark.parametrize("session", [ONE_SIZE, LOADED, TESTCARD])
def test_who_waits_behind_a_job_is_told_its_end_from_the_same_numbers(session):
    replay = Replay()
    made = RECORDED[session]["renders"]
    replay.all(session)
    for number in range(2, len(made) - 1):
        if made[number]["asked"] == made[number + 1]["asked"] == made[number - 2]["asked"]:
            both = made[number]["took"] + made[number + 1]["took"]
            told = replay.waiting[number * len(MOMENTS) :][: len(MOMENTS)]
            assert close([(ready - both, both) for ready, _ in told])


@pytest.mark.parametrize("number", [6, 10, 11], ids=["longer", "more steps", "two passes"])
def test_the_first_of_another_size_is_told_from_those_before(number):
    assert close(Replay().all(OTHERS)[number])


def test_a_cold_start_is_expected_once_it_was_measured():
    replay = Replay()
    for number in (0, 1, 2, 3):
        replay.render(ONE_SIZE, number)
    replay.warm = None
    assert close(replay.render(ONE_SIZE, 0))


def test_one_slow_outlier_changes_nothing():
    replay = Replay()
    for number in (0, 1, 2, 3):
        replay.render(ONE_SIZE, number)
    replay.render(ONE_SIZE, 3, slower=5)
    assert close(replay.render(ONE_SIZE, 4))


def test_a_machine_that_is_twice_as_slow_is_followed_at_once():
    replay = Replay()
    replay.all(ONE_SIZE)
    first = replay.render(ONE_SIZE, 2, slower=2)
    assert close(first[2:])
    replay.render(ONE_SIZE, 3, slower=2)
    assert close(replay.render(ONE_SIZE, 4, slower=2))


def test_a_restart_forgets_nothing():
    replay, other = Replay(), Replay()
    for number in (0, 1, 2, 3):
        replay.render(ONE_SIZE, number)
        other.render(ONE_SIZE, number)
    replay.restart()
    replay.warm = "nano"
    assert replay.render(ONE_SIZE, 4) == other.render(ONE_SIZE, 4)


@pytest.mark.parametrize(("took", "learned"), [(6.0, True), (4000.0, False)], ids=["", "outage"])
def test_what_posting_takes_is_learned_by_platform_also_from_before_a_restart(took, learned):
    costs, spec = DeviceCosts(), spec_of("nano", {"frames": 49})
    timings = {"load": 5.0, "start": 1.0, "sample": 8.0, "total": 20.0}
    manifest = replace(MANIFEST, timings=timings)
    job = a_job(
        spec=spec,
        state=JobState.DONE,
        manifest=manifest,
        started_at=100.0,
        ended_at=126.0 + took,
    )
    before = costs.delivery_seconds(spec, capabilities("nano"), job.platform)
    costs.learn_from([job, job, job], capabilities)
    after = costs.delivery_seconds(spec, capabilities("nano"), job.platform)
    assert after == pytest.approx(took if learned else before)
    assert costs.delivery_seconds(spec, capabilities("nano"), "other") == before
