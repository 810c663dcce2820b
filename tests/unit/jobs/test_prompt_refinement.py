from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inference.domain.capabilities import Capabilities
from inference.domain.errors import AssistantError, UserError
from inference.domain.job import ASSISTANT, LANGUAGE, MEMORY, RANDOM, TYPED, JobState
from inference.domain.reference import Prepared
from inference.domain.spec import Mode
from inference.engines.built_in import NANO_WORDS
from inference.jobs.expiry import REVIEW_LOOKS, Expiry
from inference.jobs.prompt_refinement import DECLINED, NOT_ENGLISH, UNANSWERED
from inference.jobs.renders.recipe import recipe
from inference.store.ledger import Ledger
from tests.fakes.assistant import FakeAssistant
from tests.fakes.orders import an_order, capabilities

FOX = "눈 속을 달리는 붉은 여우"
URL = "https://cdn.example/cat.gif"


@pytest.fixture
def assistant(bench):
    bench.assistant = FakeAssistant()
    return bench.assistant


@pytest.fixture
async def core(assistant, bench):
    async with bench.open() as core:
        await core.jobs.pause()
        yield core


async def prepared(bench, order, state=JobState.QUEUED):
    return await bench.reached((await bench.core.jobs.submit(order)).id, state)


async def test_a_refined_job_has_both_prompts_also_in_its_recipe(bench, core, assistant):
    job = await bench.queued(prompt="a fox", refine=True)

    assert (job.spec.prompt, job.spec.original) == ("Refined 1: a fox", "a fox")
    assert job.origins["prompt"] == ASSISTANT
    written = recipe(job)
    assert (written["prompt"], written["original"]) == ("Refined 1: a fox", "a fox")
    hidden = replace(job, output=replace(job.output, prompt_in_recipe=False))
    assert "a fox" not in str(recipe(hidden))


async def test_nobody_is_asked_where_it_is_not_wanted(bench, core, assistant):
    job = await bench.queued(prompt="a fox", refine=False)

    assert job.spec.prompt == "a fox"
    assert assistant.requests == []


async def test_the_assistant_sees_the_image_and_the_models_advice(bench, core, assistant):
    def advised(name: str) -> Capabilities:
        return replace(capabilities(name), prompt_advice="Be brief.")

    bench.core.jobs._preparer._prompt_refinement._capabilities = advised
    job = await bench.queued(prompt="it runs", refine=True, image=URL)

    (draft,) = assistant.requests
    assert draft.mode is Mode.IMAGE_TO_VIDEO
    assert draft.image == core.artifacts.input(job, job.spec.image)
    assert draft.advice == "Be brief."


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("assistant.unavailable", UNANSWERED),
        ("assistant.rejected", UNANSWERED),
        ("assistant.unusable", UNANSWERED),
        ("assistant.declined", DECLINED),
    ],
)
async def test_without_an_answer_the_words_stay_with_a_note(bench, core, assistant, code, note):
    assistant.error = AssistantError(code)

    job = await bench.queued(prompt="a fox", refine=True)

    assert (job.spec.prompt, job.spec.original, job.notes) == ("a fox", None, (note,))


async def test_a_restart_asks_no_second_time_once_the_answer_is_kept(bench, core, assistant):
    job = await bench.queued(prompt="a fox", refine=True)
    # As if the process had died after the answer was kept, and before the job entered the queue.
    for change in ("UPDATE jobs SET state = 'preparing'", "DELETE FROM refinements"):
        await core.database.write("test", lambda connection, sql=change: connection.execute(sql))

    after = bench.crashed()
    after.assistant = FakeAssistant()
    async with after.open():
        again = await after.reached(job.id, JobState.QUEUED)

    assert (again.spec.prompt, again.spec.original) == ("Refined 1: a fox", "a fox")
    assert after.assistant.requests == []


async def test_a_restart_while_the_assistant_thinks_asks_anew(bench, core, assistant):
    assistant.gate = asyncio.Event()
    job = await bench.submit(prompt="a fox", refine=True)
    await bench.reached(job.id, JobState.PREPARING)

    after = bench.crashed()
    after.assistant = FakeAssistant()
    async with after.open():
        again = await after.reached(job.id, JobState.QUEUED)

    assert again.spec.prompt == "Refined 1: a fox"


async def test_a_job_made_from_a_refined_one_keeps_its_prompt(bench, core, assistant):
    parent = await bench.queued(prompt="a fox", refine=True)
    order = replace(an_order(), spec=replace(parent.spec, seed=8), origins=parent.origins)

    child = await prepared(bench, order)

    assert (child.spec.prompt, child.spec.original) == ("Refined 1: a fox", "a fox")
    assert len(assistant.requests) == 1


@pytest.mark.parametrize("origin", ["model", "guild", "user"])
async def test_another_language_switches_refining_on(bench, core, assistant, origin):
    order = replace(an_order(prompt=FOX, refine=False), origins={"refine": origin})

    job = await prepared(bench, order)

    assert (job.spec.prompt, job.spec.original) == (f"Refined 1: {FOX}", FOX)
    assert (job.spec.refine, job.origins["refine"]) == (True, LANGUAGE)
    assert job.notes == ()


async def test_who_wants_no_refining_gets_none_but_a_warning(bench, core, assistant):
    order = replace(an_order(prompt=FOX, refine=False), origins={"refine": TYPED})

    job = await prepared(bench, order)

    assert (job.spec.prompt, job.notes) == (FOX, (NOT_ENGLISH,))
    assert assistant.requests == []


async def test_without_an_assistant_another_language_is_warned_of(bench):
    async with bench.open() as core:
        await core.jobs.pause()
        korean = await bench.queued(prompt=FOX)
        english = await bench.queued(prompt="a fox")

    assert (korean.notes, english.notes) == ((NOT_ENGLISH,), ())


async def test_a_model_with_a_vocabulary_is_not_said_to_read_english_best(bench):
    async with bench.open() as core:
        await core.jobs.pause()
        core.jobs._preparer._prompt_refinement._capabilities = lambda name: replace(
            capabilities(name), vocabulary=NANO_WORDS
        )
        job = await bench.queued(prompt=FOX)

    assert job.notes == ()  # its card names the words


async def test_what_was_drawn_by_lot_is_an_idea_to_the_assistant(bench, core, assistant):
    order = replace(an_order(prompt="an owl", refine=True), origins={"prompt": RANDOM})

    job = await prepared(bench, order)

    assert assistant.requests[0].drawn
    assert (job.spec.prompt, job.spec.original) == ("Refined 1: an owl", None)
    assert job.origins["prompt"] == ASSISTANT


async def test_who_is_forgotten_while_the_assistant_thinks_leaves_no_answer(bench, core, assistant):
    assistant.gate = asyncio.Event()
    job = await bench.submit(prompt="a fox", refine=True)
    await bench.reached(job.id, JobState.PREPARING)

    await core.jobs.forget(tenant=job.tenant, requester_id=job.requester.id)
    assistant.gate.set()
    await bench.queued("guild:b", "bo")

    assert await core.database.read("SELECT * FROM refinements") == []


async def test_who_is_forgotten_is_also_forgotten_by_the_memory(bench, core, assistant):
    job = await bench.queued(prompt="a fox", refine=True)

    await core.jobs.forget(tenant=job.tenant, requester_id=job.requester.id)

    assert await core.database.read("SELECT * FROM refinements") == []


async def test_people_find_jobs_by_their_own_words_and_by_the_refined_ones(bench, core, assistant):
    job = await bench.queued(prompt="fuchs", refine=True)
    for words in ("fuchs", "refined"):
        found = await core.jobs.history(job.tenant, job.requester.id, words=words, limit=5)
        assert [each.id for each in found] == [job.id]


# -- review ------------------------------------------------------------------------------------


def reviewed(**spec):
    return replace(an_order(prompt="a fox", refine=True, **spec), review=True)


async def test_a_refined_prompt_waits_for_a_word_and_goes_in_line_with_it(bench, core, assistant):
    job = await prepared(bench, reviewed(), JobState.REVIEW)
    assert core.jobs.list_queued() == []

    agreed = await core.jobs.agree(job.id, tenant=job.tenant, own_words=False)

    assert (agreed.state, agreed.spec.prompt) == (JobState.QUEUED, "Refined 1: a fox")
    assert core.jobs.list_queued() == [job.id]
    assert await core.jobs.agree(job.id, tenant=job.tenant, own_words=True) is None


async def test_who_keeps_their_words_gets_them_and_is_not_asked_again(bench, core, assistant):
    job = await prepared(bench, reviewed(image=URL), JobState.REVIEW)

    kept = await core.jobs.agree(job.id, tenant=job.tenant, own_words=True)

    assert (kept.spec.prompt, kept.spec.original, kept.spec.refine) == ("a fox", None, False)
    assert (kept.origins["refine"], kept.spec.image) == (TYPED, Prepared("image.png"))
    child = await prepared(
        bench, replace(an_order(), spec=kept.spec, origins=kept.origins, parent=kept.id)
    )
    assert child.spec.prompt == "a fox"
    assert len(assistant.requests) == 1


@pytest.mark.parametrize("case", ["not refined", "no answer"])
async def test_there_is_nothing_to_review_where_nothing_was_refined(bench, core, assistant, case):
    if case == "no answer":
        assistant.error = AssistantError("assistant.unavailable")
    order = reviewed() if case == "no answer" else replace(an_order(), review=True)

    await prepared(bench, order, JobState.QUEUED)


async def test_what_was_made_to_fit_waits_for_a_word_without_an_assistant(bench, core):
    order = replace(an_order(), review=True, origins={"frames": MEMORY})
    job = await prepared(bench, order, JobState.REVIEW)

    agreed = await core.jobs.agree(job.id, tenant=job.tenant, own_words=False)

    assert (agreed.state, agreed.spec) == (JobState.QUEUED, order.spec)


async def test_a_review_survives_a_restart(bench, core, assistant):
    job = await prepared(bench, reviewed(), JobState.REVIEW)

    after = bench.crashed()
    async with after.open() as second:
        await second.jobs.agree(job.id, tenant=job.tenant, own_words=False)
        assert second.jobs.list_queued() == [job.id]


async def test_a_review_whose_model_is_gone_stays_one(bench, core, assistant):
    job = await prepared(bench, reviewed(), JobState.REVIEW)
    after = bench.crashed()

    def nothing(name: str) -> Capabilities:
        raise UserError("model.unknown", name=name, known=[])

    after.capabilities = nothing
    async with after.open() as second:
        with pytest.raises(UserError, match=r"model\.unknown"):
            await second.jobs.agree(job.id, tenant=job.tenant, own_words=False)
        assert (await after.now(job)).state is JobState.REVIEW


async def test_a_review_can_be_cancelled_and_counts_as_waiting(bench, core, assistant):
    job = await prepared(bench, reviewed(), JobState.REVIEW)
    assert [each.id for each in await core.jobs.waiting(job.tenant)] == [job.id]
    await bench.cancel(job)
    assert (await bench.now(job)).state is JobState.CANCELLED


async def test_what_is_reworded_in_review_is_prepared_anew_and_final(bench, core, assistant):
    job = await prepared(bench, reviewed(), JobState.REVIEW)
    spec = replace(job.spec, prompt="A fox of mine.", refine=False)

    await core.jobs.revise(job.id, tenant=job.tenant, spec=spec, origins={"refine": TYPED})

    final = await bench.reached(job.id, JobState.QUEUED)
    assert (final.spec.prompt, final.spec.original) == ("A fox of mine.", "a fox")
    assert len(assistant.requests) == 1


async def test_a_review_that_nobody_answers_ends_after_a_day(bench, core, assistant):
    job = await prepared(bench, reviewed(), JobState.REVIEW)
    expiry = Expiry(
        store=core.store,
        ledger=Ledger(core.database),
        artifacts=core.artifacts,
        queue=core.jobs._queue,
        standing_still=lambda: True,
        files_seconds=1.0,
        clock=bench.clock,
    )
    for _ in range(REVIEW_LOOKS):
        await expiry.expire_reviews()
    assert (await bench.now(job)).state is JobState.REVIEW

    await expiry.expire_reviews()
    expired = await bench.now(job)
    assert (expired.state, expired.failure.code) == (JobState.EXPIRED, "job.review_unanswered")
