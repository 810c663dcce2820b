"""What the outbox asks of Slack, against a Slack that loses answers and tokens."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace

import pytest

from bot.delivery.delivery import Delivery
from bot.slack.address import Address
from bot.slack.api.rate_limits import TIER_3
from commands.text import cards
from commands.text.cards import JobStatus
from inference.domain.errors import DeliveryError
from inference.domain.job import Failure, JobState
from inference.domain.outbox import ActKind, Route
from tests.fakes.orders import a_spec, an_order
from tests.scenario.slack_office import carded, open_office, refusal


@pytest.fixture
async def office(tmp_path):
    async with open_office(tmp_path) as office:
        yield office


# -- cards -----------------------------------------------------------------------------------


async def test_a_card_is_posted_where_it_was_asked_for_and_then_kept_up_to_date(office):
    job = office.job()
    receipt = await office.post(office.card(job))
    [card] = office.general.messages
    assert card.metadata == {
        "event_type": "rushes_job",
        "event_payload": {"job": job.id, "kind": "card"},
    }
    assert (card.team, card.thread_ts, card.pings) == (office.acme.team, None, set())
    assert "&lt;!channel&gt; &amp; *friends*" in card.words
    done = replace(job, state=JobState.DONE, ended_at=job.created_at + 47)
    await office.poster.edit(receipt, office.card(done))
    assert len(office.general.messages) == 1
    assert "47 s" in card.words
    assert {button["action_id"].split(":")[1] for button in card.buttons} == {
        *("reroll", "edit", "info")
    }


async def test_a_card_asked_for_in_a_thread_is_in_that_thread_and_its_clip_too(office):
    asked = office.ann.say(office.general, "look")
    job = office.job(thread_ts=asked.ts)
    receipt = await office.post(office.card(job))
    await office.post(office.clip(job, receipt))
    card, clip, below = office.general.thread(asked)
    assert (card.metadata["event_payload"]["job"], len(clip.files)) == (job.id, 1)
    assert below.buttons


async def test_a_card_that_is_gone_cannot_be_edited(office):
    job = office.job()
    receipt = await office.post(office.card(job))
    await office.poster.remove(receipt, job)
    error = await refusal(office.poster.edit(receipt, office.card(job)))
    assert (error.transient, error.params["error"]) == (False, "message_not_found")


async def test_each_workspace_is_written_to_with_its_own_token(office):
    shared = office.acme.add_channel("both", office.ann, office.bea, shared_with=[office.far])
    for person in (office.ann, office.bea):
        await office.post(office.card(office.job(person, shared)))
    assert [message.team for message in shared.messages] == [office.acme.team, office.far.team]


async def test_how_it_ended_without_a_clip_is_told_in_the_thread_with_one_ping(office):
    job = office.job(state=JobState.FAILED, failure=Failure(code="file.gone"))
    receipt = await office.post(office.card(job))
    told = office.card(job, kind=ActKind.NOTICE, card=cards.failure(job, "en"))
    await office.post(replace(told, route=Route.THREAD, card_receipt=receipt))
    card, told = office.general.messages
    assert (told.thread_ts, told.pings) == (card.ts, {office.ann.id})
    assert (card.metadata is None, told.metadata is None) == (False, True)


# -- closed doors ----------------------------------------------------------------------------


async def test_a_channel_without_us_is_closed_and_the_person_gets_it_directly(office):
    closed = office.acme.add_channel("closed", office.ann, kind="public", bot=False)
    job = office.job(channel=closed)
    for route in (Route.CHANNEL, Route.THREAD):
        assert not (await refusal(office.post(office.clip(job, route=route)))).transient
        office.kept.clear()  # the outbox forgets the trace with the route
    receipt = await office.post(office.clip(job, route=Route.DIRECT))
    [clip] = office.clips(office.ann.dm)
    assert (receipt["channel"], clip.pings) == (office.ann.dm.id, {office.ann.id})


async def test_a_revoked_token_closes_every_route(office):
    job, card = await carded(office)
    office.installed[office.acme.id].revoked = "token_revoked"
    for route in (Route.THREAD, Route.CHANNEL, Route.DIRECT):
        error = await refusal(office.post(office.clip(job, card, route=route)))
        assert (error.transient, error.params["error"]) == (False, "token_revoked")


async def test_a_workspace_that_left_is_not_written_to(office):
    job = office.job()
    gone = replace(job, address=job.address | {"team": "T0GONE"})
    assert (await refusal(office.post(office.card(gone)))).code == "slack.not_installed"


async def test_a_clip_without_a_card_has_no_thread(office):
    error = await refusal(office.post(office.clip(office.job(), {})))
    assert (error.code, error.transient) == ("slack.no_thread", False)


# -- pace ------------------------------------------------------------------------------------


async def test_after_too_fast_nobody_asks_until_slacks_time_is_over(office):
    job, card = await carded(office)
    began = time.monotonic()
    office.slack.trouble(r"chat\.update", error="ratelimited", status=429, retry_after=30)
    assert (await refusal(office.poster.edit(card, office.card(job)))).retry_after == 30.0
    later = await refusal(office.poster.edit(card, office.card(job)))
    assert later.code == "slack.rate_limited"
    assert later.retry_after + time.monotonic() - began > 29
    assert later.retry_after < 32
    assert office.slack.calls("chat.update") == 1


async def test_progress_leaves_room_for_what_must_be_shown(office):
    job, card = await carded(office)
    fleeting = office.card(job, fleeting=True)

    async def progress():
        while True:
            await office.poster.edit(card, fleeting)

    with pytest.raises(DeliveryError):
        await progress()
    await office.poster.edit(card, office.card(job))


async def test_the_outbox_shows_the_end_however_much_progress_there_was(office, bench, core):
    def paint(job, kind, file, together=()):
        return cards.status(job, JobStatus(now=bench.clock.now()), "en")

    address = Address(team=office.acme.id, channel=office.general.id, user=office.ann.id)
    order = replace(an_order(), platform="slack", address=asdict(address))
    job = await core.jobs.submit(order)
    delivery = Delivery(
        outbox=core.outbox,
        store=core.store,
        artifacts=core.artifacts,
        events=core.events,
        platforms={"slack": office.poster},
        card_factory=paint,
        compressor=None,
        clock=bench.clock,
    )
    began = time.monotonic()
    delivering = asyncio.create_task(delivery.run())
    try:
        await bench.reached(job.id, JobState.QUEUED)
        await office.slack.until(lambda: office.general.messages)
        skipped = 0
        async with asyncio.timeout(180):
            while skipped < 10:
                await asyncio.sleep(0.02)  # as long as the outbox has something, that is newer
                try:
                    await delivery.refresh(job.id)
                except DeliveryError:
                    skipped += 1
        room = TIER_3.burst + (time.monotonic() - began) / TIER_3.interval
        assert office.slack.calls("chat.update") <= room
        await bench.cancel(job)
        [card] = office.general.messages
        await office.slack.until(lambda: "Cancelled" in card.words)
    finally:
        delivering.cancel()
        await asyncio.wait([delivering])


# -- taken back and handed over --------------------------------------------------------------


async def test_a_clip_is_taken_back_with_its_file_once_and_again(office):
    job, card = await carded(office)
    receipt = await office.post(office.clip(job, card))
    for _ in range(2):
        await office.poster.remove(receipt, job)
    assert office.clips() == []
    assert office.general.thread(card["ts"]) == []
    assert office.slack.world.files[receipt["file"]].deleted


async def test_a_private_card_with_a_file_is_handed_over_in_the_direct_messages(office):
    job = office.job()
    shown = replace(office.clip(job).card, private=True, ping=False)
    await office.poster.hand(Address(**job.address), shown)
    await office.slack.until(lambda: office.clips(office.ann.dm))
    assert (office.general.messages, office.clips(office.ann.dm)[0].pings) == ([], set())


async def test_a_card_without_a_file_is_handed_over_where_it_was_asked_for(office):
    job = office.job()
    await office.poster.hand(Address(**job.address), office.card(job).card)
    assert len(office.general.messages) == 1


async def test_an_image_of_somebody_is_fetched_for_their_workspace_only(office, tmp_path):
    image = office.ann.attach(("fox.png", b"\x89PNG..."))
    job = office.job(spec=a_spec(image=image.id))
    await office.images.fetch(job, image.id, tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == b"\x89PNG..."
