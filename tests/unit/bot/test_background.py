"""Background loops of the bot: one bad item, or one chat that hangs, stops none of them."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from bot.control.events import EventStream
from bot.delivery.delivery import Delivery
from bot.delivery.live_updates import LiveUpdates
from bot.terminal.platform import MessageEvent, TerminalPlatform
from commands.text.card import Card, CardKind
from inference.domain.errors import StoreError
from inference.domain.events import EventBus, JobEvent
from inference.domain.job import JobState
from inference.domain.outbox import ActKind
from inference.domain.render import Progress, Stage
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job

CARD = Card(kind=CardKind.INFO)


async def until(reached):
    async with asyncio.timeout(180):
        while not reached():  # noqa: ASYNC110 - nobody tells us, so look
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(work):
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# -- delivery --------------------------------------------------------------------------------


class Board:
    name = "test"

    def __init__(self):
        self.posted = []

    async def upload_limit(self, job):
        return 1 << 20

    async def post(self, message, remember):
        self.posted.append(message.key)
        return {"message": message.key}

    async def edit(self, receipt, message):
        pass

    async def find(self, message):
        return None


@pytest.mark.parametrize("name", ["list_due_by_pool", "next_by_pool"])
@pytest.mark.parametrize("error", [LookupError("a prompt"), StoreError("store.busy", path="")])
async def test_delivery_survives_what_the_outbox_raises(bench, monkeypatch, name, error):
    async with bench.open() as core:
        board, real, failed = Board(), getattr(core.outbox, name), []

        async def instead(*args, **kwargs):
            if len(failed) < 3:
                failed.append(error)
                raise error
            return await real(*args, **kwargs)

        monkeypatch.setattr(core.outbox, name, instead)
        delivery = Delivery(
            outbox=core.outbox,
            store=core.store,
            artifacts=core.artifacts,
            events=core.events,
            platforms={"test": board},
            card_factory=lambda *_: CARD,
            compressor=None,
            clock=bench.clock,
        )
        async with running(delivery.run()):
            job = await bench.submit()
            for pause in (0.5, 1.0):
                await bench.clock.asleep(pause)
                bench.clock.advance(pause)

            await until(lambda: f"{job.id}:card" in board.posted)


async def test_delivery_survives_a_write_that_fails_unexpectedly(bench, monkeypatch):
    async with bench.open() as core:
        board, real, bad = Board(), core.outbox.mark_sent, []

        async def sent(act, receipt):
            if act.job_id == bad[0]:
                raise LookupError
            return await real(act, receipt)

        async def retry(act, *, at):
            raise LookupError

        monkeypatch.setattr(core.outbox, "mark_sent", sent)
        monkeypatch.setattr(core.outbox, "retry", retry)
        delivery = Delivery(
            outbox=core.outbox,
            store=core.store,
            artifacts=core.artifacts,
            events=core.events,
            platforms={"test": board},
            card_factory=lambda *_: CARD,
            compressor=None,
            clock=bench.clock,
        )
        bad.append((await bench.submit()).id)
        async with running(delivery.run()) as task:
            await until(lambda: board.posted)
            good = await bench.submit()

            await until(lambda: f"{good.id}:card" in board.posted)
            assert not task.done()


# -- live cards ------------------------------------------------------------------------------


def progress(job_id):
    return JobEvent(
        job_id=job_id,
        tenant="guild:a",
        state=JobState.RUNNING,
        progress=Progress(stage=Stage.RENDERING, done=1, total=9),
    )


async def test_a_card_that_hangs_or_fails_holds_up_no_other():
    clock, events, refreshed = ManualClock(), EventBus(), []

    async def refresh(job_id):
        refreshed.append(job_id)
        if job_id == "HANGS":
            await asyncio.Event().wait()
        if job_id == "FAILS":
            raise LookupError("a prompt")

    live = LiveUpdates(
        delivery=SimpleNamespace(refresh=refresh),
        jobs=SimpleNamespace(front=list),
        events=events,
        clock=clock,
    )
    async with running(live.run()):
        await clock.asleep(1.0)
        for job_id in ("HANGS", "FAILS", "WELL"):
            events.publish(progress(job_id))
            await asyncio.sleep(0.01)
            clock.advance(5)
            events.publish(progress(job_id))
            await until(lambda job_id=job_id: job_id in refreshed)


async def test_two_running_jobs_are_both_told_at_their_own_pace():
    clock, events, refreshed = ManualClock(), EventBus(), []

    async def refresh(job_id):
        refreshed.append(job_id)

    live = LiveUpdates(
        delivery=SimpleNamespace(refresh=refresh),
        jobs=SimpleNamespace(front=list),
        events=events,
        clock=clock,
    )
    async with running(live.run()):
        await clock.asleep(1.0)
        for _ in range(12):  # steps of both, half a second apart
            for job_id in ("ONE", "TWO"):
                events.publish(progress(job_id))
            await asyncio.sleep(0.01)
            clock.advance(0.5)
    assert refreshed == ["ONE", "TWO", "ONE", "TWO"]


async def test_a_line_that_cannot_be_told_does_not_end_the_live_cards():
    clock, asked = ManualClock(), []

    def front():
        asked.append(clock.monotonic())
        if len(asked) < 3:
            raise LookupError
        return []

    live = LiveUpdates(
        delivery=None,
        jobs=SimpleNamespace(front=front),
        events=EventBus(),
        clock=clock,
    )
    async with running(live.run()):
        for pause in (1.0, 1.0, 0.5, 1.0):
            await clock.asleep(pause)
            clock.advance(pause)
        await until(lambda: len(asked) == 3)


# -- the terminal's feed ---------------------------------------------------------------------


async def test_a_listener_stays_connected_through_cards_that_cannot_be_told(tmp_path, monkeypatch):
    events, terminal, heard = EventBus(), TerminalPlatform(tmp_path), []
    lines = iter([LookupError("a prompt"), [CARD]])

    async def line():
        told = next(lines, [CARD])
        if isinstance(told, Exception):
            raise told
        return told

    async def send(event):
        heard.append(event)

    feed = EventStream(terminal=terminal, events=events, tenant="guild:a", queue=line)
    with feed.subscribe():
        async with running(feed.run(send, asyncio.Event())):
            job = a_job()
            feed._messages.put_nowait(
                MessageEvent(kind=ActKind.CARD, job=job, card=None, edited=False)
            )
            feed._messages.put_nowait(
                MessageEvent(kind=ActKind.CARD, job=job, card=CARD, edited=False)
            )
            events.publish(progress(job.id))

            await until(lambda: {each["event"] for each in heard} == {"message", "queue"})
