from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.capabilities import Cost
from inference.domain.reference import Prepared
from inference.domain.spec import Resolution
from inference.jobs.estimates.cost_model import MEMORY, CostModel, work_units
from tests.fakes.orders import a_spec, capabilities

FIXED, RATE = 2.0, 0.01
REFERENCE_FACTOR = 1.5
FOX = replace(
    capabilities("fox"),
    cost=Cost(
        load_seconds=30,
        fixed_seconds=FIXED,
        seconds_per_megapixel_frame_step=RATE,
        reference_factor=REFERENCE_FACTOR,
    ),
)
SMALL, LONG, LARGE = a_spec(), a_spec(frames=113), a_spec(resolution=Resolution.P720, steps=30)


def costs_after(*lessons):
    costs = CostModel()
    for spec, seconds in lessons:
        costs.learn(spec, FOX, {"total": seconds})
    return costs


def first_guess(spec):
    return FIXED + RATE * work_units(spec, FOX)


def test_work_grows_with_pixels_frames_steps_and_loops():
    one = work_units(a_spec(), FOX)

    assert one == pytest.approx(640 * 360 / 1e6 * 49 * 10)
    assert work_units(a_spec(loops=3), FOX) == pytest.approx((1 + 2 * REFERENCE_FACTOR) * one)
    assert work_units(a_spec(resolution=Resolution.P720), FOX) == pytest.approx(4 * one)


@pytest.mark.parametrize("spec", [SMALL, LONG, LARGE])
def test_the_first_guess_is_the_models_own(spec):
    assert CostModel().seconds(spec, FOX) == pytest.approx(first_guess(spec))


@pytest.mark.parametrize("spec", [SMALL, LONG, LARGE])
def test_a_guess_that_was_right_stays(spec):
    costs = costs_after(*[(each, first_guess(each)) for each in (SMALL, LONG, LARGE)] * 3)

    assert costs.seconds(spec, FOX) == pytest.approx(first_guess(spec), rel=0.01)


@pytest.mark.parametrize("spec", [SMALL, LONG, LARGE])
def test_a_gpu_twice_as_slow_is_learned_from_one_size_for_all_sizes(spec):
    costs = costs_after(*[(SMALL, 2 * first_guess(SMALL))] * 5)

    assert costs.seconds(spec, FOX) == pytest.approx(2 * first_guess(spec), rel=0.05)


def test_different_sizes_teach_the_fixed_and_the_growing_part():
    def truth(spec):
        return 9.0 + 3 * RATE * work_units(spec, FOX)

    costs = costs_after(*[(each, truth(each)) for each in (SMALL, LONG, LARGE)] * 10)

    for spec in (SMALL, LONG, LARGE):
        assert costs.seconds(spec, FOX) == pytest.approx(truth(spec), rel=0.1)


def test_what_was_learned_long_ago_is_forgotten():
    costs = costs_after(*[(SMALL, 500.0)] * MEMORY, *[(SMALL, 5.0)] * MEMORY)

    assert costs.seconds(SMALL, FOX) == pytest.approx(5.0, rel=0.01)


def test_one_model_teaches_nothing_about_another():
    costs = costs_after((SMALL, 500.0))

    owl = capabilities("owl")
    assert costs.seconds(a_spec(model="owl"), owl) == pytest.approx(owl.cost.fixed_seconds)


def test_the_last_load_that_was_one_counts():
    costs = CostModel()
    assert costs.load_seconds(FOX) == FOX.cost.load_seconds
    for load in (12.0, 0.001):
        costs.learn(SMALL, FOX, {"total": 5.0, "load": load})
    assert costs.load_seconds(FOX) == 12


def test_asking_before_learning_does_not_freeze_the_guess():
    costs = CostModel()
    before = costs.seconds(SMALL, FOX)

    costs.learn(SMALL, FOX, {"total": 10 * before})

    assert costs.seconds(SMALL, FOX) > 5 * before


@given(
    lessons=st.lists(
        st.tuples(st.sampled_from([SMALL, LONG, LARGE]), st.floats(0.0, 1e5)), max_size=80
    ),
    asked=st.sampled_from([SMALL, LONG, LARGE]),
)
def test_every_estimate_is_positive_and_no_larger_job_is_cheaper(lessons, asked):
    costs = costs_after(*lessons)

    assert costs.seconds(asked, FOX) > 0
    assert costs.seconds(SMALL, FOX) <= costs.seconds(LONG, FOX) <= costs.seconds(LARGE, FOX)


@pytest.mark.parametrize("given", [{"image": "image.png"}, {"latents": "latents.bin"}])
def test_a_pass_that_keeps_given_frames_is_more_work(given):
    assert work_units(a_spec(**given), FOX) == REFERENCE_FACTOR * work_units(a_spec(), FOX)


def test_what_is_not_sampling_is_learned_apart_and_grows_with_the_frames_only():
    costs = CostModel()
    for _ in range(20):
        costs.learn(SMALL, FOX, {"sample": 4.0, "decode": 1.5, "total": 6.0})

    assert costs.seconds(SMALL, FOX) == pytest.approx(6.0)
    assert costs.stages(SMALL, FOX).rest == pytest.approx(2.0)
    many_steps = replace(SMALL, steps=10 * SMALL.steps)
    assert costs.stages(many_steps, FOX).rest == pytest.approx(2.0)
    extended = replace(SMALL, latents=Prepared("latents.bin"), after_frames=49 + 32)
    assert costs.stages(extended, FOX).rest == pytest.approx(2.0 * (49 + 64) / 49)
