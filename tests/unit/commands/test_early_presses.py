"""Presses, forms and edits that come while a job is just being posted or prepared."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bot.http.videos import actions
from commands.actions import Action, ButtonId
from commands.handlers import message_edit, queue, repeat
from commands.installation import Installation
from commands.run import execute, press, rewrite, submit
from commands.text.card import CardKind, plain
from inference.domain.errors import UserError
from inference.domain.job import JobState
from inference.domain.spec import Resolution

POSTING = (JobState.FINISHING, JobState.DELIVERING)


@pytest.fixture
def call(call, big):
    drafting = replace(big, draft={"resolution": Resolution.P360, "frames": 49, "steps": 12})
    return replace(call, installation=Installation(models=(drafting,), default_model="opensora"))


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for longer than a moment."""
    for module, name in (
        (queue, "POSTED_SECONDS"),
        (repeat, "PREPARED_SECONDS"),
        (message_edit, "PREPARED_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0)


async def made(call, state, line="/generate a fox"):
    card = await execute(line, call)
    return call.jobs.put(replace(await call.job(card.job), state=state))


def button(action, job):
    return ButtonId(action=action, job=job.id).encode()


async def meanwhile(call, answer, *moves):
    """Return an answer that waits until jobs have moved on."""
    waiting = asyncio.create_task(answer)
    async with asyncio.timeout(180):
        await call.jobs.waited_for()
    assert not waiting.done()
    for job, state in moves:
        call.jobs.put(replace(job, state=state))
    return await waiting


@pytest.mark.parametrize("state", POSTING)
async def test_delete_pressed_as_the_clip_arrives_deletes_it(call, state):
    job = await made(call, state)
    card = await meanwhile(call, press(button(Action.DELETE, job), call), (job, JobState.DONE))
    assert card.kind is not CardKind.ERROR
    assert (await call.job(job.id)).removed_at is not None


@pytest.mark.parametrize("state", POSTING)
@pytest.mark.parametrize("how", ["button", "command"])
async def test_finish_pressed_as_the_draft_arrives_finishes_it(call, state, how):
    job = await made(call, state, "/generate a fox --draft")
    if how == "button":
        answer = press(button(Action.FINISH, job), call)
    else:
        answer = execute(f"/rushes finish {job.id}", call)
    card = await meanwhile(call, answer, (job, JobState.DONE))
    assert not (await call.job(card.job)).spec.draft


async def test_what_is_deleted_while_it_cannot_be_posted_is_told_of(call):
    job = await made(call, JobState.DELIVERING)
    card = await meanwhile(call, press(button(Action.DELETE, job), call), (job, JobState.FAILED))
    assert card.kind is CardKind.ERROR
    assert "in a moment" not in plain(card)


@pytest.mark.parametrize("state", POSTING)
async def test_delete_over_http_waits_as_well(call, state, impatient, monkeypatch):
    async def discard(job_id, *, tenant):
        return await call.jobs.remove(job_id, tenant=tenant)

    job, jobs = await made(call, state), SimpleNamespace(discard=discard)
    with pytest.raises(UserError, match=r"http\.ending"):
        await actions.delete(call, job, jobs)
    monkeypatch.undo()
    await meanwhile(call, actions.delete(call, job, jobs), (job, JobState.DONE))
    assert (await call.job(job.id)).removed_at is not None


@pytest.mark.parametrize("action", [Action.DELETE, Action.FINISH])
async def test_what_takes_longer_to_post_is_said(call, action, impatient):
    job = await made(call, JobState.DELIVERING, "/generate a fox --draft")
    card = await press(button(action, job), call)
    assert "is being posted. Try again in a moment." in plain(card)
    assert (await call.job(job.id)).removed_at is None


async def test_delete_pressed_too_early_can_be_pressed_again(call, impatient):
    """The answer takes the place of the question on Discord and Slack, with its button."""
    job = await made(call, JobState.DELIVERING)
    card = await press(button(Action.DELETE, job), call)
    assert card.kind is CardKind.ERROR
    call.jobs.put(replace(job, state=JobState.DONE))
    [again] = card.buttons
    assert (await press(again.id, call)).kind is not CardKind.ERROR
    assert (await call.job(job.id)).removed_at is not None


async def test_nobody_waits_who_may_not_delete_it(call):
    job = await made(call, JobState.DELIVERING)
    bob = replace(call, caller=replace(call.caller, id="u2", name="bob"))
    assert "ada" in plain(await press(button(Action.DELETE, job), bob))


@pytest.mark.parametrize("how", ["form", "message"])
async def test_an_edit_while_it_is_prepared_is_taken_after_that(call, how):
    job = await made(call, JobState.PREPARING)
    if how == "form":
        answer = submit(button(Action.EDIT, job), {"prompt": "an owl", "flags": ""}, call)
    else:
        answer = rewrite("/generate an owl", job.id, call)
    card = await meanwhile(call, answer, (job, JobState.QUEUED))
    assert card.kind is CardKind.INFO
    assert (await call.job(job.id)).spec.prompt == "an owl"
    assert len(call.jobs.orders) == 1


async def test_an_edit_waits_for_all_that_were_asked_for_together(call):
    card = await execute("/generate a fox --count 3 --seed 7", call)
    first, second, third = await call.jobs.together(await call.job(card.job))
    for job in (second, third):
        call.jobs.put(replace(job, state=JobState.PREPARING))
    form = submit(button(Action.EDIT, first), {"prompt": "an owl", "flags": ""}, call)
    moved = [(job, JobState.QUEUED) for job in (second, third)]
    assert (await meanwhile(call, form, *moved)).kind is CardKind.INFO
    jobs = await call.jobs.together(await call.job(card.job))
    assert [job.spec.prompt for job in jobs] == ["an owl"] * 3


async def test_an_edit_of_what_was_refused_while_prepared_makes_a_new_job(call):
    job = await made(call, JobState.PREPARING)
    form = submit(button(Action.EDIT, job), {"prompt": "an owl", "flags": ""}, call)
    card = await meanwhile(call, form, (job, JobState.REFUSED))
    assert card.job not in {None, job.id}


async def test_a_message_that_changes_nothing_after_all_is_no_edit(call):
    """What the preparation overruled is not what the message asked for before."""
    job = await made(call, JobState.PREPARING)
    refined = replace(job, spec=replace(job.spec, original="a fox", prompt="a red fox in snow"))
    same = rewrite("/generate a fox", job.id, call)
    assert await meanwhile(call, same, (refined, JobState.QUEUED)) is None
