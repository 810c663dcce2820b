"""`--count`: several clips of one request, on one card, in every chat."""

from __future__ import annotations

import asyncio

import pytest

from bot.platform import Outgoing
from commands.text.card import Card, CardKind
from inference.domain.outbox import ActKind, Route
from tests.fakes.discord.component_rules import LINK_STYLE
from tests.scenario.discord_studio import SECONDS, installation
from tests.scenario.discord_verdict import stem

pytestmark = pytest.mark.process

BALL = "a red ball"
ADDRESS = "https://discord.com/channels"


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        yield place


async def clips_of(place, card, count):
    def brought():
        thread = card.thread
        clips = [] if thread is None else place.discord.witness.in_channel(thread)
        clips = [clip for clip in clips if stem(clip)]
        return clips if len(clips) == count else None

    return await place.discord.until(brought, SECONDS, "clips")


async def sheet_of(place, card):
    def brought():
        messages = place.discord.witness.in_channel(card.thread)
        return next((m for m in messages if any("-sheet." in f.name for f in m.files)), None)

    return await place.discord.until(brought, SECONDS, "sheet")


async def test_discord_shows_them_on_one_card_and_posts_each_in_its_thread(place):
    async with place.bot():
        asked = place.alice.slash(place.general, "image", prompt=f"{BALL} --seed 7", count=3)
        card = await asked.response()
        assert "seed 9" in card.text
        clips = await clips_of(place, card, 3)
        sheet = await sheet_of(place, card)
        await place.done(card)
        assert [card] == [m for m in place.discord.witness.in_channel(place.general) if m.buttons]
        again = await place.alice.click(clips[1], "Reroll").response()
        await place.done(again)
        many = await place.alice.slash(place.general, "image", prompt=BALL, count=4).response()
        await clips_of(place, many, 4)
        await place.done(many)
    assert len({stem(clip) for clip in clips}) == 3
    assert not sheet.pings
    assert [f"{number} · seed {number + 6}" in sheet.text for number in (1, 2, 3)] == [True] * 3
    assert place.discord.witness.pings(place.alice.user)[:3] == clips


def links(message):
    return [(b["label"], b["url"]) for b in message.buttons if b.get("style") == LINK_STYLE]


async def test_the_card_leads_to_each_clip_by_its_number_and_of_stills_to_the_sheet(place):
    async with place.bot():
        short = f"{BALL} --res 360p --frames 49"
        card = await place.alice.slash(place.general, "generate", prompt=short, count=3).response()
        clips = await clips_of(place, card, 3)
        await place.discord.until(lambda: len(links(card)) == 3, SECONDS, "links")
        assert links(card) == [
            (f"Open clip {number} ↗", f"{ADDRESS}/{place.guild.id}/{card.thread.id}/{clip.id}")
            for number, clip in enumerate(clips, start=1)
        ]
        await place.delete(clips[0])
        await place.discord.until(lambda: len(links(card)) == 2, SECONDS, "one less")
        assert [label for label, _ in links(card)] == ["Open clip 2 ↗", "Open clip 3 ↗"]
        stills = await place.alice.slash(place.general, "image", prompt=BALL, count=2).response()
        sheet = await sheet_of(place, stills)
        there = f"{ADDRESS}/{place.guild.id}/{stills.thread.id}/{sheet.id}"
        await place.discord.until(
            lambda: links(stills) == [("Open all images ↗", there)], SECONDS, "the sheet"
        )


def labels(message):
    return [button.get("label") for button in message.buttons]


async def test_what_is_cancelled_or_deleted_is_said_on_the_card_and_leaves_the_sheet(place):
    async with place.bot() as app:
        await app.core.jobs.pause()  # or the last one is done before it is cancelled
        card = await place.alice.slash(place.general, "image", prompt=BALL, count=4).response()
        last = max(await app.core.store.list_unfinished(), key=lambda job: job.number)
        await place.alice.slash(place.general, "rushes cancel", job=last.id).response()
        await app.core.jobs.resume()
        clips = await clips_of(place, card, 3)
        sheet = await sheet_of(place, card)
        await place.discord.until(lambda: "Try again 4" in labels(card), SECONDS, "the end")
        assert "Cancelled." in card.text
        assert [f"Reroll {number}" in labels(card) for number in (1, 2, 3, 4)] == [True] * 3 + [
            False
        ]
        shown = [file for file in card.files if file.name == "preview.jpg"]
        await place.delete(clips[1])
        await place.discord.until(lambda: sheet.deleted and "deleted" in card.text, SECONDS, "gone")
        await place.discord.until(lambda: clips[1].deleted, SECONDS, "the clip gone")
        await place.discord.until(lambda: card.files and card.files != shown, SECONDS, "picture")
        assert not clips[0].deleted
        assert "Reroll 2" not in labels(card)


async def test_two_clips_that_end_at_once_share_one_thread(place):
    async with place.bot() as app:
        await app.core.jobs.pause()  # or their clips come into the thread too
        card = await place.alice.slash(place.general, "generate", prompt=BALL, count=2).response()
        jobs = await app.core.store.batch((await app.core.store.list_unfinished())[0].card_of)
        await place.discord.until(lambda: "seed" in card.text, SECONDS, "card")
        act = None
        while act is None or act.receipt is None:
            act = await app.core.outbox.get(jobs[0].id, ActKind.CARD)
            await asyncio.sleep(0.01)
        platform = app.platforms["discord"]
        messages = [
            Outgoing(
                key=f"{job.id}:notice",
                kind=ActKind.NOTICE,
                job=job,
                card=Card(kind=CardKind.CLIP, lines=((job.id,),)),
                route=Route.THREAD,
                card_receipt=act.receipt,
                trace={},
            )
            for job in jobs
        ]

        async def remember(trace):
            pass

        posted = await asyncio.gather(*(platform.post(each, remember) for each in messages))
        assert {receipt["channel"] for receipt in posted} == {card.thread.id}
        assert len(place.discord.witness.in_channel(card.thread)) == 2


async def test_cancelling_the_card_stops_all_that_are_not_done(place):
    async with place.bot(step_seconds=30.0) as app:
        asked = place.alice.slash(place.general, "generate", prompt=BALL, count=3)
        card = await asked.response()
        await place.alice.click(card, "Cancel").response()
        await place.discord.until(
            lambda: not [b for b in card.buttons if b.get("label") == "Cancel"], SECONDS, "stop"
        )
        async with asyncio.timeout(SECONDS):  # the one that runs stops a little later
            while await app.core.store.list_unfinished():  # noqa: ASYNC110 - a row tells nobody
                await asyncio.sleep(0.02)
