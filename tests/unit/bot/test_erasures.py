"""Who asked to be forgotten is told in the end, whatever happened in between."""

from __future__ import annotations

import asyncio

import pytest

from bot.delivery.erasures import ErasureNotices
from commands.policy.erasures import ErasureRequest
from commands.policy.stores import TABLES, make_policy
from commands.text.card import plain
from inference.clock import SystemClock
from inference.domain.errors import DeliveryError
from inference.domain.job import Requester
from inference.domain.outbox import Route
from inference.store.sqlite.database import open_database
from tests.fakes.jobs import FakeJobs
from tests.fakes.options import OPTIONS

WHOSE = ("discord:1", "ada")


class Chat:
    """Takes messages, or raises what it was given."""

    name = "discord"

    def __init__(self):
        self.posted = []
        self.refusals = []

    async def post(self, message, remember):
        if self.refusals:
            raise self.refusals.pop(0)
        self.posted.append(message)
        return {}


@pytest.fixture
def chat():
    return Chat()


@pytest.fixture
def jobs():
    return FakeJobs()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rules.sqlite3"


@pytest.fixture
async def policy(path):
    async with open_database(path, TABLES) as database:
        yield make_policy(database, SystemClock(), OPTIONS)


def erasure(locale="en"):
    return ErasureRequest(
        tenant=WHOSE[0],
        person=Requester(id=WHOSE[1], name="Ada"),
        platform="discord",
        address={"channel": 5},
        locale=locale,
    )


class OneLook(SystemClock):
    """Never comes to a second look."""

    def __init__(self):
        self.looked = asyncio.Event()

    async def sleep(self, seconds):
        self.looked.set()
        await asyncio.Event().wait()


def notices(policy, jobs, chat, clock=None):
    platforms = {"discord": chat}
    clock = clock or SystemClock()
    return ErasureNotices(policy=policy, jobs=jobs, platforms=platforms, clock=clock)


async def erased(policy, **kept):
    begun = erasure(**kept)
    await policy.erasures.begin(begun)
    await policy.erasures.mark_erased(begun.id)
    return begun


async def test_it_is_told_once_when_the_last_job_has_gone(policy, jobs, chat):
    begun = await erased(policy)
    telling = notices(policy, jobs, chat)
    jobs.being_erased.add(WHOSE)
    await telling.tell()
    assert chat.posted == []
    jobs.being_erased.clear()
    await telling.tell()
    await telling.tell()
    [message] = chat.posted
    assert plain(message.card).startswith("All your jobs here are deleted now")
    assert (message.route, message.key) == (Route.DIRECT, f"{begun.id}:notice")
    assert (message.job.address, message.job.requester.id) == ({"channel": 5}, "ada")
    assert await policy.erasures.open() == []


async def test_it_is_told_in_the_language_of_who_asked(policy, jobs, chat):
    await erased(policy, locale="ko")
    await notices(policy, jobs, chat).tell()
    assert "모두 삭제했어요" in plain(chat.posted[0].card)


@pytest.mark.parametrize(("transient", "posted"), [(True, 1), (False, 0)])
async def test_a_chat_that_is_away_is_tried_again_and_one_that_refuses_is_not(
    policy, chat, transient, posted
):
    await erased(policy)
    chat.refusals = [DeliveryError("delivery.closed", transient=transient, reason="no")]
    telling = notices(policy, FakeJobs(), chat)
    await telling.tell()
    await telling.tell()
    assert len(chat.posted) == posted
    assert await policy.erasures.open() == []
    # Who takes no message hears it with the answer to their next command.
    assert await policy.erasures.take_untold(*WHOSE) is not transient
    assert not await policy.erasures.take_untold(*WHOSE)


async def test_a_restart_in_between_ends_the_erasure_and_tells(path, jobs, chat):
    async with open_database(path, TABLES) as database:
        policy = make_policy(database, SystemClock(), OPTIONS)
        await policy.erasures.begin(erasure())  # and the process died
    async with open_database(path, TABLES) as database:
        policy = make_policy(database, SystemClock(), OPTIONS)
        asked = []
        forget = jobs.forget

        async def forgotten(**whose):
            asked.append(whose)
            return await forget(**whose)

        jobs.forget = forgotten
        clock = OneLook()
        running = asyncio.create_task(notices(policy, jobs, chat, clock).run())
        async with asyncio.timeout(180):
            await clock.looked.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert await policy.erasures.open() == []
    assert asked == [{"tenant": WHOSE[0], "requester_id": WHOSE[1]}]
    assert len(chat.posted) == 1
