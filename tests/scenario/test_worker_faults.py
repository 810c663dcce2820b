import asyncio
import contextlib
import signal
import sqlite3
import time

import aiohttp
import psutil
import pytest

from bot.control.socket_path import SOCKET_NAME, short_socket_path
from tests.chaos.points import CLIP, STILL
from tests.chaos.verdict import judge
from tests.chaos.world import world

pytestmark = pytest.mark.process

ONCE = (
    *("crash", "segfault", "exit", "oom", "transient", "lie", "truncate", "missing"),
    *("alloc", "sticky", "nan", "lost_gpu", "no_hello", "preview"),
)
"""Failures of a first attempt that a second one makes good."""

ALWAYS = ("crash", "oom", "lie", "error", "bug", "sticky", "nan")

HANG_SECONDS = 15.0
"""A worker is silent for longer when it hangs; the answers of a busy machine are not."""


async def asked(living, text):
    command = living.seen.say("nonce", text)
    await living.seen.answered(command)
    return command.job


async def ended(living, *jobs, seconds=180):
    for job in jobs:
        assert await living.seen.until(lambda job=job: living.seen.ended(job), seconds), (
            living.seen.card(job)
        )


def stepping(living, job):
    card = living.seen.card(job)
    return card and "step" in card.latest.content


def says(living, words, *jobs):
    """Return whether the card of one of the jobs has the words."""
    cards = [living.seen.card(job) for job in jobs]
    return any(card and words in card.latest.content for card in cards)


def stands_still(worker):
    try:
        return worker.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


@contextlib.asynccontextmanager
async def watched(living, worker=None):
    """Ask the bot for its health all the time; it must answer, whatever its worker does.

    Args:
        living: The bot.
        worker: Stands still; the bot must answer before it replaces it.
    """
    answers, waits = [], []

    async def look(session):
        while True:
            started = time.monotonic()
            async with session.get("http://bot/v1/health") as response:
                assert response.status == 200
            waits.append(time.monotonic() - started)
            answers.append(worker is None or stands_still(worker))
            await asyncio.sleep(0.02)

    with short_socket_path(living.data / SOCKET_NAME) as path:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
            looking = asyncio.create_task(look(session))
            try:
                yield
            finally:
                looking.cancel()
                await asyncio.wait({looking})
            assert looking.cancelled(), looking.exception()
    assert any(answers)
    assert max(waits) < HANG_SECONDS


@pytest.mark.cases(1)
@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.slow
async def test_a_worker_that_fails_once_costs_nobody_anything(tmp_path, fault):
    async with world(tmp_path, fail=f"{fault}:1") as living:
        await living.start()
        first = await asked(living, f"/generate a fox {STILL}")
        async with watched(living):
            second = await asked(living, f"/generate a cat {CLIP}")
            await ended(living, first, second)
        assert await living.stop() == 0
        tally = await judge(living)
        assert not tally.problems
        assert tally.delivered_once == 2


@pytest.mark.slow
@pytest.mark.cases(1)
@pytest.mark.parametrize("fault", ALWAYS)
async def test_a_worker_that_always_fails_ends_every_job_with_a_sentence(tmp_path, fault):
    async with world(tmp_path, fail=fault) as living:
        await living.start()
        jobs = [await asked(living, f"/generate picture {number} {STILL}") for number in range(2)]
        async with watched(living):
            await ended(living, *jobs)
        for job in jobs:
            [notice] = living.seen.notices(job)
            assert notice.latest.content.startswith(("@ann", "@\N{FIRST STRONG ISOLATE}ann"))
            assert living.seen.card(job).latest.kind == "failed"
        assert await living.stop() == 0
        tally = await judge(living, may_fail=jobs)
        assert not tally.problems
        assert tally.told == 2


@pytest.mark.slow
async def test_a_worker_that_stands_still_is_replaced_and_its_job_made_again(tmp_path):
    async with world(tmp_path, step_seconds=0.02) as living:
        await living.start()
        job = await asked(living, "/generate a storm --frames 1 --res 360p --steps 200")
        assert await living.seen.until(lambda: stepping(living, job), 180)
        worker = living.worker()
        worker.send_signal(signal.SIGSTOP)
        async with watched(living, worker):
            after = await asked(living, f"/generate a fox {STILL}")
            await ended(living, job, after)
        assert await living.stop() == 0
        tally = await judge(living)
        assert not tally.problems
        assert tally.delivered_once == 2


@pytest.mark.slow
async def test_a_disk_that_fills_up_while_encoding_fails_one_job_with_a_sentence(tmp_path):
    async with world(tmp_path) as living:
        await living.start()
        warm = await asked(living, f"/generate a fox {STILL}")
        await ended(living, warm)
        worker = living.worker()
        without_limit = worker.rlimit(psutil.RLIMIT_FSIZE)
        worker.rlimit(psutil.RLIMIT_FSIZE, (4096, without_limit[1]))
        job = await asked(living, f"/generate a fox {CLIP}")
        await ended(living, job)
        [notice] = living.seen.notices(job)
        assert "disk" in notice.latest.content.casefold()
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.rlimit(psutil.RLIMIT_FSIZE, without_limit)
        after = await asked(living, f"/generate a cat {CLIP}")
        await ended(living, after)
        assert await living.stop() == 0
        tally = await judge(living, may_fail=[job])
        assert not tally.problems
        assert (tally.delivered_once, tally.told) == (2, 1)


async def health(living):
    """Return the problems that the bot names, by key."""
    with short_socket_path(living.data / SOCKET_NAME) as path:
        connector = aiohttp.UnixConnector(path)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://bot/v1/health") as response,
        ):
            return (await response.json())["problems"]


def row(living, job):
    """Return what the disk knows of a job: state, attempts, losses, and what was charged for it."""
    path = living.data / "rushes.sqlite3"
    with contextlib.closing(sqlite3.connect(path, timeout=180)) as connection:
        [found] = connection.execute("SELECT state, attempt, losses FROM jobs WHERE id = ?", (job,))
        charged = connection.execute("SELECT 1 FROM ledger WHERE job = ?", (job,)).fetchall()
    return (*found, len(charged))


@pytest.mark.slow
async def test_jobs_wait_for_a_worker_that_does_not_start_and_queue_and_health_say_so(tmp_path):
    async with world(tmp_path, fail="no_hello:5") as living:
        await living.start()
        jobs = [await asked(living, f"/generate picture {number} {STILL}") for number in range(2)]
        assert await living.seen.until(lambda: says(living, "cannot start", *jobs), 180)
        assert "worker.start" in await health(living)

        await ended(living, *jobs)

        assert "worker.start" not in await health(living)
        assert [row(living, job) for job in jobs] == [("done", 1, 0, 1)] * 2
        assert await living.stop() == 0
        assert not (await judge(living)).problems


async def test_a_kill_between_two_attempts_leaves_losses_and_charges_right(tmp_path):
    async with world(tmp_path, fail="sticky:2") as living:
        await living.start({"RUSHES_FAULT": "after:requeue"})
        job = await asked(living, f"/generate a fox {STILL}")
        assert await living.ended() == -signal.SIGKILL
        assert row(living, job) == ("queued", 1, 1, 0)

        await living.start()
        await ended(living, job)

        assert row(living, job) == ("failed", 2, 1, 0)
        [notice] = living.seen.notices(job)
        assert "GPU" in notice.latest.content
        assert not list(living.data.glob(f"jobs/{job}/*/latents.bin"))
        assert await living.stop() == 0


@pytest.mark.slow
async def test_a_worker_that_dies_in_the_second_attempt_after_a_kill_fails_the_job_for_free(
    tmp_path,
):
    async with world(tmp_path, fail="crash") as living:
        await living.start({"RUSHES_FAULT": "after:claim:2"})
        job = await asked(living, f"/generate a fox {STILL}")
        assert await living.ended() == -signal.SIGKILL
        assert row(living, job) == ("running", 2, 1, 0)

        await living.start()
        await ended(living, job)

        # The kill in the second attempt was nobody's loss, so there was a third.
        assert row(living, job) == ("failed", 3, 1, 0)
        assert await living.stop() == 0
