from __future__ import annotations

from dataclasses import replace

import pytest

from commands.actions import Action, ButtonId
from commands.installation import Installation
from commands.run import execute, press
from commands.text.card import CardKind, plain
from inference.domain.job import DRAFT, JobState
from inference.domain.reference import FromParent, Kept
from inference.domain.spec import Mode, Resolution

pytestmark = pytest.mark.deep


@pytest.fixture
def drafting(big):
    return replace(big, draft={"resolution": Resolution.P360, "frames": 49, "steps": 12})


@pytest.fixture
def call(call, drafting, small):
    quick = replace(small, draft={"steps": 6})
    return replace(
        call, installation=Installation(models=(drafting, quick), default_model="opensora")
    )


async def made(call, line, *, kept=True):
    card = await execute(line, call)
    assert card.kind is CardKind.WAITING, plain(card)
    job = await call.jobs.get(card.job, tenant="test:g1")
    job = call.jobs.put(replace(job, state=JobState.DONE, ended_at=job.created_at))
    if kept:
        call.jobs.finished[job.id] = "clip.mp4"
    return job


async def finished(call, job):
    card = await press(ButtonId(action=Action.FINISH, job=job.id).encode(), call)
    assert card.job is not None, plain(card)
    return card, await call.jobs.get(card.job, tenant="test:g1")


async def test_a_draft_is_the_models_cheapest_version_and_its_card_says_so(call):
    job = await made(call, "/generate a red fox --draft --ar 1:1")
    spec = job.spec
    assert (spec.draft, spec.resolution, spec.frames, spec.steps) == (True, "360p", 49, 12)
    assert (job.origins["steps"], job.origins["aspect"]) == (DRAFT, "typed")
    card = await execute(f"/rushes status {job.id}", call)
    assert "draft · ready" in plain(card)
    assert card.buttons[0].action is Action.FINISH


async def test_what_is_asked_for_is_kept_in_a_draft(call):
    job = await made(call, "/generate a red fox --draft --res 720p")
    assert (job.spec.resolution, job.spec.frames) == ("720p", 49)


async def test_a_finished_draft_begins_with_its_first_frame(call):
    draft = await made(call, "/generate a red fox --draft --seed 5 --motion high")
    card, job = await finished(call, draft)
    spec = job.spec
    assert (spec.draft, spec.resolution, spec.frames, spec.steps) == (False, "720p", 97, 30)
    assert (spec.seed, spec.options["motion"], spec.mode) == (5, "high", Mode.IMAGE_TO_VIDEO)
    assert (spec.image, job.parent) == (FromParent(Kept.FIRST_FRAME), draft.id)
    assert "Starts with the draft's first frame." in plain(card)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("/generate a red fox --draft", False),
        ("/image a red fox --draft", True),
        ("/generate a red fox --draft --model nano", True),
    ],
    ids=["not kept any more", "a still", "the same but for its steps"],
)
async def test_else_it_has_the_seed_of_its_draft(call, line, kept):
    draft = await made(call, line, kept=kept)
    card, job = await finished(call, draft)
    assert (job.spec.seed, job.spec.image, job.spec.draft) == (draft.spec.seed, None, False)
    assert job.spec.steps > draft.spec.steps
    assert "Made with the draft's seed." in plain(card)


async def test_a_draft_of_a_draft_setting_is_finished_in_full(call):
    job = await made(call, "/generate a red fox --draft")
    card = await execute(f"/rushes finish {job.id}", call)
    assert (await call.jobs.get(card.job, tenant="test:g1")).spec.steps == 30


async def test_what_is_no_draft_is_not_finished(call):
    job = await made(call, "/generate a red fox")
    assert "is not a draft" in plain(await execute(f"/rushes finish {job.id}", call))
    shown = await execute(f"/rushes status {job.id}", call)
    assert Action.FINISH not in [each.action for each in shown.buttons]


async def test_a_model_without_drafts_says_so(call, big):
    plainly = replace(call, installation=Installation(models=(big,), default_model="opensora"))
    assert "has no cheaper version" in plain(await execute("/generate a fox --draft", plainly))


async def test_one_of_several_drafts_is_finished_with_its_own_seed(call):
    card = await execute("/generate a red fox --draft --ar 1:1 --seed 5 --count 3", call)
    drafts = await call.jobs.together(await call.jobs.get(card.job, tenant="test:g1"))
    assert [job.spec.draft for job in drafts] == [True] * 3
    for job in drafts:
        call.jobs.put(replace(job, state=JobState.DONE, ended_at=job.created_at))
    shown = await execute(f"/rushes status {card.job}", call)
    labels = [button.label for button in shown.buttons if button.action is Action.FINISH]
    assert labels == ["Finish 1", "Finish 2", "Finish 3"]
    _, job = await finished(call, drafts[1])
    assert (job.spec.draft, job.spec.seed, job.batch) == (False, 6, None)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("queued", "not finished yet"),
        ("running", "not finished yet"),
        ("finishing", "being posted"),
        ("delivering", "being posted"),
        ("failed", "made no draft"),
        ("cancelled", "made no draft"),
    ],
)
async def test_what_is_no_finished_draft_is_told_why(state, said, call):
    job = await made(call, "/generate a red fox --draft")
    call.jobs.put(replace(job, state=JobState(state)))
    assert said in plain(await execute(f"/rushes finish {job.id}", call))


@pytest.mark.parametrize("state", ["finishing", "delivering"])
async def test_what_is_being_posted_is_deleted_a_moment_later(state, call):
    job = await made(call, "/generate a red fox")
    call.jobs.put(replace(job, state=JobState(state)))
    said = await press(ButtonId(action=Action.DELETE, job=job.id).encode(), call)
    assert "being posted" in plain(said)
