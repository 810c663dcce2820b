"""Attacks through the command layer: somebody in one guild, even its admin, against another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from commands.actions import Action, ButtonId
from commands.caller import Caller
from commands.run import execute, press
from commands.schema import Permission
from commands.text.card import plain
from inference.domain.job import JobState
from tests.fakes.commands import COMMANDS

SECRETS = ("unicorn", "hush", "grudge", "JOB0000001", "JOB0000002", "Victim", "9876543")
UNKNOWN = "ZZZZZZZZZZ"


@pytest.fixture
async def victim(call, jobs):
    """A guild with a waiting and a finished job, settings, presets, a block and a log."""
    jobs.limit = 50
    owner = replace(call, caller=Caller(id="u1", name="Victim", admin=True))
    for line in (
        "/rushes-admin settings set default.aspect 4:3",
        "/rushes-admin settings set quota.user 9876543",
        "/rushes-admin block u9 grudge",
        "/rushes preset save hush --everyone --ar 4:3",
        "/rushes preset save hush --ar 4:3",
        "/generate a unicorn waits",
        "/generate a unicorn is done",
    ):
        await execute(line, owner)
    done = await jobs.get("JOB0000002", tenant="test:g1")
    jobs.put(replace(done, state=JobState.DONE))
    return owner


@pytest.fixture(
    params=[
        "another person",
        pytest.param("the same person", marks=pytest.mark.slow),
        pytest.param("an admin", marks=pytest.mark.slow),
        "the same admin",
    ]
)
def attacker(victim, request):
    person = "u1" if "same" in request.param else "u7"
    caller = Caller(id=person, name="Mallory", admin="admin" in request.param)
    return replace(victim, caller=caller, channel=replace(victim.channel, tenant="test:g2"))


@pytest.mark.parametrize("action", Action)
@pytest.mark.cases(6)
async def test_a_foreign_button_is_answered_like_a_forged_one(attacker, jobs, action):
    before = len(jobs.orders)
    unknown = await press(ButtonId(action=action, job=UNKNOWN).encode(), attacker)
    for job in ("JOB0000001", "JOB0000002"):
        answer = await press(ButtonId(action=action, job=job).encode(), attacker)
        assert plain(answer).replace(job, UNKNOWN) == plain(unknown)
        assert (answer.kind, answer.private, answer.job) == (unknown.kind, True, None)
    assert len(jobs.orders) == before


WITH_JOB = ["/rushes status", "/rushes show", "/rushes cancel", "/rushes-admin cancel"]


@pytest.mark.parametrize("command", WITH_JOB)
async def test_a_foreign_id_is_answered_like_an_unknown_one(attacker, jobs, command):
    for job in ("JOB0000001", "JOB0000002"):
        for written in ("{}", "#{}", " {} ", "`{}`", "{}\x00"):
            answer = plain(await execute(f"{command} {written.format(job)}", attacker))
            unknown = plain(await execute(f"{command} {written.format(UNKNOWN)}", attacker))
            assert answer.replace(job, UNKNOWN) == unknown
    assert (await jobs.get("JOB0000001", tenant="test:g1")).state is JobState.QUEUED


WORDS = (
    "",
    "list",
    "show",
    "log",
    "hush",
    "use hush",
    "delete hush",
    "unicorn",
    "u1",
    "JOB0000002",
)
WITHIN_A_GUILD = [item for item in COMMANDS if item.permission is not Permission.OPERATOR]


@pytest.mark.parametrize("command", WITHIN_A_GUILD, ids=lambda command: command.typed)
@pytest.mark.cases(12)
async def test_no_command_tells_anything_of_another_guild(attacker, command):
    for words in WORDS:
        answer = plain(await execute(f"{command.typed} {words}", attacker))
        leaks = [secret for secret in SECRETS if secret not in words and secret in answer]
        assert leaks == []
        assert "(set here)" not in answer


async def test_what_a_foreign_admin_does_stays_in_their_own_guild(victim, attacker, jobs):
    for line in (
        "/rushes-admin settings set default.aspect 1:1",
        "/rushes-admin settings reset default.aspect",
        "/rushes-admin settings set roles nobody",
        "/rushes-admin block u1 out",
        "/rushes-admin unblock u9",
        "/rushes-admin quota u1 0",
        "/rushes preset delete hush",
        "/rushes preset delete hush --everyone",
        "/rushes settings set default.aspect 1:1",
        "/rushes forget-me yes",
    ):
        await execute(line, attacker)
    member = replace(victim, caller=Caller(id="u1", name="Victim"))
    card = await execute("/generate another unicorn", member)
    assert card.job is not None
    assert jobs.orders[-1].spec.aspect == "4:3"
    listed = plain(await execute("/rushes preset list", member))
    assert (listed.count("(yours)"), listed.count("(set here)")) == (1, 1)
    assert await jobs.get("JOB0000001", tenant="test:g1")
    blocked = replace(victim, caller=Caller(id="u9", name="Blocked"))
    assert "grudge" in plain(await execute("/generate x", blocked))


async def test_the_quota_of_one_guild_is_not_used_up_in_another(victim, attacker):
    answer = plain(await execute("/rushes quota", attacker))
    assert "You: 0 s used, 0 s in the queue" in answer


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("caller", "sees"),
    [
        (Caller(id="u1", name="Victim"), True),
        (Caller(id="u5", name="Nosy"), False),
        (Caller(id="u5", name="Nosy", admin=True), True),
    ],
)
async def test_prompts_and_ids_of_others_are_hidden_in_the_line_if_the_guild_says_so(
    victim, hidden, caller, sees
):
    said = "hidden" if hidden else "shown"
    await execute(f"/rushes-admin settings set queue.prompts {said}", victim)
    shown = plain(await execute("/rushes queue", replace(victim, caller=caller)))
    assert ("unicorn" in shown) is (sees or not hidden)
    assert ("JOB0000001" in shown) is (sees or not hidden)
    assert "Victim" in shown


@pytest.mark.parametrize(
    ("who", "pressed_by", "made"),
    [
        ("everyone", "u5", True),
        ("requester", "u5", False),
        ("requester", "u1", True),
        ("admins", "u1", False),
    ],
)
async def test_buttons_make_things_only_for_those_who_may(victim, jobs, who, pressed_by, made):
    await execute(f"/rushes-admin settings set buttons {who}", victim)
    presser = replace(victim, caller=Caller(id=pressed_by, name="P"))
    for action in (Action.REROLL, Action.RETRY):
        before = len(jobs.orders)
        await press(ButtonId(action=action, job="JOB0000002").encode(), presser)
        assert (len(jobs.orders) > before) is made


async def test_a_button_lifts_neither_a_block_nor_a_role_nor_a_cap(victim, jobs):
    member = replace(victim, caller=Caller(id="u5", name="Nosy"))
    reroll = ButtonId(action=Action.REROLL, job="JOB0000002").encode()
    before = len(jobs.orders)
    for setting, reset, words in (
        (
            "settings set cap.resolution 360p",
            "settings reset cap.resolution",
            "limit for --resolution is 360p",
        ),
        ("settings set roles chiefs", "settings reset roles", "need another role"),
        ("settings set channels film", "settings reset channels", "in this channel"),
        ("settings set quota.user 1", "settings reset quota.user", "of 1 s"),
        ("block u5", "unblock u5", "You are blocked"),
    ):
        await execute(f"/rushes-admin {setting}", victim)
        assert words in plain(await press(reroll, member))
        await execute(f"/rushes-admin {reset}", victim)
    assert len(jobs.orders) == before
    await press(reroll, member)
    assert len(jobs.orders) == before + 1
