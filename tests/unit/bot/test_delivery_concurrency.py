"""What hangs must hold up nothing but itself: a chat, a guild in it, or a kind of work."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from bot.delivery.concurrency import LIMITS, DeliveryPool, tenant_limit
from bot.delivery.delivery import Delivery
from commands.text.card import Card, CardKind
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from tests.fakes.executor import FakeSlot
from tests.fakes.orders import an_order

pytestmark = pytest.mark.deep

MANY = sum(LIMITS.values()) + 1


class Chat:
    """A platform that answers, except what is in `hangs`: that it never does."""

    def __init__(self, name, *hangs):
        self.name = name
        self.hangs = set(hangs)
        self.hangs_for = {}
        """The same for one tenant."""
        self.hanging = 0
        self.shown = {}
        self.changed = asyncio.Event()

    async def upload_limit(self, job):
        return 1 << 20

    async def post(self, message, remember):
        await self._answer(message.kind, message.job)
        self.shown[message.key] = message.job.state
        return {"message": message.key}

    async def edit(self, receipt, message):
        await self._answer("edit", message.job)
        self.shown[receipt["message"]] = message.job.state

    async def remove(self, receipt, job):
        await self._answer(ActKind.REMOVAL, job)
        del self.shown[receipt["message"]]

    async def find(self, message):
        return None

    async def _answer(self, what, job):
        self.changed.set()
        if what in {*self.hangs, self.hangs_for.get(job.tenant)}:
            self.hanging += 1
            await asyncio.Event().wait()

    async def until(self, reached):
        async with asyncio.timeout(180):
            while not reached():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.02)


@pytest.fixture
def executor():
    return FakeSlot(automatic=True)


@contextlib.asynccontextmanager
async def delivering(bench, *chats):
    core = bench.core
    delivery = Delivery(
        outbox=core.outbox,
        store=core.store,
        artifacts=core.artifacts,
        events=core.events,
        platforms={chat.name: chat for chat in chats},
        card_factory=lambda *_: Card(kind=CardKind.INFO),
        compressor=None,
        clock=bench.clock,
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def clips(chat):
    return sum(key.endswith("clip") for key in chat.shown)


@pytest.mark.cases(1)
@pytest.mark.parametrize("hangs", [ActKind.CARD, ActKind.CLIP, "edit"])
async def test_a_chat_that_hangs_for_ever_does_not_hold_up_the_clips_of_another(bench, hangs):
    async with bench.open():
        stuck, well = Chat("stuck", hangs), Chat("test")
        async with delivering(bench, stuck, well):
            for number in range(MANY):
                order = an_order(tenant=f"guild:{number}")
                await bench.core.jobs.submit(replace(order, platform="stuck"))
            await stuck.until(lambda: stuck.hanging >= LIMITS[DeliveryPool.UPLOADS])

            job = await bench.submit()
            await well.until(lambda: clips(well) == 1)

            await well.until(lambda: well.shown[f"{job.id}:card"] is JobState.DONE)


@pytest.mark.slow
async def test_uploads_that_hang_do_not_hold_up_the_cards_of_the_same_chat(bench):
    async with bench.open():
        chat = Chat("test", ActKind.CLIP)
        async with delivering(bench, chat):
            for number in range(MANY):
                await bench.submit(tenant=f"guild:{number}")
            await chat.until(lambda: chat.hanging == LIMITS[DeliveryPool.UPLOADS])

            job = await bench.submit()

            await chat.until(lambda: chat.shown.get(f"{job.id}:card") is JobState.DELIVERING)
            assert chat.hanging == LIMITS[DeliveryPool.UPLOADS]


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("kind", "pool"), [(ActKind.CARD, DeliveryPool.CARDS), (ActKind.CLIP, DeliveryPool.UPLOADS)]
)
async def test_a_guild_that_hangs_does_not_hold_up_another_of_its_chat(bench, kind, pool):
    async with bench.open():
        chat = Chat("test")
        chat.hangs_for["guild:hung"] = kind
        async with delivering(bench, chat):
            for _ in range(MANY):
                await bench.submit(tenant="guild:hung")
            await chat.until(lambda: chat.hanging == tenant_limit(pool))

            job = await bench.submit(tenant="guild:well")

            await chat.until(lambda: chat.shown.get(f"{job.id}:card") is JobState.DONE)
            assert chat.hanging == tenant_limit(pool)


async def test_uploads_and_cards_that_hang_do_not_hold_up_a_removal(bench):
    async with bench.open() as core:
        chat = Chat("test")
        async with delivering(bench, chat):
            old = await bench.submit()
            await bench.reached(old.id, JobState.DONE)
            await chat.until(lambda: chat.shown[f"{old.id}:card"] is JobState.DONE)
            chat.hangs = {ActKind.CARD, ActKind.CLIP}
            for number in range(MANY):
                await bench.submit(tenant=f"guild:{number}")
            await chat.until(lambda: chat.hanging == LIMITS[DeliveryPool.CARDS])

            await core.jobs.remove(old.id, tenant=old.tenant)

            await chat.until(lambda: f"{old.id}:clip" not in chat.shown)


async def test_a_job_has_one_message_under_way_and_the_card_comes_first(bench):
    async with bench.open():
        chat = Chat("test")
        chat.hangs_for = {"guild:hung": ActKind.CARD}
        async with delivering(bench, chat):
            job = await bench.submit(tenant="guild:hung")
            await bench.reached(job.id, JobState.DELIVERING)
            await chat.until(lambda: chat.hanging == 1)

            bench.clock.advance(1)
            other = await bench.submit(tenant="guild:well")
            await chat.until(lambda: f"{other.id}:clip" in chat.shown)  # all was looked at since

            assert chat.hanging == 1
            assert not any(key.startswith(job.id) for key in chat.shown)
