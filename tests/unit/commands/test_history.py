from __future__ import annotations

from dataclasses import replace

import pytest

from commands.caller import Caller
from commands.run import execute
from tests.fakes.readable import plain


@pytest.fixture(autouse=True)
def roomy(jobs):
    jobs.limit = 50


async def say(call, line):
    return plain(await execute(line, call))


async def test_history_lists_ones_own_jobs_page_by_page(call):
    for number in range(12):
        await execute(f"/generate red fox {number}", call)
    first = (await say(call, "/rushes history red fox")).split("\n")
    assert first[:2] == [
        "Your jobs, page 1",
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
