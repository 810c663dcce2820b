from __future__ import annotations

from dataclasses import replace

import pytest

from inference.domain.output_settings import OutputSettings
from inference.domain.watermark import Corner, WatermarkSettings
from inference.jobs.renders.recipe import recipe
from inference.store.codec.rows import job_from_row, row_from_job
from tests.fakes.orders import a_job, a_spec, an_order

HIDDEN = OutputSettings(prompt_in_recipe=False)


@pytest.mark.parametrize(
    ("presentation", "text", "corner"),
    [
        (OutputSettings(), "Rushes", Corner.BOTTOM_RIGHT),
        (OutputSettings(suffix="film team"), "Rushes film team", Corner.BOTTOM_RIGHT),
        (OutputSettings(corner=Corner.TOP_LEFT), "Rushes", Corner.TOP_LEFT),
    ],
)
def test_a_job_wears_the_mark_of_its_guild(presentation, text, corner):
    marked = presentation.apply_to_watermark(WatermarkSettings())
    assert (marked.text, marked.corner) == (text, corner)


def test_a_long_word_and_a_suffix_still_make_a_legal_mark():
    assert (
        len(
            OutputSettings(suffix="s" * 20)
            .apply_to_watermark(WatermarkSettings(text="w" * 40))
            .text
        )
        == 40
    )


@pytest.mark.parametrize(
    "presentation",
    [OutputSettings(), OutputSettings(corner=Corner.TOP_LEFT, suffix="x", language="ko"), HIDDEN],
)
def test_it_survives_being_stored(presentation):
    job = a_job(output=presentation)
    assert job_from_row(row_from_job(job)) == job


def test_jobs_from_before_there_were_presentations_have_the_usual_one():
    row = {**row_from_job(a_job(output=HIDDEN)), "presentation": "{}"}
    assert job_from_row(row).output == OutputSettings()


def test_the_words_stay_out_of_the_recipe_where_the_guild_says_so():
    spec = a_spec(negative="owls")
    assert {"prompt", "negative"} <= recipe(a_job(spec=spec)).keys()
    hidden = recipe(a_job(spec=spec, output=HIDDEN))
    assert {"prompt", "negative"}.isdisjoint(hidden)
    assert hidden["seed"] == spec.seed


async def test_the_worker_is_told_how_the_guild_wants_its_file(core, executor):
    wanted = OutputSettings(corner=Corner.TOP_LEFT, suffix="film", prompt_in_recipe=False)
    await core.jobs.submit(replace(an_order(), output=wanted))
    task = await executor.started()
    assert (task.watermark.text, task.watermark.corner) == ("Rushes film", Corner.TOP_LEFT)
    assert "prompt" not in task.recipe
