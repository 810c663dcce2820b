from __future__ import annotations

from dataclasses import replace

import pytest

from commands.caller import Caller
from commands.run import execute
from commands.text.card import CardKind, plain
from inference.domain.job import JobState


@pytest.fixture
def admin(call):
    return replace(call, caller=Caller(id="boss", name="Boss", admin=True))


@pytest.fixture(autouse=True)
def roomy(jobs):
    jobs.limit = 50


async def say(call, line):
    return plain(await execute(line, call))


async def test_a_refusal_says_the_limit_the_use_the_hour_and_what_still_fits(call, admin, jobs):
    await say(admin, "/rushes-admin settings set quota.user 120")
    await say(admin, "/rushes-admin settings set timezone Asia/Seoul")
    await say(call, "/generate one")  # 80 s at 720p
    card = await execute("/generate two", call)
    assert plain(card) == (
        "This takes about 80 s of GPU time, more than you have left today:"
        " 0 s used and 80 s in the queue, of 120 s. Quota resets in 47 min.\n"
        "40 s left. This still fits: --frames 97 --res 360p"
    )
    assert (card.kind, card.private) == (CardKind.ERROR, True)
    assert len(jobs.orders) == 1
    assert (await execute("/generate two --frames 97 --res 360p", call)).kind is CardKind.WAITING
    assert "too little" in await say(call, "/generate three")


async def test_a_cancelled_job_gives_its_time_back(call, admin):
    await say(admin, "/rushes-admin settings set quota.user 80")
    await say(call, "/generate one")
    await say(call, "/rushes cancel")
    assert (await execute("/generate two", call)).kind is CardKind.WAITING


async def test_what_everybody_used_together_is_limited_too(call, admin):
    await say(admin, "/rushes-admin settings set quota.guild 100")
    await say(admin, "/generate one")
    assert "more than is left here today" in await say(call, "/generate two")


async def test_the_own_quota_is_shown_with_what_is_left(call, admin, jobs):
    assert "You have no limit." in await say(call, "/rushes quota")
    await say(admin, "/rushes-admin settings set quota.user 200")
    await say(admin, "/rushes-admin settings set quota.guild 500")
    job = (await execute("/generate one", call)).job
    jobs.put(replace(await jobs.get(job, tenant="test:g1"), state=JobState.DONE))
    await say(call, "/generate two --res 360p")
    assert (await say(call, "/rushes quota")).split("\n") == [
        "GPU time today",
        "You: 80 s used, 40 s in the queue, of 200 s",
        "Everybody here: 80 s used, 40 s in the queue, of 500 s",
        "Quota resets in 9 h 47 min.",
        "80 s left. This still fits: --frames 97 --res 720p",
    ]


@pytest.mark.parametrize(
    ("lines", "accepted"),
    [
        ([], False),
        (["/rushes-admin quota u1 500"], True),
        (["/rushes-admin quota <@u1> unlimited"], True),
        (["/rushes-admin quota u1 unlimited", "/rushes-admin quota u1 default"], False),
        (["/rushes-admin settings set quota.roles film=500"], True),
        (["/rushes-admin settings set quota.roles others=500"], False),
        (["/rushes-admin settings set quota.roles film=500", "/rushes-admin quota u1 1"], False),
    ],
)
async def test_people_and_roles_have_their_own_amounts(call, admin, lines, accepted):
    await say(admin, "/rushes-admin settings set quota.user 10")
    for line in lines:
        await say(admin, line)
    member = replace(call, caller=replace(call.caller, roles=frozenset({"film"})))
    card = await execute("/generate a fox", member)
    assert (card.kind is CardKind.WAITING) is accepted


async def test_the_quota_is_shown_although_the_defaults_are_beyond_a_cap(call, admin):
    await say(admin, "/rushes-admin settings set cap.frames 1")
    await say(admin, "/rushes-admin settings set quota.user 200")
    shown = (await say(call, "/rushes quota")).split("\n")
    assert shown[1:] == ["You: 0 s used, 0 s in the queue, of 200 s", "Quota resets in 9 h 47 min."]


async def test_admins_see_what_is_used_and_others_do_not(call, admin):
    await say(call, "/generate a fox")
    shown = await say(admin, "/rushes-admin quota u1")
    assert "u1: 0 s used, 80 s in the queue" in shown
    assert "Everybody here: 0 s used, 80 s in the queue" in await say(admin, "/rushes-admin quota")
    assert "You are not allowed to use" in await say(call, "/rushes-admin quota u2")
    assert "must be a whole number" in await say(admin, "/rushes-admin quota u1 lots")


async def test_who_is_blocked_makes_nothing_but_keeps_what_is_theirs(call, admin, jobs):
    job = (await execute("/generate a fox", call)).job
    await say(admin, "/rushes-admin block <@u1> no ads, please")
    blocked = "You are blocked from making things here: no ads, please"
    for line in ("/generate a fox", "/image a fox", "/animate a fox"):
        assert await say(call, line) == blocked
    assert (await execute("/rushes status", call)).job == job
    assert "Cancelled" in await say(call, "/rushes cancel")
    await say(call, "/rushes forget-me yes")
    assert await say(call, "/generate a fox") == blocked
    await say(admin, "/rushes-admin block u1")
    assert (
        await say(call, "/generate x") == "You are blocked from making things here. Ask an admin."
    )
    assert await say(admin, "/rushes-admin unblock u1") == "u1 can make things here again."
    assert await say(admin, "/rushes-admin unblock u1") == "u1 is not blocked here."
    assert (await execute("/generate a fox", call)).kind is CardKind.WAITING
