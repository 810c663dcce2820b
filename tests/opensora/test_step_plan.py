"""Which steps are skipped is decided by their number and the guidance alone."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.reference import Prepared
from inference.engines.registry import Models
from inference.opensora.presets import NANO, OFFICIAL_I2V, OFFICIAL_T2V
from inference.opensora.step_plan import branch_counts, compute_evaluated_share, find_skipped_steps
from tests.fakes.orders import a_spec


@pytest.mark.parametrize(
    ("preset", "steps", "references", "all_of_them", "left"),
    [
        (OFFICIAL_T2V, 30, False, 50, 34),
        (OFFICIAL_I2V, 30, True, 70, 46),
        (NANO, 30, False, 60, 40),
        (NANO, 14, False, 28, 20),
        (NANO, 14, True, 42, 30),
        (replace(NANO, guidance=1.0), 30, False, 30, 20),
        (NANO, 6, False, 12, 12),
        (NANO, 1, False, 2, 2),
    ],
)
def test_about_a_third_is_left_out(preset, steps, references, all_of_them, left):
    counts = branch_counts(preset, steps, references=references)

    assert sum(counts) == all_of_them
    assert sum(counts) - sum(counts[step] for step in find_skipped_steps(counts)) == left


@given(st.integers(1, 200), st.booleans(), st.booleans(), st.sampled_from([1.0, 7.0]))
def test_skipped_steps_lie_apart_between_the_ends(steps, oscillation, references, guidance):
    preset = replace(OFFICIAL_I2V, guidance=guidance, oscillation=oscillation)
    counts = branch_counts(preset, steps, references=references)

    left_out = sorted(find_skipped_steps(counts))

    dear = [step for step, count in enumerate(counts) if count == max(counts)]
    assert set(left_out) <= set(dear) - set(range(4)) - {steps - 1, steps - 2}
    assert all(dear.index(b) - dear.index(a) > 1 for a, b in pairwise(left_out))
    assert len(left_out) <= steps / 3
    assert 0.5 < compute_evaluated_share(preset, steps, references=references) <= 1


@pytest.mark.parametrize(
    ("model", "speed", "share"),
    [
        ("opensora", "exact", 1.0),
        ("opensora", "balanced", 34 / 50),
        ("opensora", "fast", 0.85 * 34 / 50),
        ("nano", "balanced", 40 / 60),
    ],
)
def test_estimates_count_what_is_evaluated(model, speed, share):
    spec = a_spec(model=model, steps=30)
    spec = replace(spec, options={**spec.options, "speed": speed})

    assert Models().capabilities(model).work_share(spec) == pytest.approx(share)


def test_estimates_know_what_an_image_and_no_guidance_change():
    share = Models().capabilities("opensora").work_share
    spec = a_spec(steps=30, options={"speed": "balanced"})

    assert share(replace(spec, image=Prepared("image.png"))) == pytest.approx(46 / 70)
    assert share(replace(spec, cfg=1.0)) == pytest.approx(20 / 30)
    assert share(replace(spec, steps=5)) == 1
