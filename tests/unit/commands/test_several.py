"""`--count`: one request for several jobs, what is shown of them, and what is done with all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from commands.actions import Action, ButtonId
from commands.caller import Caller
from commands.handlers import message_edit, repeat
from commands.run import execute, press, rewrite, submit
from commands.text import batch_cards
from commands.text.card import CardKind, Instant, plain, plain_line
from commands.text.cards import JobStatus
from commands.text.messages import text
from inference.domain.errors import UserError
from inference.domain.job import Failure, JobState
from inference.domain.verdict import Outcome, Reason, Verdict
from inference.jobs.forecast import QueuePosition
from tests.fakes.orders import a_job, a_spec
from tests.fakes.readable import readable


@pytest.mark.parametrize("how", ["press", "card", "none", "one"])
async def test_all_are_cancelled_by_a_press_or_the_id_of_the_card_and_one_by_its_own(
    how, call, jobs
):
    card = await execute("/generate a fox --count 3 --seed 7", call)
    made = await jobs.together(await jobs.get(card.job, tenant="test:g1"))
    assert [job.spec.seed for job in made] == [7, 8, 9]
    if how == "press":
        said = await press(ButtonId(action=Action.CANCEL, job=card.job).encode(), call)
    else:
        named = {"card": made[0].id, "none": "", "one": made[1].id}[how]
        said = await execute(f"/rushes cancel {named}".strip(), call)
    meant = [made[1]] if how == "one" else made
    assert f"Cancelled job{'s' * (len(meant) > 1)} {', '.join(job.id for job in meant)}." in plain(
        said
    )
    cancelled = [job.number for job in await jobs.together(made[0]) if job.ended]
    assert cancelled == ([2] if how == "one" else [1, 2, 3])


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ("queued queued", "Nothing will be posted"),
        ("running queued", "stop at their next step"),
        ("done queued", "Finished clips stay"),
        ("done running", "Finished clips stay"),
        ("done done", "already finished"),
    ],
)
async def test_cancelling_several_says_what_is_true_of_all(states, said, call, jobs):
    card = await execute("/generate a fox --count 2", call)
    for job, state in zip(
        await jobs.together(await call.job(card.job)), states.split(), strict=True
    ):
        jobs.put(replace(job, state=JobState(state), ended_at=1.0 if state == "done" else None))
    assert said in plain(await execute(f"/rushes cancel {card.job}", call))


async def test_a_form_changes_all_that_wait_each_with_its_seed(call, jobs):
    card = await execute("/generate a fox --count 2 --seed 7", call)
    form = ButtonId(action=Action.EDIT, job=card.job).encode()

    await submit(form, {"prompt": "a cat", "flags": "--seed 20"}, call)
    refused = await submit(form, {"prompt": "a dog", "flags": "--count 3"}, call)

    made = await jobs.together(await jobs.get(card.job, tenant="test:g1"))
    assert [(job.spec.prompt, job.spec.seed) for job in made] == [("a cat", 20), ("a cat", 21)]
    assert "can no longer be changed" in plain(refused)


@pytest.mark.parametrize("line", ["/generate a fox --count 5", "/generate a fox --count 0"])
async def test_no_more_than_four_and_no_fewer_than_one(line, call, jobs):
    assert (await execute(line, call)).kind is CardKind.ERROR
    assert jobs.orders == []


async def test_it_is_of_one_request_and_no_default(call, jobs):
    assert (await execute("/rushes settings set default.count 2", call)).kind is CardKind.ERROR


def several(*states):
    made = [
        a_job(id=f"AAAAAAAAA{number}", state=state, number=number, spec=a_spec(seed=6 + number))
        for number, state in enumerate(states, 2)
    ]
    return [replace(job, batch=made[0].id, ended_at=1.8e9) for job in made]


def shown(jobs, locale="en"):
    return batch_cards.batch(jobs, [JobStatus(now=0.0)] * len(jobs), locale)


@pytest.mark.parametrize(
    ("states", "kind", "actions"),
    [
        ("queued queued", CardKind.WAITING, [Action.CANCEL, Action.EDIT]),
        ("queued preparing", CardKind.WAITING, [Action.CANCEL]),
        ("done running queued", CardKind.RUNNING, [Action.CANCEL, Action.INFO]),
        ("running cancelled", CardKind.RUNNING, [Action.CANCEL, Action.INFO]),
        ("done delivering", CardKind.RUNNING, [Action.CANCEL]),
        ("done queued", CardKind.WAITING, [Action.CANCEL, Action.EDIT]),
        ("done failed", CardKind.DONE, [Action.REROLL, Action.RETRY]),
        ("done done", CardKind.DONE, [Action.REROLL, Action.REROLL]),
        ("cancelled cancelled", CardKind.STOPPED, [Action.RETRY]),
        ("failed refused", CardKind.FAILED, [Action.RETRY]),
        ("expired done cancelled", CardKind.DONE, [Action.REROLL, Action.RETRY, Action.RETRY]),
    ],
)
@pytest.mark.parametrize("locale", ["en", "ko"])
def test_every_mix_of_states_has_its_card(states, kind, actions, locale):
    jobs = several(*map(JobState, states.split()))

    card = shown(jobs, locale)

    assert card.kind is kind
    assert [button.action for button in card.buttons] == actions
    assert card.job == jobs[0].id
    seeds = [text("facts.seed", locale, seed=job.spec.seed) for job in jobs]
    assert [plain(card).count(seed) for seed in seeds] == [1] * len(jobs)


@pytest.mark.parametrize("states", ["accepted accepted", "preparing accepted preparing"])
def test_that_all_are_prepared_is_said_once(states):
    assert plain(shown(several(*map(JobState, states.split())))).count("preparing") == 1


async def test_who_cancels_none_of_several_sees_how_each_is_cancelled(call):
    red = await execute("/generate a red ball", call)
    blue = await execute("/generate a blue ball " + "rolling " * 40 + "--count 2", call)
    card = await execute("/rushes cancel", call)
    assert card.kind is CardKind.ERROR
    _, *lines = readable(plain(card)).split("\n")
    assert lines[0] == f"/rushes cancel {red.job} · a red ball"
    assert lines[1].startswith(f"/rushes cancel {blue.job} · a blue ball rolling")
    assert lines[1].endswith("…")
    assert len(lines) == 2


def test_those_that_wait_are_ready_when_the_last_one_is():
    places = [QueuePosition(position=1, start_in=10.0, ready_in=60.0)]
    places.append(QueuePosition(position=2, start_in=60.0, ready_in=3600.0))
    jobs = several(JobState.QUEUED, JobState.QUEUED)
    statuses = [JobStatus(now=1.8e9, queued=place) for place in places]
    [moment] = [
        part.at
        for part in batch_cards.batch(jobs, statuses, "en").lines[-1]
        if isinstance(part, Instant)
    ]
    assert moment == 1.8e9 + 3600


def test_one_that_was_refused_hides_the_words_and_says_why():
    made, refused = several(JobState.DONE, JobState.REFUSED)
    failure = Failure(code="safety.prompt", params={"reason": Reason.SEXUAL.value})

    card = shown([made, replace(refused, failure=failure)])

    assert "fox" not in plain(card)


def test_what_was_made_is_shown_before_what_failed_and_unflagged():
    jobs = several(JobState.FAILED, JobState.DONE, JobState.CANCELLED)
    flagged = Verdict(outcome=Outcome.SPOILER, reasons=(Reason.SEXUAL,))

    assert batch_cards.pick_shown_job([replace(jobs[0], verdict=flagged), *jobs[1:]]) is jobs[1]


async def test_what_made_nothing_is_tried_again_whole_and_a_failed_one_alone(call, jobs):
    card = await execute("/generate a fox --count 2 --seed 7", call)
    made = await jobs.together(await jobs.get(card.job, tenant="test:g1"))
    for job in made:
        jobs.put(replace(job, state=JobState.CANCELLED))
    again = await press(ButtonId(action=Action.RETRY, job=card.job).encode(), call)
    assert [job.spec.seed for job in await jobs.together(await call.job(again.job))] == [7, 8]

    jobs.put(replace(made[0], state=JobState.DONE))
    jobs.put(replace(made[1], state=JobState.FAILED))
    again = await press(ButtonId(action=Action.RETRY, job=made[1].id).encode(), call)
    assert [job.spec.seed for job in await jobs.together(await call.job(again.job))] == [8]


async def test_a_form_of_one_that_is_done_makes_another_and_leaves_those_that_wait(call, jobs):
    card = await execute("/generate a fox --count 2 --seed 7", call)
    made = await jobs.together(await jobs.get(card.job, tenant="test:g1"))
    jobs.put(replace(made[0], state=JobState.DONE))
    form = ButtonId(action=Action.EDIT, job=made[0].id).encode()

    await submit(form, {"prompt": "a cat", "flags": ""}, call)

    assert [job.spec.prompt for job in await jobs.together(made[0])] == ["a fox", "a fox"]
    assert jobs.orders[-1].spec.prompt == "a cat"


@pytest.mark.parametrize("prepared", [(0, 1), (1, 0), (1, 2)], ids=["first", "second", "more"])
@pytest.mark.parametrize("how", ["form", "message"])
async def test_an_edit_while_one_of_them_is_prepared_changes_none(
    how, prepared, call, jobs, monkeypatch
):
    for module in (repeat, message_edit):
        monkeypatch.setattr(module, "PREPARED_SECONDS", 0)
    card = await execute("/generate a fox --count 3 --seed 7", call)
    made = await jobs.together(await call.job(card.job))
    for place in prepared:
        jobs.put(replace(made[place], state=JobState.PREPARING))

    if how == "form":
        form = ButtonId(action=Action.EDIT, job=card.job).encode()
        said = await submit(form, {"prompt": "a cat", "flags": ""}, call)
    else:
        said = await rewrite("/generate a cat --count 3 --seed 7", card.job, call)

    assert "being prepared" in plain(said)
    assert {job.spec.prompt for job in await jobs.together(made[0])} == {"a fox"}


def test_those_that_an_edit_came_too_late_for_are_told_apart():
    done, waiting = several(JobState.DONE, JobState.QUEUED)
    edited = replace(waiting, spec=replace(waiting.spec, prompt="an owl"))

    card = shown([done, edited])

    assert "fox" in card.title
    first, second = [plain_line(line) for line in card.lines[:2]]
    assert "fox" not in first
    assert "an owl" in second


async def test_too_many_are_refused_with_a_button_for_as_many_as_fit(call, jobs, monkeypatch):
    async def full(order):
        if order.count > 2:
            raise UserError("queue.fits_fewer", fits=2, wanted=order.count)
        return await submit_order(order)

    submit_order = jobs.submit
    monkeypatch.setattr(jobs, "submit", full)
    refused = await execute("/generate a fox --count 4", call)
    assert "room for 2 of these 4" in plain(refused)
    taken = await press(refused.buttons[0].id, call)
    assert len(await jobs.together(await call.job(taken.job))) == 2


def test_the_sheet_names_what_is_on_it_and_repeats_nothing_flagged():
    made, failed, other = several(JobState.DONE, JobState.FAILED, JobState.DONE)
    card = batch_cards.sheet([made, failed, other], Path("sheet.jpg"), "en")
    assert [line for (line,) in card.lines] == ["2 · seed 8", "4 · seed 10"]
    assert (card.attachment.name, card.ping) == (f"{made.id}-sheet.jpg", False)
    flagged = replace(other, verdict=Verdict(outcome=Outcome.SPOILER, reasons=(Reason.SEXUAL,)))
    assert batch_cards.sheet([made, failed, flagged], Path("sheet.jpg"), "en").title == ""


async def test_an_edit_that_the_quota_covers_for_some_changes_none(call, jobs):
    boss = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    await execute("/rushes-admin settings set quota.user 170", boss)
    card = await execute("/generate a fox --count 3 --res 360p", call)
    made = await jobs.together(await call.job(card.job))
    form = ButtonId(action=Action.EDIT, job=card.job).encode()

    refused = await submit(form, {"prompt": "a cat", "flags": "--resolution 720p"}, call)

    assert "GPU time" in plain(refused)
    assert [job.spec.prompt for job in await jobs.together(made[0])] == ["a fox"] * 3
