"""A file that is too large is made smaller a few times only, and then kept with a sentence."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from bot.delivery.compression import FITS, FITS_WITHOUT_MACHINE
from bot.delivery.delivery import FAILURES, Delivery
from commands.text import cards
from commands.text.cards import JobStatus
from inference.domain.errors import DeliveryError, EngineError
from inference.domain.job import KEPT_TOO_LARGE, JobState
from inference.domain.outbox import ActKind, Route
from inference.media.results import STILL, Fitted, Rung
from tests.fakes.executor import FakeSlot


class Chat:
    """Takes files of at most `limit` bytes, whatever it says about its limit."""

    name = "test"

    def __init__(self, limit=1, claimed=None):
        self.limit, self.claimed = limit, claimed or limit
        self.posted, self.shown = [], {}
        self.error = None

    async def upload_limit(self, job):
        return self.claimed

    async def post(self, message, remember):
        if self.error is not None and message.kind is self.error[0]:
            raise self.error[1]
        if message.file is not None:
            size = (await asyncio.to_thread(message.file.stat)).st_size
            self.posted.append(size)
            if size > self.limit:
                raise DeliveryError("delivery.too_large", transient=False)
        self.shown[message.kind] = message.card
        return {"message": message.key}

    async def edit(self, receipt, message):
        self.shown[message.kind] = message.card

    async def find(self, message):
        return None


class Ladder:
    """Makes files exactly as large as they may be, or raises what `errors` says, first to last."""

    def __init__(self, *errors, always=None):
        self.errors, self.always = list(errors), always
        self.calls = []

    async def fit(self, source, limit, directory, *, first=0):
        self.calls.append((limit, first))
        if self.errors or self.always:
            raise self.errors.pop(0) if self.errors else self.always
        path = directory / f"clip.fit-{limit}.jpg"
        await asyncio.to_thread(path.write_bytes, b"x" * limit)
        return Fitted(path=path, rung=Rung.STILL, width=2, height=2)


def paint(job, kind, file, together=()):
    if kind is ActKind.NOTICE:
        return cards.failure(job, "en")
    if file is not None:
        return cards.clip(job, file, "en")
    return cards.status(job, JobStatus(now=0), "en")


@pytest.fixture
def executor():
    return FakeSlot(automatic=True)


@contextlib.asynccontextmanager
async def delivering(core, clock, chat, ladder, card_factory=paint):
    delivery = Delivery(
        outbox=core.outbox,
        store=core.store,
        artifacts=core.artifacts,
        events=core.events,
        platforms={"test": chat},
        card_factory=card_factory,
        compressor=ladder,
        clock=clock,
    )
    task = asyncio.create_task(delivery.run())
    passing = asyncio.create_task(pass_time(clock, delivery))
    try:
        yield
    finally:
        for each in (task, passing):
            each.cancel()
        await asyncio.gather(task, passing, return_exceptions=True)


async def pass_time(clock, delivery):
    """Let hours pass while nothing else happens, waking the delivery."""
    while True:
        await asyncio.sleep(0.01)
        clock.advance(60)
        delivery._wake.set()


def words(card):
    return " ".join(str(part) for line in card.lines for part in line)


async def until(reached):
    async with asyncio.timeout(180):
        while not reached():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def ended(bench, job):
    return await bench.reached(job.id, JobState.DONE, JobState.FAILED)


FAILED = EngineError("media.failed", transient=True)


async def test_a_ladder_that_always_fails_is_tried_a_few_times_and_the_file_is_kept(bench):
    async with bench.open() as core:
        chat, ladder = Chat(), Ladder(always=FAILED)
        async with delivering(core, bench.clock, chat, ladder):
            job = await ended(bench, await bench.submit())

            assert job.state is JobState.DONE
            assert job.notes == (KEPT_TOO_LARGE,)
            assert [first for _, first in ladder.calls] == list(range(FITS))
            assert chat.posted == []
            assert (await core.outbox.get(job.id, ActKind.CLIP)).route is Route.KEPT
            await until(lambda: "/rushes show" in words(chat.shown[ActKind.CARD]))


@pytest.mark.parametrize("code", ["file.too_large", "file.unreadable"])
async def test_what_no_further_try_can_mend_is_kept_at_once(bench, code):
    async with bench.open() as core:
        chat, ladder = Chat(), Ladder(always=EngineError(code, limit=1, path=""))
        async with delivering(core, bench.clock, chat, ladder):
            job = await ended(bench, await bench.submit())

            assert (job.state, job.notes) == (JobState.DONE, (KEPT_TOO_LARGE,))
            assert len(ladder.calls) == 1


async def test_after_a_failure_the_next_try_begins_lower_and_is_posted(bench):
    async with bench.open() as core:
        chat, ladder = Chat(5), Ladder(FAILED)
        async with delivering(core, bench.clock, chat, ladder):
            job = await ended(bench, await bench.submit())

            assert (job.state, job.notes) == (JobState.DONE, ())
            assert (ladder.calls, chat.posted) == ([(5, 0), (5, 1)], [5])


async def test_the_tries_are_counted_over_restarts(bench, clock):
    calls = []
    async with bench.open() as core:
        job = await bench.submit()
        await bench.reached(job.id, JobState.DELIVERING)
    for _ in range(FITS + 1):
        async with bench.open() as core:
            begun = asyncio.Event()

            class Killed(Ladder):
                async def fit(self, source, limit, directory, *, first=0, begun=begun):
                    calls.append(first)
                    begun.set()
                    await asyncio.Event().wait()

            async with delivering(core, clock, Chat(), Killed()):
                over = asyncio.create_task(bench.reached(job.id, JobState.DONE))
                under_way = asyncio.create_task(begun.wait())
                await asyncio.wait([over, under_way], return_when=asyncio.FIRST_COMPLETED)
                under_way.cancel()
                over.cancel()

    assert calls == list(range(FITS))
    assert calls[STILL] == STILL


async def test_a_fault_of_the_machine_is_no_try(bench):
    async with bench.open() as core:
        fault = EngineError("media.unavailable", transient=True)
        chat, ladder = Chat(5), Ladder(*[fault] * (FITS + 3))
        async with delivering(core, bench.clock, chat, ladder):
            job = await ended(bench, await bench.submit())

            assert (job.notes, chat.posted) == ((), [5])


@pytest.mark.cases(1)
@pytest.mark.parametrize("code", ["disk.full", "media.unavailable"])
async def test_a_machine_that_never_recovers_keeps_the_file_too(bench, code):
    async with bench.open() as core:
        chat = Chat(5)
        ladder = Ladder(always=EngineError(code, transient=True, path=""))
        async with delivering(core, bench.clock, chat, ladder):
            job = await ended(bench, await bench.submit())

            assert (job.notes, chat.posted) == ((KEPT_TOO_LARGE,), [])
            assert len(ladder.calls) == FITS_WITHOUT_MACHINE


async def test_a_ladder_that_never_answers_is_given_up(bench, monkeypatch):
    monkeypatch.setattr("bot.delivery.compression.SHRINK_SECONDS", 0.01)
    async with bench.open() as core:
        chat, ladder = Chat(5), Ladder()

        async def fit(source, limit, directory, *, first=0):
            ladder.calls.append(first)
            await asyncio.Event().wait()

        ladder.fit = fit
        async with delivering(core, bench.clock, chat, ladder):
            job = await ended(bench, await bench.submit())

            assert job.notes == (KEPT_TOO_LARGE,)
            assert ladder.calls == list(range(FITS))


async def test_a_chat_that_refuses_every_size_ends_soon(bench):
    async with bench.open() as core:
        chat, ladder = Chat(limit=-1, claimed=1 << 20), Ladder()
        chat.limit = 0

        async def fit(source, limit, directory, *, first=0):
            if limit < 3:
                raise EngineError("file.too_large", limit=limit)
            return await Ladder.fit(ladder, source, limit, directory)

        ladder.fit = fit
        async with delivering(core, bench.clock, chat, ladder):
            job = await ended(bench, await bench.submit())

            assert job.notes == (KEPT_TOO_LARGE,)
            assert chat.posted == sorted(chat.posted, reverse=True)
            assert len(chat.posted) < 10


async def test_a_clip_that_cannot_be_sent_for_a_bug_fails_its_job_with_a_reference(bench):
    async with bench.open() as core:
        chat = Chat(1 << 20)
        chat.error = (ActKind.CLIP, RuntimeError("a secret prompt"))
        async with delivering(core, bench.clock, chat, Ladder()):
            job = await ended(bench, await bench.submit())

            assert (job.state, job.failure.code) == (JobState.FAILED, "internal")
            assert job.failure.params == {"job": job.id}
            await until(lambda: ActKind.NOTICE in chat.shown)


async def test_a_card_that_cannot_be_drawn_keeps_no_clip_back(bench, capsys):
    tries, secret = [], "a secret prompt"

    def fails_on_cards(job, kind, file, together=()):
        if kind is ActKind.CARD:
            tries.append(job.state)
            raise LookupError(secret)
        return paint(job, kind, file)

    async with bench.open() as core:
        chat = Chat(1 << 20)
        async with delivering(core, bench.clock, chat, Ladder(), fails_on_cards):
            job = await ended(bench, await bench.submit())

            assert job.state is JobState.DONE
            assert ActKind.CLIP in chat.shown
    assert len(tries) >= FAILURES
    printed = capsys.readouterr()
    assert "delivery.bug" in printed.out + printed.err
    assert secret not in printed.out + printed.err


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
@pytest.mark.cases(2)
async def test_a_clip_arrives_although_the_clock_is_set_while_it_waits(bench, days):
    async with bench.open() as core:
        chat = Chat(1 << 20)
        chat.error = (ActKind.CLIP, DeliveryError("delivery.away", transient=True))
        async with delivering(core, bench.clock, chat, Ladder()):
            job = await bench.submit()
            await until(lambda: ActKind.CARD in chat.shown)
            await bench.reached(job.id, JobState.DELIVERING)
            bench.clock.jump(days * 86_400)
            begun = bench.clock.monotonic()
            chat.error = None

            job = await ended(bench, job)

            assert (job.state, ActKind.CLIP in chat.shown) == (JobState.DONE, True)
            assert bench.clock.monotonic() - begun < 3600
