"""Two processes with one token and a data folder each: every request is served by one of them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import aiohttp
import pytest

from bot.discord.inbound import answers
from bot.discord.shared_token import HEALTH_KEY
from commands.actions import Action, ButtonId
from tests.scenario.discord_studio import SECONDS, eventually, installation
from tests.scenario.discord_verdict import stem

pytestmark = pytest.mark.process

FOX = "a fox --res 360p --frames 49"


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        yield place


@contextlib.asynccontextmanager
async def shared_token(place, **models):
    """Run a second bot beside the first, both connected."""
    other = replace(place, directory=place.directory.with_name("other"))
    async with place.bot(**models) as one, other.bot(**models) as two:
        apps = (one, two)
        await eventually(lambda: all(app.platforms["discord"].connected for app in apps))
        yield apps


async def jobs_of(app):
    return await app.core.database.read("SELECT id, state FROM jobs WHERE forget = 0")


async def none_left(app):
    """Wait until no job is left."""
    async with asyncio.timeout(SECONDS):
        while await jobs_of(app):  # noqa: ASYNC110 - a database sets no event
            await asyncio.sleep(0.02)


def cards(place):
    return place.discord.witness.in_channel(place.general)


def clips(place):
    return [message for message in place.discord.witness.messages if stem(message)]


def seen(*apps) -> bool:
    return any(HEALTH_KEY in app.services.health.problems for app in apps)


@pytest.mark.slow
@pytest.mark.parametrize("thinking", [False, True])
async def test_three_requests_make_three_cards_and_three_clips(place, monkeypatch, thinking):
    if thinking:
        monkeypatch.setattr(answers, "PROMPT_SECONDS", 0.0)
    async with shared_token(place) as apps:
        for number in range(3):
            asked = place.alice.slash(place.general, "generate", prompt=f"{number} foxes {FOX}")
            card = await asked.response()
            await place.clip(card)
            await place.done(card)
        await eventually(lambda: seen(*apps))

        async def kept():
            return [job for app in apps for job in await jobs_of(app)]

        async with asyncio.timeout(SECONDS):
            while len(await kept()) != 3:  # noqa: ASYNC110 - a database sets no event
                await asyncio.sleep(0.02)
        assert {job["state"] for job in await kept()} == {"done"}
    assert len(cards(place)) == len(clips(place)) == 3
    # Nothing was left for a next start either.
    async with shared_token(place):
        pass
    assert len(cards(place)) == len(clips(place)) == 3


@pytest.mark.slow
async def test_presses_reach_the_host_that_knows_the_job(place):
    async with shared_token(place) as apps:
        for number in range(4):
            asked = place.alice.slash(place.general, "image", prompt=f"{number} foxes")
            clip = await place.clip(await asked.response())
            told = await place.alice.click(clip, "Info").response()
            assert "seed" in told.text
            opened = place.alice.click(clip, "Edit")
            assert await opened.form()
            reused = place.alice.context_menu(clip, "Use these settings")
            assert await reused.form()
            edited = await place.alice.submit(opened, prompt=f"{number} bears").response()
            assert f"{number} bears" in edited.text
            await place.done(edited)
        await eventually(lambda: seen(*apps))
    assert len(clips(place)) == 8


@pytest.mark.tour
async def test_a_job_that_runs_already_is_stopped_and_leaves_nothing(place):
    async with place.bot(step_seconds=30.0) as app:
        # As if another process had been faster, and Discord slow to say so.
        runs = asyncio.Event()
        place.discord.trouble(r"POST /interactions/", status=400, code=40060, until=runs)
        place.alice.slash(place.general, "generate", prompt=FOX)
        await eventually(lambda: app.core.dispatcher.active)
        runs.set()
        await eventually(lambda: seen(app))
        await eventually(lambda: not app.core.dispatcher.active)
        await none_left(app)
    assert cards(place) == []


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    "fault",
    [
        {"reset": True, "taken": True},
        {"status": 500, "taken": True},
        {"status": 503, "taken": True, "times": 2},
    ],
    ids=str,
)
async def test_an_own_answer_that_was_lost_is_nobody_elses(place, fault):
    async with place.bot() as app:
        place.discord.trouble(r"POST /interactions/", **fault)
        card = await place.alice.slash(place.general, "generate", prompt=FOX).response()
        await place.clip(card)
        await place.done(card)
        assert not seen(app)
        assert len(await jobs_of(app)) == 1
    assert cards(place) == [card]


async def answer_as_another_host(place, interaction) -> None:
    """Answer an interaction with the card of a job that our bot does not know."""
    cancel = ButtonId(action=Action.CANCEL, job="OTHERJOB01").encode()
    button = {"type": 2, "style": 2, "label": "Cancel", "custom_id": cancel}
    data = {"content": "OTHERJOB01", "components": [{"type": 1, "components": [button]}]}
    url = f"{place.discord.api_url}/interactions/{interaction.id}/{interaction.token}/callback"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"type": 4, "data": data}) as answered,
    ):
        assert answered.status == 204


@pytest.mark.tour
async def test_an_own_answer_that_never_arrived_gives_way_to_the_one_that_did(place):
    async with place.bot() as app:
        # Our first try is lost on its way; the second one finds the other host's answer.
        answered = asyncio.Event()
        place.discord.trouble(r"POST /interactions/", until=answered, reset=True)
        asked = place.alice.slash(place.general, "generate", prompt=FOX)
        requests = place.discord.witness.requests
        await eventually(lambda: any("/callback" in request.path for request in requests))
        await answer_as_another_host(place, asked)
        answered.set()
        await eventually(lambda: seen(app))
        await none_left(app)
    assert [card.content for card in cards(place)] == ["OTHERJOB01"]
    assert clips(place) == []


async def test_what_somebody_else_suggests_is_noticed_too(place):
    async with place.bot() as app:
        place.discord.trouble(r"POST /interactions/", status=400, code=40060)
        place.alice.complete(place.general, "rushes status", "job", "f")
        await eventually(lambda: seen(app))
