from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import forms
from commands.actions import Action, ButtonId
from commands.caller import Caller
from commands.forms import Form
from commands.handlers import repeat
from commands.installation import Installation
from commands.options import PROMPT
from commands.run import execute, opens_form, press, submit
from commands.text.card import Card, plain
from inference.domain.errors import UserError
from inference.domain.job import JobState
from inference.domain.reference import Attached, FromParent, Kept
from tests.fakes.options import OPTIONS
from tests.fakes.orders import a_job, a_spec, capabilities

BOB = Caller(id="u2", name="bob")


FOXES = Installation(models=(capabilities("fox"),), default_model="fox")


def edit(job):
    return ButtonId(action=Action.EDIT, job=job).encode()


def written(form):
    return {field.name: field.value for field in form.fields}


@given(st.text(min_size=1, max_size=300), st.integers(0, 2**32 - 1))
def test_a_form_handed_in_unchanged_asks_for_the_same(prompt, seed):
    prompt = " ".join(prompt.split())
    job = a_job(
        spec=a_spec(prompt=prompt or "x", seed=seed, negative="rain", camera="pan left"),
        origins={"negative": "typed", "camera": "typed", "seed": "random", "steps": "model"},
    )
    form = forms.edit(job, FOXES, "en")
    assert len(form.fields) <= 5
    assert len(form.id) <= 100
    asked = forms.read_options(written(form), OPTIONS)
    asked.pop(PROMPT.name)
    assert asked == {
        "negative": "rain",
        "resolution": "360p",
        "aspect": "16:9",
        "camera": "pan left",
        "seed": seed,
    }


@pytest.mark.parametrize("locale", ["en", "ko"])
def test_every_label_begins_as_a_sentence_does(locale):
    labels = [field.label for field in forms.edit(a_job(), FOXES, locale).fields]
    assert not [label for label in labels if label[0].islower()]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"aspect": "2:1"}, "value.mistyped"),
        ({"flags": "--ar 1:1", "aspect": "1:1"}, "flag.repeated"),
        ({"flags": "--image /etc/passwd"}, "image.not_by_flag"),
        ({"flags": "and words"}, "command.too_many_words"),
        ({"flags": "--sped 3"}, "flag.mistyped"),
    ],
)
def test_a_form_that_says_nonsense_is_refused(values, code):
    with pytest.raises(UserError) as caught:
        forms.read_options({"prompt": "a fox", **values}, OPTIONS)
    assert caught.value.code == code


async def test_editing_a_waiting_job_changes_it(call, jobs):
    await execute("/generate a red fox --camera pan left", call)
    form = await press(edit("JOB0000001"), call)
    assert isinstance(form, Form)
    assert "--camera pan left" in written(form)["flags"]

    card = await submit(form.id, {**written(form), "prompt": "an owl", "aspect": "1:1"}, call)

    assert plain(card) == "Changed job JOB0000001. It is now the last of your jobs in the queue."
    assert card.private
    job = await jobs.get("JOB0000001", tenant="test:g1")
    assert (job.spec.prompt, job.spec.aspect, job.spec.options["camera"]) == (
        "an owl",
        "1:1",
        "pan left",
    )
    assert len(jobs.orders) == 1


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.DONE, JobState.FAILED])
async def test_editing_what_waits_no_longer_makes_a_new_job(call, jobs, state):
    await execute("/generate a red fox", call)
    jobs.put(replace(await jobs.get("JOB0000001", tenant="test:g1"), state=state))
    card = await submit(edit("JOB0000001"), {"prompt": "an owl"}, call)
    assert card.job == "JOB0000002"
    assert (jobs.orders[1].parent, jobs.orders[1].spec.prompt) == ("JOB0000001", "an owl")


async def test_somebody_else_gets_a_job_of_their_own_out_of_an_edit(call, jobs):
    await execute("/generate a red fox", call)
    await submit(edit("JOB0000001"), {"prompt": "an owl"}, replace(call, caller=BOB))
    assert [order.spec.prompt for order in jobs.orders] == ["a red fox", "an owl"]
    assert jobs.orders[1].requester.id == "u2"


async def test_a_job_is_not_edited_while_it_is_prepared(call, jobs, monkeypatch):
    monkeypatch.setattr(repeat, "PREPARED_SECONDS", 0)
    await execute("/generate a red fox", call)
    jobs.put(replace(await jobs.get("JOB0000001", tenant="test:g1"), state=JobState.PREPARING))
    card = await submit(edit("JOB0000001"), {"prompt": "an owl"}, call)
    assert "being prepared" in plain(card)
    assert len(jobs.orders) == 1


async def test_the_image_stays_when_the_words_are_edited(call, jobs):
    options = {"prompt": "a fox", "image": "https://cdn/fox.png"}
    await execute("/generate", replace(call, options=options))
    jobs.put(replace(await jobs.get("JOB0000001", tenant="test:g1"), state=JobState.DONE))
    await submit(edit("JOB0000001"), {"prompt": "an owl"}, call)
    assert jobs.orders[1].spec.image == Attached("https://cdn/fox.png")


async def test_another_guild_can_neither_see_nor_hand_in_the_form(call, jobs):
    await execute("/generate a secret fox", call)
    foreign = replace(call, channel=replace(call.channel, tenant="test:g2"))
    for answer in (
        await press(edit("JOB0000001"), foreign),
        await submit(edit("JOB0000001"), {"prompt": "an owl"}, foreign),
    ):
        assert isinstance(answer, Card)
        assert "secret" not in plain(answer)
        assert "JOB0000001" in plain(answer)
    assert len(jobs.orders) == 1


def test_only_an_edit_opens_a_form():
    assert opens_form(edit("JOB0000001"))
    assert not opens_form(ButtonId(action=Action.INFO, job="JOB0000001").encode())
    assert not opens_form("anything")


async def test_a_button_is_no_form(call):
    await execute("/generate a red fox", call)
    card = await submit("v1:reroll:JOB0000001", {}, call)
    assert "from another version" in plain(card)


async def still(call, jobs, **changes):
    await execute("/image a red fox --ar 9:16", call)
    job = replace(await jobs.get("JOB0000001", tenant="test:g1"), state=JobState.DONE, **changes)
    jobs.finished[job.id] = Path("image.png")
    return jobs.put(job)


async def test_a_still_is_animated_in_its_own_shape(call, jobs):
    await still(call, jobs)
    card = await press("v1:animate:JOB0000001", call)
    order = jobs.orders[1]
    assert card.job == "JOB0000002"
    assert (order.parent, order.spec.image, order.spec.aspect) == (
        "JOB0000001",
        FromParent(Kept.RESULT),
        "9:16",
    )
    assert order.spec.frames > 1


async def test_a_clip_is_no_still(call, jobs):
    await execute("/generate a red fox", call)
    assert "no image to animate" in plain(await press("v1:animate:JOB0000001", call))


async def test_a_finished_file_is_taken_back_by_its_owner_only(call, jobs):
    await still(call, jobs)
    stranger = await press("v1:delete:JOB0000001", replace(call, caller=BOB))
    assert jobs.finished
    assert "ada" in plain(stranger)
    assert "Deleted job" in plain(await press("v1:delete:JOB0000001", call))
    assert not jobs.finished
    assert "nothing left" in plain(await press("v1:delete:JOB0000001", call))


async def test_who_cancels_too_late_can_delete_instead(call, jobs):
    await still(call, jobs)
    card = await press("v1:cancel:JOB0000001", call)
    assert "already finished" in plain(card)
    assert [button.action for button in card.buttons] == [Action.DELETE]
