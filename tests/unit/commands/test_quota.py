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
        "40 s left. This still fits: --frames 97 --resolution 360p"
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
        "Everyone here: 80 s used, 40 s in the queue, of 500 s",
        "Quota resets in 9 h 47 min, at midnight (UTC).",
        "80 s left. This still fits: --frames 97 --resolution 720p",
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
    assert shown[1:] == [
        "You: 0 s used, 0 s in the queue, of 200 s",
        "Quota resets in 9 h 47 min, at midnight (UTC).",
    ]


async def test_admins_see_what_is_used_and_others_do_not(call, admin):
    await say(call, "/generate a fox")
    shown = await say(admin, "/rushes-admin quota u1")
    assert "u1: 0 s used, 80 s in the queue" in shown
    assert "Everyone here: 0 s used, 80 s in the queue" in await say(admin, "/rushes-admin quota")
    assert "You are not allowed to use" in await say(call, "/rushes-admin quota u2")
    for typed in ("lots", "10x", "1.5", "-1", "9" * 12):
        said = await say(admin, f"/rushes-admin quota u1 {typed}")
        assert said.startswith(f"“{typed}” is not an amount of GPU time a day. Write seconds")
        assert "quota.people" not in said


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], ["No daily limit is set for u1."]),
        (["quota <@u1> 500"], ["Daily GPU seconds for u1: 500"]),
        (["quota <@u1> 1h 30 min"], ["Daily GPU seconds for u1: 5400"]),
        (["quota u1 unlimited"], ["Daily GPU seconds for u1: unlimited"]),
        (["settings set quota.user 10"], ["Daily GPU seconds for each person: 10"]),
        (
            ["settings set quota.user 10", "settings set quota.roles film=500"],
            ["Daily GPU seconds by role: film=500", "Daily GPU seconds for each person: 10"],
        ),
        (
            ["settings set quota.user 10", "quota u1 7", "quota u2 8"],
            ["Daily GPU seconds for u1: 7"],
        ),
    ],
)
async def test_an_admin_sees_what_is_set_for_a_person_and_what_they_used(
    call, admin, jobs, lines, shown
):
    job = (await execute("/generate one", call)).job
    jobs.put(replace(await jobs.get(job, tenant="test:g1"), state=JobState.DONE))
    for line in lines:
        await say(admin, f"/rushes-admin {line}")
    assert (await say(admin, "/rushes-admin quota <@u1>")).split("\n")[1:-2] == [
        "u1: 80 s used, 0 s in the queue",
        *shown,
    ]


async def test_an_admin_sees_all_that_is_set(call, admin):
    for line in ("quota u1 7", "settings set quota.user 10", "settings set quota.guild 99"):
        await say(admin, f"/rushes-admin {line}")
    assert (await say(admin, "/rushes-admin quota")).split("\n")[1:-1] == [
        "Everyone here: 0 s used, 0 s in the queue, of 99 s",
        "Daily GPU seconds for individual people: u1=7",
        "Daily GPU seconds for each person: 10",
    ]


async def test_the_operator_sees_what_holds_in_all_servers_too(call, admin):
    operator = replace(admin, caller=replace(admin.caller, operator=True))
    await say(call, "/generate one")
    await say(operator, "/rushes-admin quota u1 600")
    await say(operator, "/rushes-admin quota u1 500 --here")
    assert (await say(operator, "/rushes-admin quota u1")).split("\n")[1:-2] == [
        "u1: 0 s used, 80 s in the queue",
        "Daily GPU seconds for u1: 500",
        "test:u1, everywhere: 0 s used, 80 s in the queue",
        "Daily GPU seconds for test:u1, everywhere together: 600",
        "The quota everywhere resets in 9 h 47 min, at midnight (UTC).",
    ]
    for typed in ("test:u1", "u1 --everywhere"):
        assert "together: 600" in await say(operator, f"/rushes-admin quota {typed}")
    assert "600" not in await say(admin, "/rushes-admin quota u1")


async def test_the_operators_amount_is_not_denied_by_what_is_set_here(call, admin):
    operator = replace(admin, caller=replace(admin.caller, operator=True))
    await say(operator, "/rushes-admin quota u1 600")
    said = await say(operator, "/rushes-admin quota u1")
    assert "Here alone, no daily limit is set for u1." in said
    assert "No daily limit" not in said


async def test_each_amount_says_when_it_is_free_again(call, admin):
    operator = replace(admin, caller=replace(admin.caller, operator=True))
    await say(operator, "/rushes-admin settings set timezone Asia/Seoul")
    await say(operator, "/rushes-admin quota u1 1")
    said = await say(call, "/rushes quota")
    assert "The quota everywhere resets in 9 h 47 min, at midnight (UTC)." in said
    assert "Asia/Seoul" not in said
    assert "Quota resets in 9 h 47 min." in await say(call, "/generate a fox")
    await say(operator, "/rushes-admin settings set quota.guild 9000")
    said = await say(call, "/rushes quota")
    assert ("(UTC)" in said, "(Asia/Seoul)" in said) == (True, True)


async def test_a_block_is_undone_as_it_says(call, admin):
    for person in ("u2", "<@u3>"):
        undo = (await say(admin, f"/rushes-admin block {person}")).partition("To undo: ")[2]
        assert "can make things here again" in await say(admin, undo)


async def test_who_asks_for_the_quota_of_another_is_told_who_may(call):
    assert "/rushes-admin quota" in await say(call, "/rushes quota u2")


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
