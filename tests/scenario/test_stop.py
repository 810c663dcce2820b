import asyncio
import signal

import pytest

from tests.chaos.points import CLIP, STILL
from tests.chaos.verdict import judge
from tests.chaos.world import world

pytestmark = pytest.mark.process

LONG = "--frames 1 --res 360p --steps 100"
"""Eight seconds of steps, in which a bot that stops can be asked and a signal be sent again."""

ENDLESS = "--frames 1 --res 360p --steps 200"
"""With `slow` steps, longer than anybody waits at a stop."""


@pytest.fixture
async def living(tmp_path):
    async with world(tmp_path, step_seconds=0.08) as living:
        await living.start()
        yield living


@pytest.fixture
async def slow(tmp_path):
    async with world(tmp_path, step_seconds=0.5) as living:
        await living.start()
        yield living


async def asked(living, text, **how):
    """Type a command, wait for the answer, and return the job or the sentence."""
    command = living.seen.say("nonce", text, **how)
    answer = await living.seen.answered(command)
    return command.job or answer["text"]


async def see(living, job, kind, words=""):
    def shown():
        card = living.seen.card(job)
        return card and card.latest.kind == kind and words in card.latest.content

    assert await living.seen.until(shown, 180), living.seen.card(job)


async def stopping(living):
    async with asyncio.timeout(180):
        while "rushes.stopping" not in living.log.read_text():  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.01)


async def test_a_stop_ends_the_running_job_and_refuses_new_ones_with_a_sentence(living):
    running = await asked(living, f"/generate a storm {LONG}")
    waiting = [await asked(living, f"/generate later {number} {CLIP}") for number in range(2)]
    await see(living, running, "running")
    living.signal(signal.SIGTERM)
    await stopping(living)
    refused = await asked(living, f"/generate too late {STILL}")
    assert "restarting" in refused
    assert await living.ended() == 0
    assert living.seen.ended(running)
    assert not [job for job in waiting if living.seen.clips(job)]
    assert not await living.left_over()

    await living.start()
    for job in waiting:
        assert await living.seen.until(lambda job=job: living.seen.ended(job), 180)
    await living.stop()
    tally = await judge(living)
    assert not tally.problems
    assert tally.delivered_once == 3


@pytest.mark.slow
async def test_a_stop_puts_a_job_that_takes_too_long_back_in_line(slow):
    job = await asked(slow, f"/generate a storm {ENDLESS}")
    await see(slow, job, "running", "step")
    assert await slow.stop() == 0
    assert slow.state(job) == "queued"
    assert not await slow.left_over()

    await slow.start()
    await slow.reached(job, "running")
    await asked(slow, f"/rushes cancel {job}")
    assert await slow.seen.until(lambda: slow.seen.ended(job), 180)
    assert slow.seen.card(job).latest.kind == "stopped"
    await slow.stop()
    assert not (await judge(slow)).problems


@pytest.mark.slow
async def test_a_second_signal_stops_at_once(living):
    job = await asked(living, f"/generate a storm {LONG}")
    await see(living, job, "running")
    living.signal(signal.SIGTERM)
    await stopping(living)
    living.signal(signal.SIGTERM)
    assert await living.ended() == 128 + signal.SIGTERM
    assert not await living.left_over()

    await living.start()
    assert await living.seen.until(lambda: living.seen.ended(job), 180)
    await living.stop()
    tally = await judge(living)
    assert not tally.problems
    assert tally.delivered_once == 1


@pytest.mark.slow
async def test_a_stop_waits_for_the_messages_that_are_under_way(living):
    living.seen.trouble(r"POST /nonce/channels/m", slow_seconds=2, taken=True)
    job = await asked(living, f"/generate a fox {STILL}")
    assert await living.seen.until(lambda: living.seen.clips(job), 180)
    assert await living.stop() == 0
    assert living.seen.ended(job)


@pytest.mark.slow
async def test_a_pause_lasts_over_a_restart_until_it_is_taken_back(living):
    await asked(living, "/rushes-admin pause", operator=True)
    job = await asked(living, f"/generate a fox {STILL}")
    await see(living, job, "waiting", "paused")
    assert await living.stop() == 0
    await living.start()
    assert "paused" in await asked(living, "/rushes queue")
    assert living.state(job) == "queued"
    await asked(living, "/rushes-admin resume", operator=True)
    assert await living.seen.until(lambda: living.seen.ended(job), 180)


@pytest.mark.slow
async def test_a_drain_works_off_the_line_and_refuses_more_also_after_a_restart(living):
    running = await asked(living, f"/generate a storm {LONG}")
    waiting = await asked(living, f"/generate a fox {STILL}")
    await asked(living, "/rushes-admin drain", operator=True)
    refused = await asked(living, f"/generate too late {STILL}")
    for job in (running, waiting):
        assert await living.seen.until(lambda job=job: living.seen.ended(job), 180)
    assert await living.stop() == 0
    await living.start()
    assert await asked(living, f"/generate too late {STILL}") == refused
    await asked(living, "/rushes-admin resume", operator=True)
    job = await asked(living, f"/generate at last {STILL}")
    assert await living.seen.until(lambda: living.seen.ended(job), 180)


async def test_those_who_do_not_run_the_machine_cannot_stop_it(living):
    await asked(living, "/rushes-admin pause")
    job = await asked(living, f"/generate a fox {STILL}")
    assert await living.seen.until(lambda: living.seen.ended(job), 180)
