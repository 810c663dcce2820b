"""What the delivery hands to a platform besides the card."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from bot.delivery import Delivery
from commands import cards
from commands.cards import Standing
from inference.jobs.model import JobState
from inference.jobs.presentation import Presentation
from inference.safety.base import Outcome, Reason
from tests.fakes.moderators import FakeModerator, a_guard
from tests.fakes.orders import an_order


class Board:
    """A platform that keeps what it is given."""

    name = "test"

    def __init__(self):
        self.posted = asyncio.Queue()
        self.edited = asyncio.Queue()

    async def upload_limit(self, job):
        return 1 << 20

    async def post(self, message, remember):
        self.posted.put_nowait(message)
        return {"message": message.key}

    async def edit(self, receipt, message):
        self.edited.put_nowait(message)


def paint(job, kind, file):
    if file is not None:
        return cards.clip(job, file, "en")
    return cards.status(job, Standing(now=0), "en")


@contextlib.asynccontextmanager
async def delivering(bench, **wishes):
    board, core = Board(), bench.core
    delivery = Delivery(
        outbox=core.outbox,
        store=core.store,
        artifacts=core.artifacts,
        events=core.events,
        platforms={"test": board},
        painter=paint,
        shrinker=None,
        clock=bench.clock,
        **wishes,
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield board, delivery
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def an_open_minded_order():
    return replace(an_order(), presentation=Presentation(flagged=Outcome.SPOILER))


async def message(queue, wanted):
    """Return the next message that is as wanted."""
    async with asyncio.timeout(10):
        while not wanted(found := await queue.get()):
            pass
    return found


@pytest.mark.parametrize("found", [(), (Reason.GORE,)])
async def test_a_flagged_clip_goes_out_as_a_spoiler_and_others_do_not(bench, found):
    bench.guard = a_guard(pictures=[FakeModerator(*found)])
    async with bench.open() as core, delivering(bench) as (board, _):
        await core.jobs.submit(an_open_minded_order())
        await bench.executor.started()
        bench.executor.finish()

        clip = await message(board.posted, lambda each: each.file is not None)

        assert clip.spoiler is bool(found)
        card = await message(board.edited, lambda each: each.job.state is JobState.DONE)
        assert not card.spoiler


@pytest.mark.parametrize(
    ("previews", "found", "shown"),
    [(True, (), True), (False, (), False), (True, (Reason.GORE,), False)],
)
async def test_stills_of_a_running_job_are_shown_only_where_nobody_minds(
    bench, previews, found, shown
):
    bench.guard = a_guard(texts=[FakeModerator(*found)])
    async with bench.open() as core, delivering(bench, previews=previews) as (board, delivery):
        job = await core.jobs.submit(an_open_minded_order())
        task = await bench.executor.started()
        task.directory.mkdir(parents=True, exist_ok=True)
        (task.directory / "preview.jpg").write_bytes(b"still")
        await message(board.posted, lambda each: each.job.id == job.id)

        await delivery.refresh(job.id)

        card = await message(board.edited, lambda each: each.job.state is JobState.RUNNING)
        assert (card.preview is not None) is shown
