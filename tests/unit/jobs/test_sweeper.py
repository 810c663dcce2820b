from __future__ import annotations

import pytest

from inference.jobs.model import JobState
from inference.jobs.sweeper import (
    CLOCK_JUMP_SECONDS,
    FILES_EVERY,
    TICK_SECONDS,
    WAIT_SECONDS_LEAST,
    Sweeper,
)
from inference.store.ledger import Ledger
from inference.store.outbox import ActKind

KEPT_SECONDS = 7 * 86400.0


@pytest.fixture
def sweeper(bench, core):
    return Sweeper(
        store=core.store,
        ledger=Ledger(core.database),
        artifacts=core.artifacts,
        line=core.jobs._line,
        standing_still=lambda: core.jobs.paused,
        files_seconds=KEPT_SECONDS,
        clock=bench.clock,
    )


async def waits(sweeper, seconds):
    for _ in range(int(seconds / TICK_SECONDS)):
        await sweeper.expire_waiting()


@pytest.fixture
async def waiting(bench, core):
    """A job in line behind one on the GPU."""
    await bench.submit()
    await bench.executor.started()
    return await bench.queued()


async def test_a_job_that_waits_far_too_long_expires_and_its_requester_is_told(
    bench, core, sweeper, waiting
):
    await waits(sweeper, WAIT_SECONDS_LEAST)
    assert (await bench.now(waiting)).state is JobState.QUEUED

    await waits(sweeper, TICK_SECONDS)
    expired = await bench.now(waiting)
    assert (expired.state, expired.failure.code) == (JobState.EXPIRED, "job.waited_too_long")
    assert await core.outbox.get(waiting.id, ActKind.NOTICE)
    assert core.jobs.place(waiting.id) is None


async def test_a_line_that_stands_still_expires_nobody(bench, core, sweeper, waiting):
    await core.jobs.pause()
    await waits(sweeper, 2 * WAIT_SECONDS_LEAST)
    assert (await bench.now(waiting)).state is JobState.QUEUED


async def test_a_wall_clock_that_jumps_expires_nobody(bench, sweeper, waiting):
    bench.clock.jump(10 * WAIT_SECONDS_LEAST)
    await waits(sweeper, TICK_SECONDS)
    assert (await bench.now(waiting)).state is JobState.QUEUED


@pytest.fixture
async def finished(bench, core):
    """A job that ended, with a file."""
    job = await bench.submit()
    await bench.executor.started()
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    for kind in (ActKind.CARD, ActKind.CLIP):
        await core.outbox.sent(await core.outbox.get(job.id, kind), {"id": 1})
    return await bench.reached(job.id, JobState.DONE)


async def test_files_go_after_their_days_and_the_row_stays(bench, core, sweeper, finished):
    bench.clock.advance(KEPT_SECONDS - 1)
    await sweeper.expire_files()
    assert core.jobs.files(finished)

    bench.clock.advance(2)
    await sweeper.expire_files()
    assert core.jobs.files(finished) is None
    assert (await bench.now(finished)).state is JobState.DONE


async def test_files_of_jobs_that_nobody_knows_go_and_others_stay(bench, core, sweeper, finished):
    stray = core.artifacts.input_directory("STRAY")
    stray.mkdir(parents=True)
    await sweeper.expire_files()
    assert not stray.exists()
    assert core.jobs.files(finished)


async def test_a_clock_that_was_set_gives_old_files_another_hour(bench, core, finished):
    # The core's own sweeper: it looked at the files when it started.
    await bench.clock.asleep(TICK_SECONDS)
    bench.clock.jump(CLOCK_JUMP_SECONDS + KEPT_SECONDS)
    for _ in range(3):
        bench.clock.advance(TICK_SECONDS)
        await bench.clock.asleep(TICK_SECONDS)
    assert core.jobs.files(finished)
    for _ in range(FILES_EVERY):
        bench.clock.advance(TICK_SECONDS)
        await bench.clock.asleep(TICK_SECONDS)
    assert core.jobs.files(finished) is None


async def test_who_wants_to_be_forgotten_is_once_the_last_word_was_said(bench, core, sweeper):
    job = await bench.submit()
    await bench.executor.started()
    count = await core.jobs.forget(tenant=job.tenant, requester_id=job.requester.id)
    assert count == 1
    await bench.reached(job.id, JobState.CANCELLED)
    await sweeper.forget()
    assert await core.store.get(job.id), "the card still has to say that it was cancelled"

    await core.outbox.sent(await core.outbox.get(job.id, ActKind.CARD), {"id": 1})
    await sweeper.forget()
    assert await core.store.get(job.id) is None
    assert await core.outbox.get(job.id, ActKind.CARD) is None
