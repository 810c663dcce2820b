from __future__ import annotations

from dataclasses import replace

import pytest

from commands.actions import Action, ButtonId
from commands.caller import Caller
from commands.forms import Form
from commands.parsing.flags import parse
from commands.policy.blocks import Block
from commands.run import execute, press, submit
from commands.text import cards
from commands.text.card import CardKind
from commands.text.cards import JobStatus
from inference.domain.job import ASSISTANT, RANDOM, TYPED, JobState
from inference.domain.spec import Mode
from inference.engines.built_in import NANO_WORDS
from tests.fakes.options import OPTIONS
from tests.fakes.orders import a_job, a_spec
from tests.fakes.readable import plain

BOB = Caller(id="u2", name="bob")
REFINED = 'A red fox runs through deep snow, past a sign that says "--seed". Soft light.'


@pytest.fixture
def assisted(call, jobs):
    """A call where there is an assistant."""
    jobs.refined = REFINED
    return replace(call, installation=replace(call.installation, assistant=True))


@pytest.fixture
def review(jobs):
    """A job that waits for its requester's word."""
    return jobs.put(
        a_job(
            "test:g1",
            "u1",
            id="7Q2FK9XDAB",
            state=JobState.REVIEW,
            spec=a_spec(model="opensora", prompt=REFINED, original="fuchs im schnee", refine=True),
            origins={"prompt": ASSISTANT},
        )
    )


def button(action, job):
    return ButtonId(action=action, job=job.id).encode()


# -- /refine -----------------------------------------------------------------------------------


async def test_refine_shows_the_prompt_to_the_caller_and_how_to_render_it(assisted, jobs):
    card = await execute("/refine fuchs im schnee --frames 1 --ar 1:1", assisted)

    assert card.private
    refined, hint = plain(card).split("\n")
    assert refined == REFINED
    line = hint.removeprefix("To render it: /generate ")
    typed = parse(line, OPTIONS)
    assert typed.prompt == REFINED
    assert typed.options == {"frames": 1, "aspect": "1:1", "refine": False}
    assert jobs.refinements == [("fuchs im schnee", Mode.TEXT_TO_IMAGE, "opensora")]
    assert jobs.orders == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/refine", "Describe the clip, for example: /refine a red ball bouncing in the snow"),
        ("/refine a fox --sed 7", "Did you mean --seed?"),
        ("/refine a fox --image fox.png", "Attach the image to the command"),
        ("/random a fox", "“a fox” is not expected here"),
        ("/random --image fox.png", "Attach the image to the command"),
    ],
)
async def test_what_is_typed_wrongly_is_said(assisted, line, sentence):
    card = await execute(line, assisted)
    assert card.kind is CardKind.ERROR
    assert sentence in plain(card)


async def test_refine_explains_how_to_get_an_assistant(call):
    card = await execute("/refine a fox", call)
    assert card.private
    assert "[assistant] in config.toml" in plain(card)


async def test_refine_says_when_there_is_no_answer(assisted, jobs):
    jobs.refined = None
    card = await execute("/refine a fox", assisted)
    assert (card.kind, card.private) == (CardKind.ERROR, True)
    assert plain(card).startswith("The prompt assistant does not respond.")


async def test_who_may_make_nothing_may_not_refine(assisted, jobs):
    await assisted.policy.blocks.put("test:g1", Block(person=BOB.id), assisted.caller.requester)
    card = await execute("/refine a fox", replace(assisted, caller=BOB))
    assert plain(card) == "You are blocked from making things here. Ask an admin."


# -- the option --------------------------------------------------------------------------------


async def test_refining_is_the_default_where_there_is_an_assistant_and_only_there(
    call, assisted, jobs
):
    await execute("/generate a fox", call)
    await execute("/generate a fox", assisted)
    await execute("/generate a fox --no-refine", assisted)
    assert [order.spec.refine for order in jobs.orders] == [False, True, False]
    assert jobs.orders[2].origins["refine"] == TYPED


async def test_refine_without_an_assistant_is_refused_with_a_sentence(call, jobs):
    card = await execute("/generate a fox --refine", call)
    assert plain(card).startswith("There is no prompt assistant here, so leave --refine out.")
    assert jobs.orders == []


# -- /random -----------------------------------------------------------------------------------


async def test_random_renders_what_the_seed_stands_for(call, jobs):
    await execute("/random --seed 7", call)
    await execute("/random --seed 7 --ar 1:1", call)
    await execute("/random --seed 8", call)

    first, second, third = (order.spec.prompt for order in jobs.orders)
    assert first == second != third
    assert jobs.orders[0].origins["prompt"] == RANDOM
    assert not jobs.orders[0].spec.refine


async def test_random_has_the_words_of_nano_for_nano(assisted, jobs):
    nano = replace(
        assisted.installation.models[1], defaults={"refine": False, "resolution": "360p"}
    )
    installation = replace(
        assisted.installation,
        models=(nano,),
        default_model="nano",
        random_prompts={"nano": NANO_WORDS.draw},
    )
    await execute("/random --frames 49 --seed 7", replace(assisted, installation=installation))

    (order,) = jobs.orders
    assert order.spec.prompt == NANO_WORDS.draw(order.spec)
    assert not order.spec.refine


async def test_random_lets_the_assistant_make_more_of_it(assisted, jobs):
    await execute("/random", assisted)
    await execute("/random --no-refine", assisted)
    assert [order.spec.refine for order in jobs.orders] == [True, False]


async def test_random_takes_the_options_of_a_form(call, jobs):
    await execute("/random", replace(call, options={"seed": 7, "frames": 1}))
    assert (jobs.orders[0].spec.seed, jobs.orders[0].spec.frames) == (7, 1)


# -- cards -------------------------------------------------------------------------------------


def shown(job):
    card = cards.status(job, JobStatus(now=0.0), "en")
    return [*plain(card).split("\n"), *(f"[{item.label}]" for item in card.buttons)]


def test_a_card_shows_what_was_asked_and_what_was_made_of_it(review):
    title, _, refined, *_ = shown(replace(review, state=JobState.QUEUED))
    assert (title, refined) == ("🎬 fuchs im schnee  @U1", f"✍ {REFINED}")
    assert f"✍ {REFINED}" in shown(replace(review, state=JobState.DONE))
    assert plain(cards.info(review, "en", options=OPTIONS)).split("\n")[:2] == [
        "fuchs im schnee",
        f"✍ {REFINED}",
    ]


def test_a_long_refined_prompt_is_whole_only_where_it_is_decided_on(review):
    long = replace(review, spec=replace(review.spec, prompt="word " * 250 + "end"))
    assert any(line.endswith("word end") for line in shown(long))
    assert any(line.endswith("word…") for line in shown(replace(long, state=JobState.QUEUED)))


def test_a_card_in_review_asks_for_a_word(review):
    assert shown(review)[-4:] == ["[Use this]", "[Edit]", "[Keep mine]", "[Cancel]"]


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        ("not_english", "This model understands English best"),
        ("assistant_unanswered", "The prompt assistant did not answer"),
        ("assistant_declined", "The prompt assistant declined"),
    ],
)
def test_a_card_says_why_words_stayed_as_they_were(review, note, sentence, tmp_path):
    job = replace(review, state=JobState.QUEUED, notes=(note,))
    assert any(line.startswith(sentence) for line in shown(job))
    assert sentence in plain(cards.clip(job, tmp_path / "clip.mp4", "en"))


def test_info_says_why_refining_was_on(review):
    job = replace(review, origins={"prompt": ASSISTANT, "refine": "language"})
    assert "refine: yes (because the prompt is not in English)" in plain(
        cards.info(job, "en", options=OPTIONS)
    )


# -- review ------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["/rushes settings", "/rushes-admin settings"])
async def test_review_is_a_setting_of_people_and_of_guilds(assisted, jobs, setting):
    admin = replace(assisted, caller=replace(assisted.caller, admin=True))
    await execute(f"{setting} set review yes", admin)
    await execute("/generate a fox", assisted)
    await execute("/random", assisted)
    assert [order.review for order in jobs.orders] == [True, False]


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (Action.ACCEPT, (REFINED, "Job 7Q2FK9XDAB is in the queue with the refined prompt.")),
        (Action.KEEP, ("fuchs im schnee", "Job 7Q2FK9XDAB is in the queue with your own prompt.")),
    ],
)
async def test_a_word_puts_the_job_in_line(assisted, jobs, review, action, outcome):
    prompt, sentence = outcome
    card = await press(button(action, review), assisted)

    assert plain(card) == sentence
    job = await jobs.get(review.id, tenant="test:g1")
    assert (job.state, job.spec.prompt) == (JobState.QUEUED, prompt)
    again = await press(button(action, review), assisted)
    assert plain(again) == "Job 7Q2FK9XDAB is not waiting for approval."


@pytest.mark.parametrize("action", [Action.ACCEPT, Action.KEEP, Action.REWORD])
async def test_only_its_requester_and_admins_decide(assisted, jobs, review, action):
    card = await press(button(action, review), replace(assisted, caller=BOB))
    assert plain(card) == "Only U1 or an admin can approve that prompt."
    assert (await jobs.get(review.id, tenant="test:g1")).state is JobState.REVIEW

    form = await submit(button(action, review), {"prompt": "x"}, replace(assisted, caller=BOB))
    assert form.kind is CardKind.ERROR


async def test_rewording_begins_with_the_refined_prompt_and_is_final(assisted, jobs, review):
    form = await press(button(Action.REWORD, review), assisted)
    assert isinstance(form, Form)
    values = {item.name: item.value for item in form.fields}
    assert parse(values["prompt"], OPTIONS).prompt == REFINED

    await submit(form.id, {**values, "prompt": "A fox of mine."}, assisted)

    job = await jobs.get(review.id, tenant="test:g1")
    assert (job.spec.prompt, job.spec.original) == ("A fox of mine.", "fuchs im schnee")
    assert (job.spec.refine, job.origins["refine"]) == (False, TYPED)


async def test_an_edit_begins_with_what_its_requester_wrote(assisted, jobs, review):
    jobs.put(replace(review, state=JobState.QUEUED))
    form = await press(button(Action.EDIT, review), assisted)
    assert form.fields[0].value == "fuchs im schnee"


async def test_a_reroll_keeps_the_refined_prompt(assisted, jobs, review):
    jobs.put(replace(review, state=JobState.DONE))
    await press(button(Action.REROLL, review), assisted)
    (order,) = jobs.orders
    assert (order.spec.prompt, order.spec.original) == (REFINED, "fuchs im schnee")
    assert order.origins["prompt"] == ASSISTANT
    assert not order.review
