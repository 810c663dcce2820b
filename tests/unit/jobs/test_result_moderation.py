"""Between a complete file and its delivery: nothing goes out that nobody has looked at."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from inference.domain.errors import EngineError
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from inference.domain.output_settings import OutputSettings
from inference.domain.verdict import Outcome, Reason, Verdict
from tests.fakes.bench import Bench
from tests.fakes.executor import CLIP
from tests.fakes.moderators import FakeModerator, a_guard
from tests.fakes.orders import an_order


@pytest.fixture
def reading():
    return FakeModerator()


@pytest.fixture
def looking():
    return FakeModerator()


@pytest.fixture
def bench(tmp_path, clock, executor, reading, looking):
    guard = a_guard(texts=[reading], pictures=[looking])
    return Bench(directory=tmp_path / "data", clock=clock, executor=executor, guard=guard)


def wanting(flagged, **spec):
    return replace(an_order(**spec), output=OutputSettings(flagged=flagged))


async def nothing_left(artifacts):
    async with asyncio.timeout(180):
        while artifacts.job_ids():  # noqa: ASYNC110 - the disk tells nobody
            await asyncio.sleep(0)


async def rendered(bench, core, order):
    job = await core.jobs.submit(order)
    await bench.executor.started()
    bench.executor.finish(total=5.0)
    return job


async def test_a_result_is_looked_at_before_it_is_delivered(bench, core, looking):
    looking.gate = asyncio.Event()
    job = await rendered(bench, core, an_order())
    await bench.reached(job.id, JobState.FINISHING)
    assert await core.outbox.get(job.id, ActKind.CLIP) is None

    looking.gate.set()
    await bench.reached(job.id, JobState.DELIVERING)

    assert looking.pictures == [CLIP]
    assert await core.outbox.get(job.id, ActKind.CLIP)


async def test_the_gpu_goes_on_while_a_result_is_looked_at(bench, core, looking):
    looking.gate = asyncio.Event()
    job = await rendered(bench, core, an_order())
    await bench.reached(job.id, JobState.FINISHING)

    other = await bench.submit()

    assert (await bench.executor.started()).job_id == other.id
    assert (await bench.now(job)).state is JobState.FINISHING


async def test_a_denied_result_is_deleted_told_and_costs_nothing(bench, core, looking):
    looking.found = frozenset({Reason.GORE})
    job = await rendered(bench, core, wanting(Outcome.DENY))

    refused = await bench.reached(job.id, JobState.REFUSED)

    assert (refused.failure.code, refused.failure.params) == ("safety.result", {"reason": "gore"})
    assert await core.outbox.get(job.id, ActKind.NOTICE)
    assert await core.outbox.get(job.id, ActKind.CLIP) is None
    await core.result_moderator.idle()
    assert core.artifacts.job_ids() == []
    usage = await core.jobs.usage(job.tenant, job.requester.id, since=0)
    assert (usage.tenant_spent, usage.tenant_reserved) == (0, 0)


@pytest.mark.parametrize("flagged", [Outcome.SPOILER, Outcome.ALLOW])
async def test_what_a_guild_wants_to_see_is_delivered_with_the_verdict(
    bench, core, looking, flagged
):
    looking.found = frozenset({Reason.SEXUAL})
    job = await rendered(bench, core, wanting(flagged))

    delivering = await bench.reached(job.id, JobState.DELIVERING)

    assert delivering.verdict == Verdict(outcome=flagged, reasons=(Reason.SEXUAL,))


async def test_what_was_found_in_the_words_still_holds_for_the_result(bench, core, reading):
    reading.found = frozenset({Reason.GORE})
    job = await rendered(bench, core, wanting(Outcome.SPOILER))

    delivering = await bench.reached(job.id, JobState.DELIVERING)

    assert delivering.verdict == Verdict(outcome=Outcome.SPOILER, reasons=(Reason.GORE,))


async def test_a_process_killed_before_anybody_looked_looks_after_its_restart(bench, core, looking):
    looking.gate = asyncio.Event()
    job = await rendered(bench, core, wanting(Outcome.DENY))
    await bench.reached(job.id, JobState.FINISHING)

    guard = a_guard(pictures=[FakeModerator(Reason.SEXUAL)])
    after = replace(bench.crashed(), guard=guard)
    async with after.open() as recovered:
        refused = await after.reached(job.id, JobState.REFUSED)
        await recovered.result_moderator.idle()

        assert refused.failure.params == {"reason": "sexual"}
        assert after.executor.tasks == [], "it was complete: nobody has to make it again"
        assert await recovered.outbox.get(job.id, ActKind.CLIP) is None
        assert recovered.artifacts.job_ids() == []


async def test_files_of_a_process_killed_while_it_deleted_them_are_swept(bench, core, looking):
    looking.found = frozenset({Reason.GORE})
    job = await rendered(bench, core, wanting(Outcome.DENY))
    await bench.reached(job.id, JobState.REFUSED)
    await core.result_moderator.idle()

    after = bench.crashed()
    left = after.directory / "jobs" / job.id / "1" / "clip.mp4"
    left.parent.mkdir(parents=True)
    left.write_bytes(CLIP)
    async with after.open() as recovered:
        await nothing_left(recovered.artifacts)


async def test_a_bug_in_a_check_lets_nothing_through_and_stops_nobody(bench, core, looking):
    looking.error = ZeroDivisionError()
    job = await rendered(bench, core, an_order())
    failed = await bench.reached(job.id, JobState.FAILED)
    assert failed.failure.code == "internal"

    looking.error = None
    other = await rendered(bench, core, an_order())
    await bench.reached(other.id, JobState.DELIVERING)


async def test_a_file_that_is_gone_is_not_delivered(bench, core, looking):
    looking.gate = asyncio.Event()
    blocking = [await rendered(bench, core, an_order()) for _ in range(2)]
    job = await rendered(bench, core, an_order())
    await bench.reached(job.id, JobState.FINISHING)
    core.artifacts.remove(job.id)

    looking.gate.set()

    failed = await bench.reached(job.id, JobState.FAILED)
    assert failed.failure.code == "file.gone"
    for other in blocking:
        await bench.reached(other.id, JobState.DELIVERING)


async def test_a_file_that_goes_while_it_is_looked_at_is_no_bug(bench, core, looking, capsys):
    looking.gate = asyncio.Event()
    job = await rendered(bench, core, an_order())
    await bench.reached(job.id, JobState.FINISHING)
    core.artifacts.remove(job.id)
    looking.error = EngineError("file.unreadable")
    looking.gate.set()

    failed = await bench.reached(job.id, JobState.FAILED)

    assert failed.failure.code == "file.gone"
    out = capsys.readouterr()
    assert "bug" not in out.out + out.err


async def test_denied_words_never_reach_the_line_nor_the_log(bench, core, reading):
    await core.jobs.pause()
    reading.found = frozenset({Reason.MINORS})

    with capture_logs() as entries:
        job = await core.jobs.submit(wanting(Outcome.ALLOW, prompt="unspeakable"))
        refused = await bench.reached(job.id, JobState.REFUSED)

    assert (refused.failure.code, refused.failure.params) == ("safety.prompt", {"reason": "minors"})
    assert reading.texts == [(("unspeakable",), "guild:a")]
    assert bench.executor.tasks == []
    assert "unspeakable" not in str(entries)


async def test_a_denied_image_refuses_the_job_and_is_deleted(bench, core, looking):
    await core.jobs.pause()
    looking.found = frozenset({Reason.SEXUAL})
    job = await core.jobs.submit(wanting(Outcome.DENY, image="https://cdn.example/cat.gif"))

    refused = await bench.reached(job.id, JobState.REFUSED)

    assert refused.failure.code == "safety.image"
    assert looking.pictures == [b"clean raw"]
    await nothing_left(core.artifacts)


class Assistant:
    """Makes the same of everything."""

    name = "fake"

    async def refine(self, draft):
        return "a fox in ruins"


async def test_what_the_assistant_wrote_is_read_too_before_its_requester_sees_it(
    bench, reading, looking
):
    reading.found = frozenset({Reason.GORE})
    bench.assistant = Assistant()
    order = wanting(Outcome.SPOILER, prompt="a fox", refine=True)
    async with bench.open() as core:
        await core.jobs.pause()
        job = await core.jobs.submit(replace(order, review=True))
        asked = await bench.reached(job.id, JobState.REVIEW)

        # Each on its own: the assistant is asked only about words that were read before.
        assert reading.texts == [(("a fox",), "guild:a"), (("a fox in ruins",), "guild:a")]
        agreed = await core.jobs.agree(job.id, tenant=job.tenant, own_words=True)
        assert agreed.verdict == asked.verdict == Verdict.of([Reason.GORE], Outcome.SPOILER)

        reading.found = frozenset({Reason.MINORS})
        denied = await core.jobs.submit(replace(order, review=True))
        await bench.reached(denied.id, JobState.REFUSED)


async def test_words_that_are_changed_in_line_are_read_again(bench, core, reading):
    await core.jobs.pause()
    job = await bench.queued(prompt="a fox")
    reading.found = frozenset({Reason.GORE})

    spec = replace(job.spec, prompt="another fox")
    await core.jobs.revise(job.id, tenant=job.tenant, spec=spec, origins=job.origins)

    await bench.reached(job.id, JobState.REFUSED)
    assert reading.texts[-1] == (("another fox",), "guild:a")
