from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs

from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from inference.jobs.clock_trust import CLOCK_JUMP_SECONDS
from inference.jobs.expiry import (
    FILES_EVERY,
    REMOVED_AT_ONCE,
    TICK_SECONDS,
    UNKNOWN_LOOKS,
    WAIT_SECONDS_LEAST,
    Expiry,
)
from inference.store.ledger import Ledger

LETTERS = str.maketrans("0123456789", "ABCDEFGHJK")

KEPT_SECONDS = 7 * 86400.0


@pytest.fixture
def expiry(bench, core):
    return Expiry(
        store=core.store,
        ledger=Ledger(core.database),
        artifacts=core.artifacts,
        queue=core.jobs._queue,
        standing_still=lambda: core.jobs.paused,
        files_seconds=KEPT_SECONDS,
        clock=bench.clock,
    )


async def waits(expiry, seconds):
    for _ in range(int(seconds / TICK_SECONDS)):
        await expiry.expire_waiting()


@pytest.fixture
async def waiting(bench, core):
    """A job in the queue behind one on the GPU."""
    await bench.submit()
    await bench.executor.started()
    return await bench.queued()


async def test_a_job_that_waits_far_too_long_expires_and_its_requester_is_told(
    bench, core, expiry, waiting
):
    await waits(expiry, WAIT_SECONDS_LEAST)
    assert (await bench.now(waiting)).state is JobState.QUEUED

    await waits(expiry, TICK_SECONDS)
    expired = await bench.now(waiting)
    assert (expired.state, expired.failure.code) == (JobState.EXPIRED, "job.waited_too_long")
    assert await core.outbox.get(waiting.id, ActKind.NOTICE)
    assert core.jobs.position(waiting.id) is None


async def test_a_line_that_stands_still_expires_nobody(bench, core, expiry, waiting):
    await core.jobs.pause()
    await waits(expiry, 2 * WAIT_SECONDS_LEAST)
    assert (await bench.now(waiting)).state is JobState.QUEUED


async def test_a_wall_clock_that_jumps_expires_nobody(bench, expiry, waiting):
    bench.clock.jump(10 * WAIT_SECONDS_LEAST)
    await waits(expiry, TICK_SECONDS)
    assert (await bench.now(waiting)).state is JobState.QUEUED


@pytest.fixture
async def finished(bench, core):
    """A job that ended, with a file."""
    job = await bench.submit()
    await bench.executor.started()
    bench.executor.finish()
    await bench.reached(job.id, JobState.DELIVERING)
    for kind in (ActKind.CARD, ActKind.CLIP):
        await core.outbox.mark_sent(await core.outbox.get(job.id, kind), {"id": 1})
    return await bench.reached(job.id, JobState.DONE)


async def test_files_go_after_their_days_and_the_row_stays(bench, core, expiry, finished):
    bench.clock.advance(KEPT_SECONDS - 1)
    await expiry.expire_files()
    assert core.jobs.files(finished)

    bench.clock.advance(2)
    await expiry.expire_files()
    assert core.jobs.files(finished) is None
    assert (await bench.now(finished)).state is JobState.DONE


async def looks(bench, expiry, count):
    for _ in range(count):
        bench.clock.advance(TICK_SECONDS * FILES_EVERY)
        await expiry.expire_files()


def folder(core, name, *, age=0.0):
    """Make a folder with a file as old as that, by the bench's clock."""
    made = core.artifacts.input_directory(name)
    made.mkdir(parents=True)
    (made / "image.png").write_bytes(b"x")
    old = core.store._clock.now() - age
    for path in (made / "image.png", made, made.parent):
        os.utime(path, (old, old))
    return made.parent


async def test_files_of_jobs_that_nobody_knows_go_when_old_and_only_after_several_looks(
    bench, core, expiry, finished
):
    unknown = folder(core, "AB2CD3EF4G", age=KEPT_SECONDS)
    young = folder(core, "AB2CD3EF4H", age=KEPT_SECONDS - 86_400)
    await looks(bench, expiry, UNKNOWN_LOOKS)
    assert unknown.exists()
    with capture_logs() as logs:
        await looks(bench, expiry, 1)
    assert not unknown.exists()
    assert young.exists()
    assert core.jobs.files(finished)
    removed = [entry for entry in logs if entry["event"] == "job.files_removed"]
    assert [(entry["job"], entry["reason"]) for entry in removed] == [("AB2CD3EF4G", "unknown")]


async def test_what_is_not_of_our_form_is_never_deleted(bench, core, expiry, tmp_path):
    root = core.artifacts.input_directory("x").parent.parent
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film.mp4").write_bytes(b"mine")
    theirs = [
        folder(core, name, age=9 * KEPT_SECONDS)
        for name in ("STRAY", "holiday pictures", "ab2cd3ef4g", "lost+found", "AB2CD3EF4GH")
    ]
    (root / "AB2CD3EF4J").symlink_to(elsewhere)
    (root / "AB2CD3EF4K").write_text("a file")
    await looks(bench, expiry, 30)
    assert all(path.exists() for path in theirs)
    assert (elsewhere / "film.mp4").read_bytes() == b"mine"
    assert (root / "AB2CD3EF4J").is_symlink()
    assert (root / "AB2CD3EF4K").exists()


async def test_a_lost_database_does_not_take_all_clips_with_it(bench, core, finished):
    file = core.jobs.files(finished)

    async def lose(connection):
        await connection.execute("DELETE FROM jobs")

    await core.database.write("lose", lose)
    for _ in range(5):
        await bench.clock.asleep(TICK_SECONDS)
        bench.clock.advance(TICK_SECONDS)
    assert file.exists()


async def test_a_clock_far_ahead_at_the_start_deletes_nothing_for_a_day(bench, core, finished):
    file = core.jobs.files(finished)
    bench.clock.jump(400 * 86_400.0)
    late = Expiry(
        store=core.store,
        ledger=Ledger(core.database),
        artifacts=core.artifacts,
        queue=core.jobs._queue,
        standing_still=lambda: False,
        files_seconds=KEPT_SECONDS,
        clock=bench.clock,
    )
    await late._remember()
    await late.expire_files()
    await looks(bench, late, 22)
    assert file.exists()
    await looks(bench, late, 3)
    assert not file.exists()


async def test_one_look_deletes_the_files_of_a_few_jobs_only(bench, core, expiry):
    kept = [
        folder(core, f"AB2CD3{tail:04}".translate(LETTERS), age=9 * KEPT_SECONDS)
        for tail in range(REMOVED_AT_ONCE + 5)
    ]
    await looks(bench, expiry, UNKNOWN_LOOKS + 1)
    assert sum(path.exists() for path in kept) == 5
    await looks(bench, expiry, 1)
    assert not any(path.exists() for path in kept)


async def test_a_strangers_file_in_a_jobs_folder_stays(core):
    ours = folder(core, "AB2CD3EF4G")
    (ours / "notes.txt").write_text("mine")
    (ours / "7").symlink_to(ours.parent)
    assert not core.artifacts.remove("AB2CD3EF4G")
    assert sorted(path.name for path in ours.iterdir()) == ["7", "notes.txt"]
    assert not core.artifacts.remove("..")


async def test_a_clock_that_was_set_gives_old_files_another_hour(bench, core, finished):
    # The core's own expiry: it looked at the files when it started.
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


async def test_who_wants_to_be_forgotten_is_at_once(bench, core, expiry):
    job = await bench.submit()
    task = await bench.executor.started()
    count = await core.jobs.forget(tenant=job.tenant, requester_id=job.requester.id)
    assert count == 1
    assert await core.store.get(job.id) is None
    assert await core.outbox.get(job.id, ActKind.CARD) is None

    whose = {"tenant": job.tenant, "requester_id": job.requester.id}
    assert await core.jobs.is_erasing(**whose)
    assert not await core.jobs.is_erasing(tenant="elsewhere", requester_id=job.requester.id)
    task.directory.mkdir(parents=True)  # a worker that was not done yet
    await expiry.forget()
    assert not task.directory.exists()
