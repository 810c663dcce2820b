"""What the delivery hands to a platform besides the card."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from bot.delivery.delivery import Delivery
from bot.delivery.fallback import PASSING_SECONDS
from commands.text import cards
from commands.text.cards import JobStatus
from inference.domain.errors import DeliveryError, StoreError
from inference.domain.events import JobEvent
from inference.domain.job import JobState
from inference.domain.outbox import ActKind, Route
from inference.domain.output_settings import OutputSettings
from inference.domain.verdict import Outcome, Reason
from tests.fakes.clock import ManualClock
from tests.fakes.moderators import FakeModerator, a_guard
from tests.fakes.orders import an_order, next_at


class Board:
    """A platform that keeps what it is given."""

    name = "test"
    opens_at = None

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


def paint(job, kind, file, together=()):
    if file is not None:
        return cards.clip(job, file, "en")
    return cards.status(job, JobStatus(now=0), "en")


@contextlib.asynccontextmanager
async def delivering(bench, board=None, **wishes):
    board, core = board or Board(), bench.core
    delivery = Delivery(
        outbox=core.outbox,
        store=core.store,
        artifacts=core.artifacts,
        events=core.events,
        platforms={"test": board},
        card_factory=paint,
        compressor=None,
        **{"clock": bench.clock, **wishes},
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield board, delivery
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def an_open_minded_order():
    return replace(an_order(), output=OutputSettings(flagged=Outcome.SPOILER))


async def message(queue, wanted):
    """Return the next message that is as wanted."""
    async with asyncio.timeout(180):
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


class Shut(Board):
    """A platform whose places refuse, each for as long as the test wants."""

    def __init__(self):
        super().__init__()
        self.refusals = {}
        self.tries = []

    async def post(self, message, remember):
        self.tries.append((message.kind, message.route))
        refusal = self.refusals.get(message.route)
        if refusal is not None and message.kind is ActKind.CLIP:
            raise refusal
        return await super().post(message, remember)

    async def find(self, message):
        return None


def closed(**more):
    return DeliveryError("delivery.closed", transient=False, unsent=True, **more)


async def delivered_clip(bench, board):
    """Finish one job, and let time pass until its clip is somewhere."""
    job = await bench.core.jobs.submit(an_order())
    await bench.executor.started()
    bench.executor.finish()
    async with asyncio.timeout(180):
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    return await message(board.posted, lambda each: each.file is not None)
            if board.opens_at is not None and bench.clock.now() >= board.opens_at:
                board.refusals = {}
            due = await next_at(bench.core.outbox)
            if due is None or due <= bench.clock.now():  # it is being done: no time passes
                continue
            bench.clock.advance(max(due - bench.clock.now(), 0.01))
            # Nobody sleeps on the clock of tests: an event makes the delivery look again.
            bench.core.events.publish(JobEvent(job_id=job.id, tenant=job.tenant, state=job.state))


async def test_a_place_that_is_closed_for_minutes_gets_its_clip_when_it_opens(bench):
    async with bench.open(), delivering(bench, board=Shut()) as (board, _):
        board.refusals = dict.fromkeys((Route.THREAD, Route.CHANNEL), closed(passing=True))
        board.opens_at = bench.clock.now() + 600

        clip = await delivered_clip(bench, board)

        assert clip.route is Route.THREAD
        assert "why" not in clip.trace
        assert (ActKind.CLIP, Route.DIRECT) not in board.tries


async def test_a_place_that_stays_closed_for_an_hour_loses_its_clip_to_the_next(bench):
    async with bench.open(), delivering(bench, board=Shut()) as (board, _):
        refusal = closed(passing=True, why="discord.why.channel_closed")
        board.refusals = dict.fromkeys((Route.THREAD, Route.CHANNEL), refusal)
        begun = bench.clock.now()

        clip = await delivered_clip(bench, board)

        assert clip.route is Route.DIRECT
        assert clip.trace["why"] == "discord.why.channel_closed"
        assert bench.clock.now() - begun >= PASSING_SECONDS[Route.CHANNEL]
        assert len(board.tries) < 300


@pytest.mark.parametrize(("passing", "least", "most"), [(True, 30, 120), (False, 0, 30)])
async def test_a_thread_that_takes_nothing_moves_its_clip_to_the_channel_soon_and_says_why(
    bench, passing, least, most
):
    async with bench.open(), delivering(bench, board=Shut()) as (board, _):
        board.refusals = {Route.THREAD: closed(passing=passing, why="discord.why.thread_closed")}
        begun = bench.clock.now()

        clip = await delivered_clip(bench, board)

        assert (clip.route, clip.trace["why"]) == (Route.CHANNEL, "discord.why.thread_closed")
        assert least <= bench.clock.now() - begun <= most


async def test_a_place_that_is_gone_is_left_at_once(bench):
    async with bench.open(), delivering(bench, board=Shut()) as (board, _):
        board.refusals = dict.fromkeys((Route.THREAD, Route.CHANNEL), closed())
        begun = bench.clock.now()

        clip = await delivered_clip(bench, board)

        assert clip.route is Route.DIRECT
        assert bench.clock.now() - begun < 120


async def test_a_message_that_was_certainly_refused_is_not_looked_for(bench):
    looked = []

    class Busy(Shut):
        async def find(self, message):
            looked.append(message.key)

    async with bench.open(), delivering(bench, board=Busy()) as (board, _):
        busy = DeliveryError("delivery.busy", transient=True, retry_after=20, unsent=True)
        board.refusals = {Route.THREAD: busy}
        board.opens_at = bench.clock.now() + 60

        clip = await delivered_clip(bench, board)

        assert clip.route is Route.THREAD
        assert looked == []


class Hasty(ManualClock):
    """A clock whose sleepers are woken at once."""

    def __init__(self):
        super().__init__()
        self.pauses = asyncio.Queue()

    async def sleep(self, seconds):
        self.pauses.put_nowait(seconds)
        await asyncio.sleep(0)


async def test_a_card_is_edited_ever_more_rarely_while_the_database_takes_no_writes(
    bench, monkeypatch
):
    class Posted(Board):
        async def post(self, message, remember):
            monkeypatch.setattr(core.outbox._database, "write", refused)
            return await super().post(message, remember)

        async def find(self, message):
            return {"message": message.key}

    async def refused(*_, **__):
        raise StoreError("store.full", path="")

    clock = Hasty()
    async with bench.open() as core, delivering(bench, Posted(), clock=clock) as (board, _):
        await core.jobs.submit(an_order())
        async with asyncio.timeout(180):
            pauses = [await clock.pauses.get() for _ in range(10)]
            edits = board.edited.qsize()
            monkeypatch.undo()
            while await next_at(core.outbox) is not None:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)

    assert board.posted.qsize() == 1
    assert edits <= len(pauses)
    assert pauses[0] < 2
    assert sum(pauses) > 200
    assert max(pauses) < 120
