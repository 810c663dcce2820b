"""Taking a posted file back, from the outbox to the platform."""

from __future__ import annotations

import asyncio

import pytest

from bot.delivery.delivery import Delivery
from commands.text.card import Card, CardKind
from inference.domain.errors import DeliveryError
from inference.domain.job import JobState
from inference.domain.outbox import ActKind

pytestmark = pytest.mark.deep


class Board:
    """A platform that shows its messages on a board; `trouble` is raised by what comes next."""

    name = "test"

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.trouble: list[DeliveryError] = []
        self.changed = asyncio.Event()

    async def upload_limit(self, job):
        return 1 << 20

    async def post(self, message, remember):
        self.shown[message.key] = message.kind
        return {"message": message.key}

    async def edit(self, receipt, message):
        self.changed.set()

    async def find(self, message):
        return None

    async def remove(self, receipt, job):
        self.changed.set()
        if self.trouble:
            raise self.trouble.pop()
        del self.shown[receipt["message"]]


@pytest.fixture
def board():
    return Board()


@pytest.fixture
async def delivering(core, board, clock):
    delivery = Delivery(
        outbox=core.outbox,
        store=core.store,
        artifacts=core.artifacts,
        events=core.events,
        platforms={"test": board},
        card_factory=lambda *_: Card(kind=CardKind.INFO),
        compressor=None,
        clock=clock,
    )
    task = asyncio.create_task(delivery.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def done(bench):
    job = await bench.submit()
    await bench.executor.started()
    bench.executor.finish()
    return await bench.reached(job.id, JobState.DONE)


async def settled(core, job, clock):
    async with asyncio.timeout(180):
        while True:
            act = await core.outbox.get(job.id, ActKind.REMOVAL)
            if act.shown == act.wanted:
                return act
            clock.advance(2)
            await asyncio.sleep(0.01)


async def test_the_message_with_the_file_goes_and_the_card_stays(
    bench, core, board, clock, delivering
):
    job = await done(bench)
    assert set(board.shown) == {f"{job.id}:card", f"{job.id}:clip"}
    await core.jobs.remove(job.id, tenant=job.tenant)
    await settled(core, job, clock)
    assert set(board.shown) == {f"{job.id}:card"}


async def test_a_removal_is_tried_until_the_platform_takes_it(
    bench, core, board, clock, delivering
):
    job = await done(bench)
    board.trouble = [DeliveryError("delivery.disk", transient=True, problem="busy")] * 2
    await core.jobs.remove(job.id, tenant=job.tenant)
    await settled(core, job, clock)
    assert set(board.shown) == {f"{job.id}:card"}


async def test_a_removal_that_is_refused_for_good_is_given_up(
    bench, core, board, clock, delivering
):
    job = await done(bench)
    board.trouble = [DeliveryError("delivery.thread_gone", transient=False)]
    await core.jobs.remove(job.id, tenant=job.tenant)
    async with asyncio.timeout(180):
        while await core.outbox.list_due(["test"], busy=[], limit=1):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    assert f"{job.id}:clip" in board.shown
    assert board.trouble == []
