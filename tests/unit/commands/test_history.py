from __future__ import annotations

import re
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from bot.slack.outbound import blocks
from commands.actions import Action, ButtonId
from commands.caller import Caller
from commands.run import execute, press
from commands.text.card import plain as unmarked
from inference.domain.job import JobState
from tests.fakes.readable import plain


@pytest.fixture(autouse=True)
def roomy(jobs):
    jobs.limit = 50


def plain_at(card, zone):
    """Return the one time on a card, as a reader in a zone is shown it."""
    [time] = re.findall(r"\d\d:\d\d", unmarked(card, zone=ZoneInfo(zone)))
    return time


async def say(call, line):
    return plain(await execute(line, call))


async def test_history_lists_ones_own_jobs_page_by_page(call):
    for number in range(12):
        await execute(f"/generate red fox {number}", call)
    first = (await say(call, "/rushes history red fox")).split("\n")
    assert first[:2] == [
        "Your jobs, page 1 (times in UTC)",
        "2026-09-21 14:13 · red fox 11 · in queue · JOB0000012",
    ]
    assert (len(first), first[-1]) == (12, "Older jobs: /rushes history red fox --page 2")
    second = (await say(call, "/rushes history --page 2 red fox")).split("\n")
    assert [line.split(" · ")[1] for line in second[1:]] == ["red fox 1", "red fox 0"]
    assert await say(call, "/rushes history --page 3") == "You have no jobs on that page."
    assert (await say(call, "/rushes history owl")).startswith("No matching job.")
    assert (await say(call, "/rushes history --page 0")).startswith("--page must be from 1")
    assert (await say(call, "/rushes history --page")).startswith("--page needs a value")


async def test_times_are_those_of_the_guild(call):
    admin = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    await execute("/rushes-admin settings set timezone Asia/Seoul", admin)
    await execute("/generate a fox", call)
    assert "2026-09-21 23:13 · a fox" in await say(call, "/rushes history")


async def test_a_deleted_job_is_called_deleted_wherever_it_is_listed(call, jobs):
    job = await jobs.get((await execute("/generate a fox", call)).job, tenant="test:g1")
    jobs.put(replace(job, state=JobState.DONE, ended_at=jobs.now))
    pressed = await press(ButtonId(action=Action.DELETE, job=job.id).encode(), call)
    assert plain(pressed) == f"Deleted job {job.id} with its message and files."
    history = await say(call, "/rushes history fox")
    assert f"a fox · deleted · {job.id}" in history
    for line in (f"/rushes status {job.id}", "/rushes status", f"/rushes show {job.id}"):
        assert "deleted" in await say(call, line)
    for line in ("history", "status", "show", "queue"):
        assert "done" not in await say(call, f"/rushes {line}")


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Pacific/Kiritimati", "2026-09-22 04:13"),
        ("Asia/Kolkata", "2026-09-21 19:43"),
        ("Pacific/Marquesas", "2026-09-21 04:43"),
    ],
)
async def test_a_zone_may_be_another_day_or_half_an_hour_away(call, zone, shown):
    admin = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    await execute(f"/rushes-admin settings set timezone {zone}", admin)
    await execute("/generate a fox", call)
    assert f"{shown} · a fox" in await say(call, "/rushes history")
    assert f"(times in {zone})" in await say(call, "/rushes history")
    assert f"at midnight ({zone})" in await say(admin, "/rushes-admin quota")
    assert f"{shown} · Boss · timezone" in await say(admin, "/rushes-admin settings log")


@pytest.mark.parametrize(
    ("zone", "clock"),
    [("Pacific/Kiritimati", "04:13"), ("Asia/Kolkata", "19:43"), ("Pacific/Marquesas", "04:43")],
)
async def test_a_card_says_when_it_is_ready_by_the_clock_of_the_guild(call, jobs, zone, clock):
    admin = replace(call, caller=Caller(id="boss", name="Boss", admin=True))
    made = await execute("/generate a fox", call)
    assert plain_at(made, "Europe/Berlin").startswith("16:1")  # the reader's, where none is set
    await execute(f"/rushes-admin settings set timezone {zone}", admin)
    made = await execute("/generate an owl", call)
    assert jobs.orders[-1].output.zone == zone
    hour, minute = clock.split(":")
    assert plain_at(made, "Europe/Berlin")[:4] in {
        f"{hour}:{minute[0]}",
        f"{hour}:{int(minute[0]) + 1}",
    }
    there = replace(made, lines=(made.lines[-1],))
    assert f" {zone}>" in str(blocks.message(there).blocks)
