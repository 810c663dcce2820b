from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from commands.actions import Action, ButtonId
from commands.caller import Caller
from commands.run import confirm, execute, press
from commands.text.card import CardKind
from inference.domain.job import JobState
from inference.domain.render import Progress, Stage
from tests.fakes.commands import COMMANDS
from tests.fakes.readable import plain

BOB = Caller(id="u2", name="bob")


def command(typed):
    return COMMANDS[typed]


def button(action, job):
    return ButtonId(action=action, job=job).encode()


@pytest.mark.parametrize("line", ["/RUSHES QUEUE", "/rushes  queue", " /rushes queue "])
def test_commands_are_found_however_they_are_typed(line):
    assert COMMANDS.find(line)[0] is command("/rushes queue")


def test_a_parent_alone_means_help():
    assert COMMANDS.find("/rushes")[0] is command("/rushes help")


async def test_the_queue_shows_the_line_and_only_ours(call, jobs):
    for index in range(3):
        await execute(f"/generate fox {index}", call)
    elsewhere = replace(call, channel=replace(call.channel, tenant="test:g2"))
    await execute("/generate secret", elsewhere)
    first = await jobs.get("JOB0000001", tenant="test:g1")
    jobs.put(replace(first, state=JobState.RUNNING))
    card = await execute("/rushes queue", call)
    assert plain(card).split("\n") == [
        "3 jobs in the queue",
        "▶ fox 0 · ada · JOB0000001",
        "1. fox 1 · ada · starts in about 1 s · JOB0000002",
        "2. fox 2 · ada · starts in about 40 s · JOB0000003",
        "Jobs from elsewhere use the GPU too.",
    ]
    assert card.private


async def test_the_queue_says_what_is_being_cancelled(call, jobs):
    await execute("/generate fox", call)
    job = await jobs.get("JOB0000001", tenant="test:g1")
    jobs.put(replace(job, state=JobState.RUNNING, cancel_requested_at=1.0))
    assert "▶ fox · ada · cancelling · JOB0000001" in plain(await execute("/rushes queue", call))


async def test_the_queue_says_what_runs_where_if_there_are_several_slots(call, jobs):
    for index in range(2):
        await execute(f"/generate fox {index}", call)
        job = await jobs.get(f"JOB000000{index + 1}", tenant="test:g1")
        jobs.put(replace(job, state=JobState.RUNNING))
        jobs.slots[job.id] = f"cuda:{index}"
    assert plain(await execute("/rushes queue", call)).split("\n")[1:] == [
        "▶ fox 0 · ada · on cuda:0 · JOB0000001",
        "▶ fox 1 · ada · on cuda:1 · JOB0000002",
    ]


async def test_a_long_queue_is_cut(call, jobs):
    jobs.limit = 20
    for index in range(12):
        await execute(f"/generate fox {index}", call)
    lines = plain(await execute("/rushes queue", call)).split("\n")
    assert (len(lines), lines[-1]) == (12, "and 2 more")


async def test_an_empty_queue_says_so(call):
    assert plain(await execute("/rushes queue", call)).startswith("The queue is empty.")


async def test_a_queue_tells_of_jobs_from_elsewhere_and_nothing_about_them(call, jobs):
    elsewhere = replace(call, channel=replace(call.channel, tenant="test:secret"))
    await execute("/generate a heron", elsewhere)
    said = "Jobs from elsewhere use the GPU, so /generate does not start right away."
    assert plain(await execute("/rushes queue", call)) == f"The queue is empty here. {said}"
    assert "starts right away" not in plain(await execute("/rushes queue", elsewhere))
    await execute("/generate an owl", call)
    shown = plain(await execute("/rushes queue", call))
    assert shown.split("\n")[-1] == "Jobs from elsewhere use the GPU too."
    assert "heron" not in shown
    assert "secret" not in shown
    await jobs.pause()
    assert "elsewhere" not in plain(await execute("/rushes queue", call))


async def test_an_empty_queue_that_stands_still_promises_no_start(call, jobs):
    await jobs.pause()
    shown = plain(await execute("/rushes queue", call))
    assert "starts right away" not in shown
    assert "The queue is paused." in shown


async def test_status_without_an_id_is_about_the_newest(call, jobs):
    await execute("/generate one", call)
    await execute("/generate two", call)
    card = await execute("/rushes status", call)
    assert (card.job, card.private) == ("JOB0000002", True)
    assert (await execute("/rushes status #job0000001", call)).job == "JOB0000001"


async def test_status_of_a_running_job_shows_its_steps(call, jobs):
    await execute("/generate one", call)
    job = await jobs.get("JOB0000001", tenant="test:g1")
    jobs.put(replace(job, state=JobState.RUNNING))
    jobs.running[job.id] = (Progress(stage=Stage.RENDERING, done=3, total=30), 36.0)
    assert "step 3 of 30 · about 35 s left" in plain(await execute("/rushes status", call))


async def test_show_brings_the_clip_again_while_it_is_kept(call, jobs):
    await execute("/generate one", call)
    job = await jobs.get("JOB0000001", tenant="test:g1")
    jobs.put(replace(job, state=JobState.DONE))
    assert "retention time" in plain(await execute("/rushes show", call))
    jobs.finished[job.id] = Path("/data/clip.mp4")
    card = await execute("/rushes show", call)
    assert card.attachment.path == Path("/data/clip.mp4")
    assert (card.private, card.ping) == (True, False)


async def test_cancel_takes_the_only_job(call, jobs):
    await execute("/generate one", call)
    card = await execute("/rushes cancel", call)
    assert plain(card) == "Cancelled job JOB0000001. Nothing will be posted."
    assert (await jobs.get("JOB0000001", tenant="test:g1")).state is JobState.CANCELLED
    assert "already finished" in plain(await execute("/rushes cancel JOB0000001", call))


async def test_delete_is_confirmed_by_whom_it_obeys_as_long_as_there_is_something(call, jobs):
    job = (await execute("/generate one", call)).job
    delete = f"v1:delete:{job}"
    jobs.put(replace(await jobs.get(job, tenant="test:g1"), state=JobState.DONE, ended_at=1.0))
    stranger = replace(call, caller=Caller(id="u2", name="bob"))
    assert plain(await confirm(delete, stranger)).startswith("Only ada")
    (asked,) = (await confirm(delete, call)).buttons
    assert asked.id == delete
    jobs.put(replace(await jobs.get(job, tenant="test:g1"), removed_at=2.0))
    gone = await confirm(delete, call)
    assert (gone.kind, gone.buttons) == (CardKind.ERROR, ())
    assert "nothing left" in plain(gone)
    jobs.put(replace(await jobs.get(job, tenant="test:g1"), state=JobState.FAILED, removed_at=None))
    assert "nothing left" in plain(await confirm(delete, call))
    assert (await confirm(f"v1:cancel:{job}", call)).kind is CardKind.ERROR


async def test_cancel_asks_which_of_several(call, jobs):
    await execute("/generate one", call)
    await execute("/generate two", call)
    card = await execute("/rushes cancel", call)
    assert plain(card).endswith("/rushes cancel JOB0000001 · one\n/rushes cancel JOB0000002 · two")
    assert len(await jobs.waiting("test:g1")) == 2


async def test_cancelling_a_running_job_is_said_to_take_a_moment(call, jobs):
    await execute("/generate one", call)
    job = await jobs.get("JOB0000001", tenant="test:g1")
    jobs.put(replace(job, state=JobState.RUNNING))
    assert plain(await press(button(Action.CANCEL, job.id), call)).startswith("Cancelling job")


@pytest.mark.parametrize(
    ("caller", "cancelled"),
    [
        (BOB, False),
        (replace(BOB, admin=True), True),
        (replace(BOB, operator=True), True),
        (Caller(id="u1", name="renamed"), True),
    ],
)
@pytest.mark.parametrize("by_button", [True, False])
async def test_only_the_owner_or_an_admin_cancels(call, jobs, caller, cancelled, by_button):
    job = (await execute("/generate one", call)).job
    other = replace(call, caller=caller)
    if by_button:
        card = await press(button(Action.CANCEL, job), other)
    else:
        card = await execute(f"/rushes cancel {job}", other)
    state = (await jobs.get(job, tenant="test:g1")).state
    assert (state is JobState.CANCELLED) is cancelled
    if not cancelled:
        assert plain(card) == "Only ada or an admin can cancel or delete that job."


@pytest.mark.parametrize("action", Action)
async def test_a_foreign_job_is_as_unknown_as_none(call, jobs, action):
    job = (await execute("/generate one", call)).job
    stranger = replace(
        call,
        caller=Caller(id="u1", name="ada", admin=True),
        channel=replace(call.channel, tenant="test:g2"),
    )
    foreign = plain(await press(button(action, job), stranger))
    unknown = plain(await press(button(action, "ZZZZZZZZZZ"), stranger))
    assert foreign == unknown.replace("ZZZZZZZZZZ", job)
    assert len(jobs.orders) == 1


async def test_a_forged_button_does_nothing(call):
    assert "from another version" in plain(await press("v1:explode:JOB0000001", call))


async def test_reroll_is_the_same_with_another_seed(call, jobs):
    job = (await execute("/generate one --ar 1:1 --seed 7", call)).job
    await press(button(Action.REROLL, job), replace(call, caller=BOB))
    first, second = jobs.orders
    assert replace(second.spec, seed=7) == first.spec
    assert second.spec.seed != 7
    assert second.origins == {**first.origins, "seed": "random"}
    assert (second.parent, second.requester.id) == (job, "u2")


async def test_try_again_is_the_very_same(call, jobs):
    job = (await execute("/generate one", call)).job
    await press(button(Action.RETRY, job), call)
    assert jobs.orders[0].spec == jobs.orders[1].spec


async def test_larger_is_the_same_at_the_highest_resolution(call, jobs):
    job = (await execute("/generate one --res 360p", call)).job
    larger = (await press(button(Action.LARGER, job), call)).job
    assert jobs.orders[1].spec == replace(jobs.orders[0].spec, resolution="720p")
    assert "no higher resolution" in plain(await press(button(Action.LARGER, larger), call))


async def test_a_job_of_a_model_that_is_gone_cannot_be_made_again(call, jobs, small):
    job = (await execute("/generate one", call)).job
    without = replace(
        call, installation=replace(call.installation, models=(small,), default_model="nano")
    )
    assert "no model “opensora”" in plain(await press(button(Action.REROLL, job), without))
    assert (await execute("/rushes status", without)).job == job


async def test_info_shows_the_recipe_privately(call):
    job = (await execute("/generate one --seed 7", call)).job
    card = await press(button(Action.INFO, job), call)
    assert card.private
    assert "seed: 7 (chosen)" in plain(card)


@pytest.mark.parametrize(
    ("action", "paused", "draining"),
    [("pause", True, False), ("drain", False, True), ("resume", False, False)],
)
async def test_the_operator_runs_the_line(call, jobs, action, paused, draining):
    operator = replace(call, caller=replace(BOB, operator=True))
    assert (await execute(f"/rushes-admin {action}", operator)).private
    assert (jobs.paused, jobs.draining) == (paused, draining)


async def test_an_admin_of_one_guild_does_not_stop_the_gpu_of_all(call, jobs):
    admin = replace(call, caller=replace(BOB, admin=True))
    assert (await execute("/rushes-admin pause", admin)).kind is CardKind.ERROR
    assert not jobs.paused


async def test_an_admin_cancels_by_id(call, jobs):
    job = (await execute("/generate one", call)).job
    admin = replace(call, caller=replace(BOB, admin=True))
    said = plain(await execute("/rushes-admin cancel", admin))
    assert said == "Something is missing. Write /rushes-admin cancel <job>"
    await execute(f"/rushes-admin cancel {job}", admin)
    assert (await jobs.get(job, tenant="test:g1")).state is JobState.CANCELLED


async def test_a_paused_queue_says_so(call, jobs):
    jobs.paused = True
    assert "paused" in plain(await execute("/generate one", call))
    assert "paused" in plain(await execute("/rushes queue", call))


async def test_a_draining_queue_says_so(call, jobs):
    await execute("/generate one", call)
    jobs.draining = True
    assert "No new jobs" in plain(await execute("/rushes queue", call))
    assert "No new jobs" in plain(await execute("/generate two", call))


async def test_help_lists_what_the_caller_may_do(call):
    everyone = plain(await execute("/rushes help", call))
    assert "/rushes queue  Show the queue" in everyone
    assert "/rushes-admin" not in everyone
    operator = replace(call, caller=replace(BOB, operator=True))
    assert "/rushes-admin pause" in plain(await execute("/rushes", operator))


async def test_help_explains_a_command_from_the_schema(call):
    manual = plain(await execute("/rushes help generate", call)).split("\n")
    assert manual[:2] == ["/generate", "Make a clip from text, or from text and an image"]
    assert (
        "--aspect  Width to height; 16:9 is landscape · 16:9, 9:16, 4:3, 3:4 or 1:1 · default 16:9"
        in manual
    )
    assert not any(line.startswith("--refine") for line in manual)
    with_assistant = replace(call, installation=replace(call.installation, assistant=True))
    manual = plain(await execute("/rushes help generate", with_assistant)).split("\n")
    assert "--refine/--no-refine  Let the prompt assistant improve the prompt" in manual
    assert "--seed  The same seed makes the same clip again · 0 to 4294967295" in manual
    assert "--model  Model that renders the clip · opensora or nano · default opensora" in manual
    assert not any(
        "--frames" in line for line in plain(await execute("/rushes help /image", call)).split("\n")
    )


class BrokenJobs:
    paused = draining = False

    def __init__(self, error):
        self.error = error

    async def waiting(self, tenant):
        raise self.error


async def test_a_bug_is_logged_and_answered_with_its_id(call, log):
    prompt = "a prompt nobody may read"
    card = await execute("/rushes queue", replace(call, jobs=BrokenJobs(ValueError(prompt))))
    (entry,) = log
    assert plain(card).endswith(entry["bug_id"])
    assert (card.kind, card.private) == (CardKind.ERROR, True)
    assert (entry["log_level"], entry["error"]) == ("error", "ValueError")
    assert "in waiting" in entry["trace"]
    assert prompt not in str(entry)
    assert prompt not in plain(card)


async def test_cancelling_the_task_passes_through(call):
    broken = replace(call, jobs=BrokenJobs(asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await execute("/rushes queue", broken)


async def test_nothing_is_logged_about_ordinary_use(call, log):
    await execute("/generate a fox", call)
    await execute("/generate a fox --sed", call)
    assert log == []
