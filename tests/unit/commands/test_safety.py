from __future__ import annotations

from dataclasses import replace

import pytest

from commands.policy.words_store import MAXIMUM_WORDS
from commands.run import execute
from commands.text import cards
from commands.text.card import plain
from commands.text.cards import JobStatus
from inference.domain.job import Failure, JobState
from inference.domain.verdict import Outcome, Reason, Verdict
from tests.fakes.orders import a_job


@pytest.fixture
def admin(call):
    return replace(call, caller=replace(call.caller, admin=True))


async def say(call, line):
    return plain(await execute(line, call))


async def test_an_admin_forbids_words_and_takes_them_back(admin):
    assert "No words are forbidden" in await say(admin, "/rushes-admin words")

    added = await say(admin, "/rushes-admin words add  P1neapple - PIZZA*")
    assert "“p1neapple pizza*”" in added
    await say(admin, "/rushes-admin words add clown")
    await say(admin, "/rushes-admin words add Clown")
    listed = await say(admin, "/rushes-admin words list")
    assert listed == "2 forbidden words\nclown, p1neapple pizza*"

    assert "again" in await say(admin, "/rushes-admin words remove CLOWN")
    assert "not in the list" in await say(admin, "/rushes-admin words remove clown")
    assert await admin.policy.words.of(admin.channel.tenant) == ["p1neapple pizza*"]


async def test_each_guild_has_its_own_words(admin):
    await say(admin, "/rushes-admin words add clown")

    assert await admin.policy.words.of("test:g2") == []


async def test_the_log_says_who_forbade_what(admin):
    await say(admin, "/rushes-admin words add clown")
    await say(admin, "/rushes-admin words add clown")
    await say(admin, "/rushes-admin words remove clown")

    entries = await admin.policy.audit.recent(admin.channel.tenant, limit=10)
    assert [(entry.before, entry.after) for entry in entries] == [("clown", None), (None, "clown")]
    assert "clown" in await say(admin, "/rushes-admin settings log")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/rushes-admin words add", "word"),
        ("/rushes-admin words add ***", "word"),
        ("/rushes-admin words add " + "x" * 65, "64"),
        ("/rushes-admin words burn clown", "burn"),
    ],
)
async def test_words_that_are_none_are_not_taken(admin, line, sentence):
    assert sentence in await say(admin, line)
    assert await admin.policy.words.of(admin.channel.tenant) == []


async def test_there_is_room_for_so_many_words(admin):
    for number in range(MAXIMUM_WORDS):
        await admin.policy.words.add(admin.channel.tenant, f"word{number}", admin.caller.requester)

    assert str(MAXIMUM_WORDS) in await say(admin, "/rushes-admin words add clown")
    assert "is now forbidden" in await say(admin, "/rushes-admin words add word7")


async def test_members_forbid_nothing(call):
    assert "/rushes-admin words" in await say(call, "/rushes-admin words add clown")
    assert await call.policy.words.of(call.channel.tenant) == []


@pytest.mark.parametrize(
    ("setting", "adults", "flagged"),
    [
        (None, False, Outcome.DENY),
        (None, True, Outcome.DENY),
        ("deny", True, Outcome.DENY),
        ("spoiler", False, Outcome.SPOILER),
        ("off in age restricted", False, Outcome.DENY),
        ("off-in-age-restricted", True, Outcome.ALLOW),
    ],
)
async def test_guild_and_channel_decide_what_becomes_of_flagged_things(
    admin, jobs, setting, adults, flagged
):
    if setting:
        await say(admin, f"/rushes-admin settings set safety {setting}")
    call = replace(admin, channel=replace(admin.channel, age_restricted=adults))

    await execute("/generate a fox", call)

    assert jobs.orders[0].output.flagged is flagged


def finished(**changes):
    return a_job(tenant="test:g1", requester="u1", state=JobState.DONE, **changes)


def test_a_spoiler_is_hidden_and_says_why(tmp_path):
    verdict = Verdict(outcome=Outcome.SPOILER, reasons=(Reason.GORE, Reason.VIOLENCE))
    card = cards.clip(finished(verdict=verdict), tmp_path / "clip.mp4", "en")

    assert card.attachment.spoiler
    assert "Not shown openly because a safety check flagged it: graphic violence" in plain(card)


@pytest.mark.parametrize("reasons", [(), (Reason.GORE,)])
def test_what_is_allowed_is_not_hidden(tmp_path, reasons):
    verdict = Verdict(outcome=Outcome.ALLOW, reasons=reasons)
    card = cards.clip(finished(verdict=verdict), tmp_path / "clip.mp4", "en")

    assert not card.attachment.spoiler
    assert "Hidden" not in plain(card)


async def test_what_was_made_among_adults_is_shown_among_adults_only(call, jobs, tmp_path):
    verdict = Verdict(outcome=Outcome.ALLOW, reasons=(Reason.SEXUAL,))
    job = jobs.put(finished(verdict=verdict))
    jobs.finished[job.id] = tmp_path / "clip.mp4"

    assert "age-restricted" in await say(call, f"/rushes show {job.id}")
    among_adults = replace(call, channel=replace(call.channel, age_restricted=True))
    assert (await execute(f"/rushes show {job.id}", among_adults)).attachment


def test_words_that_were_refused_are_not_repeated_in_public():
    failure = Failure(code="safety.prompt", params={"reason": "hate"})
    job = a_job(state=JobState.REFUSED, failure=failure)
    shown = plain(cards.status(job, JobStatus(now=0), "en"))

    assert job.spec.prompt not in shown
    assert "(hidden)" in shown
    assert job.spec.prompt not in plain(cards.failure(job, "en"))


@pytest.mark.parametrize("code", ["safety.prompt", "safety.image", "safety.result"])
@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_says_why_in_one_sentence(code, reason):
    failure = Failure(code=code, params={"reason": reason.value})
    card = cards.failure(a_job(state=JobState.REFUSED, failure=failure), "en")

    said = plain(card).splitlines()[0]
    assert said.count(".") == 1
    assert "(" in said
    assert "reason." not in said
