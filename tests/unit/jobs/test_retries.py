"""One bad item stops no loop: it ends with a sentence, and the others go on."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from inference.bug_report import log_bug
from inference.domain.errors import UserError
from inference.domain.job import JobState
from inference.retries import LONGEST_SECONDS, repeat, retry
from tests.fakes.clock import ManualClock
from tests.fakes.executor import FakeSlot
from tests.fakes.orders import an_order, capabilities

PROMPT = "a red fox nobody may read about"


class Bug(Exception):
    """Not one of ours."""


def broken(method, bad_job, *, times=10**9):
    """Return a method of the store that raises for one job, as often as told."""
    left = [times]

    async def instead(job_id, *args, **kwargs):
        if getattr(job_id, "id", job_id) == bad_job and left[0] > 0:
            left[0] -= 1
            raise Bug(PROMPT)
        return await method(job_id, *args, **kwargs)

    return instead


@pytest.fixture
def executor():
    return FakeSlot(automatic=True)


@pytest.fixture
async def held(bench):
    """Two jobs in the queue, the bad one first, and nobody to serve them yet."""
    async with bench.open() as core:
        await core.jobs.pause()
        yield core, await bench.queued(), await bench.queued()


async def judged(bench, core, bad, good, code="internal"):
    await core.jobs.resume()
    assert (await bench.reached(good.id, JobState.DELIVERING)).failure is None
    failed = await bench.reached(bad.id, JobState.FAILED)
    assert failed.failure.code == code
    if code == "internal":
        assert failed.failure.params == {"job": bad.id}


@pytest.mark.parametrize("name", ["claim", "finish", "deliver"])
async def test_a_job_whose_state_cannot_be_changed_fails_and_the_next_is_served(
    bench, held, monkeypatch, name, capsys
):
    core, bad, good = held
    monkeypatch.setattr(core.store, name, broken(getattr(core.store, name), bad.id))

    await judged(bench, core, bad, good)

    printed = capsys.readouterr()
    assert bad.id in printed.out + printed.err
    assert PROMPT not in printed.out + printed.err


async def test_a_claim_that_fails_once_is_made_again(bench, held, monkeypatch):
    core, bad, good = held
    monkeypatch.setattr(core.store, "claim", broken(core.store.claim, bad.id, times=1))

    await core.jobs.resume()

    await bench.reached(good.id, JobState.DELIVERING)
    await bench.reached(bad.id, JobState.DELIVERING)


async def test_a_job_that_cannot_even_be_failed_is_left_alone(bench, held, monkeypatch):
    core, bad, good = held
    for name in ("finish", "fail"):
        monkeypatch.setattr(core.store, name, broken(getattr(core.store, name), bad.id))

    await core.jobs.resume()

    await bench.reached(good.id, JobState.DELIVERING)
    assert (await bench.now(bad)).state is JobState.RUNNING


@pytest.mark.parametrize("name", ["begin_preparing", "enqueue", "get"])
async def test_a_job_that_cannot_be_prepared_fails_and_the_others_are_prepared(
    bench, monkeypatch, name
):
    async with bench.open() as core:
        await core.jobs.pause()
        real, first = getattr(core.store, name), []

        async def instead(job_id, *args, **kwargs):
            first.append(job_id)
            if job_id == first[0]:
                raise Bug(PROMPT)
            return await real(job_id, *args, **kwargs)

        if name == "get":  # also asked by the test itself
            monkeypatch.setattr(core.store, "begin_preparing", _none)
        monkeypatch.setattr(core.store, name, instead)
        bad = await core.jobs.submit(an_order())
        if name == "get":
            await until(lambda: first)
            monkeypatch.undo()
        good = await bench.queued()

        assert good.id != bad.id
        failed = await bench.reached(bad.id, JobState.FAILED)
        assert failed.failure.code == "internal"


async def _none(_):
    return None


async def until(reached):
    async with asyncio.timeout(180):
        while not reached():  # noqa: ASYNC110 - nobody tells us, so look
            await asyncio.sleep(0.001)


# -- a model that is gone --------------------------------------------------------------------


@pytest.mark.parametrize("error", [UserError("model.unknown", name="owl", known=[]), Bug(PROMPT)])
async def test_a_model_that_goes_while_its_job_waits_fails_that_job_alone(bench, error):
    gone = []

    def present(name):
        if name in gone:
            raise error
        return capabilities(name)

    bench.capabilities = present
    async with bench.open() as core:
        await core.jobs.pause()
        bad, good = await bench.queued(model="owl"), await bench.queued()
        gone.append("owl")

        code = "internal" if isinstance(error, Bug) else "model.unknown"
        await judged(bench, core, bad, good, code)


async def test_a_model_that_goes_while_its_job_prepares_fails_that_job_alone(bench):
    gone = []

    def present(name):
        if name in gone:
            raise UserError("model.unknown", name=name, known=[])
        return capabilities(name)

    bench.capabilities = present
    bench.images.gate = asyncio.Event()
    async with bench.open() as core:
        await core.jobs.pause()
        bad = await bench.submit(model="owl", image="https://cdn.example/cat.gif")
        await until(lambda: bench.images.fetched)
        gone.append("owl")
        bench.images.gate.set()

        failed = await bench.reached(bad.id, JobState.FAILED, JobState.REFUSED)
        assert failed.failure.code == "model.unknown"
        await bench.queued()


async def test_a_model_that_goes_while_it_renders_fails_no_finished_clip(bench):
    gone = []

    def present(name):
        if name in gone:
            raise UserError("model.unknown", name=name, known=[])
        return capabilities(name)

    bench.capabilities = present
    bench.executor.automatic = False
    async with bench.open() as core:
        job = await bench.submit(model="owl")
        waiting = await bench.queued()
        await bench.executor.started()
        bench.executor.report(1, 10)
        gone.append("owl")

        assert core.dispatcher.active[0].seconds_left >= 0
        assert core.jobs.position(waiting.id).start_in >= 0
        bench.executor.finish()

        await bench.reached(job.id, JobState.DELIVERING)
        bench.executor.automatic = True
        await bench.executor.started()
        bench.executor.finish()
        await bench.reached(waiting.id, JobState.DELIVERING)


# -- at start and in the background ----------------------------------------------------------


async def test_a_job_that_cannot_be_resumed_stops_no_start(bench, monkeypatch):
    bench.executor.automatic = False
    async with bench.open() as core:
        bad = await bench.submit()
        good = await bench.queued()
        await bench.executor.started()
        crashed = bench.crashed()

    async def instead(job, *args):
        if job.id == bad.id:
            raise Bug(PROMPT)
        return await real(job, *args)

    from inference.jobs import recovery

    real = recovery._resume
    monkeypatch.setattr(recovery, "_resume", instead)
    async with crashed.open() as core:
        assert (await crashed.reached(bad.id, JobState.FAILED)).failure.code == "internal"
        task = await crashed.executor.started()
        assert task.job_id == good.id
        assert core.dispatcher.active[0].job.id == good.id


async def test_a_task_of_the_sweeper_that_fails_stops_neither_it_nor_the_others(bench, monkeypatch):
    calls = []

    async def broken_forgotten():
        calls.append("forgotten")
        raise Bug(PROMPT)

    async def in_review():
        calls.append("in_review")
        return []

    async with bench.open() as core:
        monkeypatch.setattr(core.store, "forgotten", broken_forgotten)
        monkeypatch.setattr(core.store, "in_review", in_review)
        for _ in range(361):
            await bench.clock.asleep(10.0)
            bench.clock.advance(10.0)
            await asyncio.sleep(0)

        await until(lambda: "in_review" in calls)
        assert calls.count("forgotten") > 100


async def test_a_loop_whose_turns_fail_waits_longer_each_time_and_goes_on():
    clock, turns = ManualClock(), []

    async def turn():
        turns.append(clock.monotonic())
        raise Bug(PROMPT)

    task = asyncio.create_task(repeat(turn, name="test", clock=clock))
    expected = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_SECONDS]
    for seconds in expected[1:]:
        await clock.asleep(seconds)
        clock.advance(seconds)
    await clock.asleep(LONGEST_SECONDS)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    pauses = [after - before for before, after in itertools.pairwise(turns)]
    assert pauses == expected


async def test_a_loop_ends_when_it_is_cancelled():
    async def turn():
        await asyncio.Event().wait()

    task = asyncio.create_task(repeat(turn, name="test", clock=ManualClock()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


def test_a_bug_is_logged_with_its_frames_and_causes_and_without_messages():
    entries = []

    class Log:
        def error(self, event, **fields):
            entries.append((event, fields))

    def deep():
        raise ValueError(PROMPT)

    try:
        try:
            deep()
        except ValueError as cause:
            raise ExceptionGroup(PROMPT, [Bug(PROMPT)]) from cause
    except ExceptionGroup as error:
        log_bug(Log(), "test.bug", error, job="J1")

    [(event, fields)] = entries
    assert (event, fields["job"]) == ("test.bug", "J1")
    assert fields["error"] == "ExceptionGroup < Bug < ValueError"
    assert "in deep" in fields["trace"]
    assert PROMPT not in str(fields)


async def test_a_try_is_repeated_after_growing_pauses_and_not_for_ever():
    clock, tried = ManualClock(), []

    async def work():
        tried.append(clock.monotonic())
        raise OSError

    def again(error):
        return isinstance(error, OSError)

    task = asyncio.create_task(retry(work, again=again, tries=4, first=1.0, clock=clock))
    while not task.done():
        await asyncio.sleep(0)
        clock.advance(0.1)
    with pytest.raises(OSError):
        await task
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert len(pauses) == 3
    for pause, least in zip(pauses, (1.0, 2.0, 4.0), strict=True):
        assert least <= pause <= least * 1.2 + 0.11


async def test_an_error_that_another_try_cannot_mend_is_raised_at_once():
    async def work():
        raise LookupError

    with pytest.raises(LookupError):
        await retry(work, again=lambda _: False, tries=4, first=1.0, clock=ManualClock())
