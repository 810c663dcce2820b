"""What every chat promises the outbox: posted once, found again, edited, taken back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from bot.discord.address import Address as DiscordAddress
from bot.platform import Outgoing
from bot.slack.address import Address as SlackAddress
from bot.terminal.platform import Address as TerminalAddress
from bot.terminal.platform import TerminalPlatform
from commands.text.card import Attachment, Card, CardKind, Person
from inference.domain.errors import DeliveryError, RushesError
from inference.domain.outbox import ActKind, Route
from tests.fakes.orders import a_job
from tests.fakes.slack import LoopbackSlack
from tests.scenario.discord_studio import installation
from tests.scenario.slack_house import House, declared

EXAMPLES = Path(__file__).parents[2] / "examples"
HOUR = 3600


class World:
    """A platform that is connected, a job on it, and what people there can see."""

    def __init__(self, platform, address, texts, directory):
        self.platform, self.texts = platform, texts
        self.job = a_job(platform=platform.name, address=address)
        self._directory = directory
        self.kept = {"begun": time.time()}  # the outbox notes that before it posts
        self.finds_cards = platform.name != "slack"
        """Slack lets an app ask for files only, without reading the channels of others."""

    async def remember(self, trace):
        self.kept |= trace

    def card(self, words="in the queue"):
        """The job's card."""
        shown = Card(
            kind=CardKind.WAITING,
            title="a fox",
            owner=Person(id="7", name="ada"),
            lines=((words,),),
            job=self.job.id,
        )
        return Outgoing(
            key=f"{self.job.id}:card",
            kind=ActKind.CARD,
            job=self.job,
            card=shown,
            route=Route.CHANNEL,
            trace=dict(self.kept),
        )

    def clip(self, card_receipt):
        """The message with its file."""
        path = self._directory / "clip.mp4"
        path.write_bytes(b"frames" * 100)
        file = Attachment(path=path, name=f"{self.job.id}.mp4", description="a fox")
        shown = Card(kind=CardKind.CLIP, lines=(("here it is",),), attachment=file, job=self.job.id)
        return Outgoing(
            key=f"{self.job.id}:clip",
            kind=ActKind.CLIP,
            job=self.job,
            card=shown,
            route=Route.CHANNEL,
            card_receipt=card_receipt,
            trace=dict(self.kept),
        )

    async def post(self, message):
        return await self.platform.post(message, self.remember)


@contextlib.asynccontextmanager
async def terminal(directory):
    platform = TerminalPlatform(directory / "threads")
    address = asdict(TerminalAddress(guild="studio", directory="/"))

    def texts():
        return [
            json.loads(line)["text"]
            for log in directory.glob("threads/*/*/thread.jsonl")
            for line in log.read_text().splitlines()
        ] + [path.read_text() for path in directory.glob("threads/*/*/card.txt")]

    yield World(platform, address, texts, directory)


@contextlib.asynccontextmanager
async def discord(directory):
    async with installation(directory / "data") as place, place.bot() as app:
        address = DiscordAddress(
            channel=place.general.id,
            user=place.alice.user.id,
            guild=place.guild.id,
            application=1,
            # Asked an hour ago: its answer cannot be reached any more.
            interaction=int((time.time() - HOUR - 1_420_070_400) * 1000) << 22,
            token="x",  # noqa: S106 - it is of no use
        )
        place.discord.api.limits.on = False

        def texts():
            return [message.text for message in place.discord.witness.in_channel(place.general)]

        yield World(app.platforms["discord"], asdict(address), texts, directory)


@contextlib.asynccontextmanager
async def slack(directory):
    async with LoopbackSlack(application=declared(), ping_seconds=0.05) as loopback:
        team = loopback.add_team("acme")
        team.install()
        ann = team.add_user("ann")
        general = team.add_channel("general", ann)
        section = {"bot_token": team.installation.token}
        house = House(slack=loopback, directory=directory / "data", section=section)
        async with house.open():
            address = SlackAddress(team=team.id, channel=general.id, user=ann.id)

            def texts():
                return [message.words for message in general.messages if not message.deleted]

            yield World(house.platform, asdict(address), texts, directory)


@contextlib.asynccontextmanager
async def lines(directory):
    sys.path.insert(0, str(EXAMPLES))
    try:
        from line_chat import LineChat
    finally:
        sys.path.remove(str(EXAMPLES))
    platform = LineChat(directory / "lines", 0)

    def texts():
        return [json.loads(path.read_text())["text"] for path in directory.glob("lines/*.json")]

    yield World(platform, {}, texts, directory)


@pytest.fixture(
    params=[terminal, pytest.param(discord, marks=pytest.mark.process), slack, lines],
    ids=lambda made: made.__name__,
)
async def world(request, tmp_path):
    async with request.param(tmp_path) as made:
        yield made


def count(world, words):
    return sum(words in text for text in world.texts())


async def test_a_message_is_posted_once_however_often_it_is_tried(world):
    card = await world.post(world.card())
    assert json.loads(json.dumps(card)) == card
    before = count(world, "here it is")
    clip = await world.post(world.clip(card))
    assert json.loads(json.dumps(clip)) == clip
    assert await world.post(world.clip(card)) == clip
    assert count(world, "here it is") == before + 1
    if world.finds_cards:
        told = len(world.texts())
        assert await world.post(world.card()) == card
        assert len(world.texts()) == told


async def test_what_was_posted_is_found_again_and_what_was_not_is_not(world):
    assert await world.platform.find(world.card()) is None
    posted = await world.post(world.card())
    if world.finds_cards:
        assert await world.platform.find(world.card()) == posted
    assert await world.platform.find(world.clip(posted)) is None


async def test_a_card_is_edited_in_its_place(world):
    posted = await world.post(world.card())
    before = len(world.texts())
    await world.platform.edit(posted, world.card("ready in 7 s"))
    assert len(world.texts()) == before
    if world.finds_cards:
        assert await world.platform.find(world.card()) == posted


async def test_a_clip_is_posted_below_its_card_and_taken_back_once(world):
    card = await world.post(world.card())
    assert await world.platform.upload_limit(world.job) > 10_000
    clip = await world.post(world.clip(card))
    assert clip != card
    if world.finds_cards:
        assert await world.platform.find(world.clip(card)) == clip
    await world.platform.remove(clip, world.job)
    await world.platform.remove(clip, world.job)  # what is gone already is fine


async def test_what_is_gone_cannot_be_edited(world):
    posted = await world.post(world.card())
    await world.platform.remove(posted, world.job)
    if isinstance(world.platform, TerminalPlatform):
        return  # it takes files back only: what was said stays
    with pytest.raises(DeliveryError) as raised:
        await world.platform.edit(posted, world.card("ready in 7 s"))
    assert not raised.value.transient


async def test_an_image_that_nobody_can_fetch_is_an_error_with_a_code(world, tmp_path):
    async with asyncio.timeout(180):
        with pytest.raises(RushesError) as raised:
            await world.platform.images.fetch(world.job, "nowhere", tmp_path / "source")
    assert "." in raised.value.code
