from __future__ import annotations

import itertools

import pytest
from structlog.testing import capture_logs

from inference.domain.errors import EngineError
from inference.domain.verdict import NEVER, Outcome, Reason, Verdict
from inference.safety.guard import ModerationGuard
from inference.store.codec.rows import job_from_row, row_from_job
from tests.fakes.moderators import FakeModerator, FakeStillExtractor, a_guard
from tests.fakes.orders import a_job

TENANT = "guild:a"


async def read(guard, *texts, flagged=Outcome.SPOILER):
    return await guard.judge_texts(texts, tenant=TENANT, flagged=flagged)


@pytest.mark.parametrize("flagged", Outcome)
@pytest.mark.parametrize("reason", Reason)
def test_some_reasons_deny_whatever_a_guild_wants(reason, flagged):
    verdict = Verdict.of([reason], flagged)

    assert verdict.outcome is (Outcome.DENY if reason in NEVER else flagged)
    assert verdict.reasons == (reason,)
    assert job_from_row(row_from_job(a_job(verdict=verdict))).verdict == verdict


def test_nothing_found_is_allowed_and_so_is_what_was_stored_before_anybody_looked():
    before = job_from_row({**row_from_job(a_job()), "verdict": "{}"})
    assert Verdict.of([], Outcome.DENY) == before.verdict == Verdict()


def test_the_stricter_of_two_verdicts_counts_with_the_weightiest_reason_first():
    for one, other in itertools.product(Outcome, repeat=2):
        verdict = Verdict.of([Reason.GORE], one).merge(Verdict.of([Reason.SEXUAL], other))
        assert list(Outcome).index(verdict.outcome) == max(map(list(Outcome).index, (one, other)))
        assert verdict.reasons == (Reason.SEXUAL, Reason.GORE)


async def test_what_all_moderators_find_counts():
    guard = a_guard(texts=[FakeModerator(Reason.GORE), FakeModerator(Reason.HATE)])

    assert (await read(guard, "a fox")).reasons == (Reason.GORE, Reason.HATE)


async def test_what_one_denies_no_other_gets_to_read_or_see(tmp_path):
    first, second = FakeModerator(Reason.MINORS), FakeModerator()
    guard = a_guard(texts=[first, second], pictures=[first, second])
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"frames")

    assert (await read(guard, "a fox")).denied
    assert (await guard.judge_file(file, flagged=Outcome.ALLOW)).denied
    assert (first.texts, first.pictures) == ([(("a fox",), TENANT)], [b"frames"])
    assert (second.texts, second.pictures) == ([], [])


async def test_stills_are_gone_when_they_were_looked_at(tmp_path):
    looking = FakeModerator()
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"frames")

    await a_guard(pictures=[looking]).judge_file(file, flagged=Outcome.DENY)

    assert looking.pictures == [b"frames"]
    assert list(tmp_path.iterdir()) == [file]


async def test_a_file_that_nobody_looks_at_is_not_even_opened(tmp_path):
    verdict = await a_guard().judge_file(tmp_path / "not there", flagged=Outcome.DENY)

    assert verdict == Verdict()


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_who_cannot_be_asked_denies_only_where_the_operator_wants_that(fail_closed):
    down, other = FakeModerator(name="openai"), FakeModerator(Reason.GORE)
    down.down = True
    guard = a_guard(texts=[other, down], fail_closed=fail_closed)

    with capture_logs() as entries:
        verdict = await read(guard, "a secret fox")

    assert verdict.outcome is (Outcome.DENY if fail_closed else Outcome.SPOILER)
    assert (Reason.UNCHECKED in verdict.reasons) is fail_closed
    [entry] = entries
    assert (entry["event"], entry["moderator"]) == ("safety.unchecked", "openai")
    assert "secret" not in str(entries)


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_a_file_that_cannot_be_read_was_not_looked_at(tmp_path, fail_closed):
    sampler = FakeStillExtractor()
    sampler.error = EngineError("file.unreadable")
    looking = FakeModerator()
    guard = ModerationGuard(pictures=[looking], extractor=sampler, fail_closed=fail_closed)

    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"no clip")
    verdict = await guard.judge_file(clip, flagged=Outcome.ALLOW)

    assert verdict.denied is fail_closed
    assert looking.pictures == []

    clip.unlink()  # one that is gone is no failed check
    with pytest.raises(EngineError, match=r"file\.unreadable"):
        await guard.judge_file(clip, flagged=Outcome.ALLOW)
