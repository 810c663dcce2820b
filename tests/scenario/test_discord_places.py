"""Places on Discord that take no clip, or not now: where it comes instead, and what is said."""

from __future__ import annotations

import asyncio
import math
import re
import time
from types import SimpleNamespace

import pytest

from bot.delivery import fallback
from bot.discord import platform
from inference.clock import SystemClock
from inference.domain.outbox import ActKind, Route
from tests.fakes.discord import ChannelKind, Permission
from tests.fakes.discord.entities import COMPONENTS_V2
from tests.scenario.discord_studio import SECONDS, eventually, installation
from tests.scenario.discord_verdict import stem

pytestmark = pytest.mark.process

FOX = "a red fox running through snow"
THREADS = ("POST", "/channels/{channel_id}/messages/{message_id}/threads")
POSTS = r"POST /channels/\d+/messages$"


@pytest.fixture
async def place(tmp_path, monkeypatch):
    monkeypatch.setattr(fallback, "LONGEST_SECONDS", 0.2)
    monkeypatch.setitem(fallback.PASSING_SECONDS, Route.THREAD, 3600.0)
    async with installation(tmp_path / "data") as place:
        yield place


async def asked(place, channel=None, prompt=FOX):
    return await place.alice.slash(channel or place.general, "image", prompt=prompt).response()


async def clip_in(place, channel, number=0):
    """Wait for a clip in a channel, thread or direct message."""

    def brought():
        clips = [m for m in place.discord.witness.in_channel(channel) if stem(m)]
        return clips[number] if len(clips) > number else None

    return await place.discord.until(brought, SECONDS, "clip")


async def until_tried(app, job):
    """Wait until the outbox has tried in vain to say that a job is ready."""
    async with asyncio.timeout(SECONDS):
        while True:
            act = await app.core.outbox.get(job, ActKind.CARD)
            ready = await app.core.outbox.get(job, ActKind.CLIP)
            if act.attempts and ready:
                return
            await asyncio.sleep(0.05)


def refusals(place):
    """Count what was forbidden."""
    return sum(seen.status == 403 for seen in place.discord.witness.requests)


@pytest.mark.slow
async def test_a_clip_comes_as_a_reply_when_threads_are_used_up_for_minutes(place):
    place.discord.api.limits.buckets[THREADS] = (2, 300.0)
    async with place.bot():
        for _ in range(2):
            card = await asked(place)
            assert "instead" not in (await place.clip(card)).text
        card = await asked(place)
        clip = await clip_in(place, place.general)
        await place.done(card)
    assert clip.reference is card
    assert card.thread is None
    assert "no more new threads" in clip.text
    assert 429 not in {seen.status for seen in place.discord.witness.requests}


@pytest.mark.slow
async def test_a_clip_waits_seconds_for_a_thread(place):
    place.discord.api.limits.buckets[THREADS] = (1, 5.0)
    async with place.bot():
        for _ in range(2):
            card = await asked(place)
            await place.clip(card)
    assert card.thread.auto_archive_minutes == 10080


@pytest.mark.cases(1)
@pytest.mark.parametrize("prompt", ["###", "a fox in 1488"])
@pytest.mark.slow
async def test_a_thread_whose_name_is_refused_gets_a_neutral_one(place, prompt):
    async with place.bot():
        card = await asked(place, prompt=prompt)
        clip = await place.clip(card)
    assert re.fullmatch(r"Clip [0-9A-Z]+", card.thread.name)
    assert clip.files[0].name.partition(".")[0] in card.thread.name


@pytest.mark.cases(1)
@pytest.mark.parametrize("code", [200000, 240000, 20009, 50035])
@pytest.mark.slow
async def test_a_card_whose_words_are_refused_comes_without_them(place, code):
    place.discord.trouble(r"POST /interactions/.*callback", status=404, code=10062)
    place.discord.world.words_refused = {re.compile("red fox"): code}
    place.discord.world.names_refused = [re.compile("red fox")]
    async with place.bot():
        place.alice.slash(place.general, "image", prompt=FOX)
        shown = place.discord.witness.in_channel
        await place.discord.until(lambda: shown(place.general), SECONDS, "card")
        [card] = shown(place.general)
        clip = await place.clip(card)
    for message in (card, clip):
        assert "red fox" not in str([message.text, message.attachments])


@pytest.mark.slow
async def test_the_oldest_own_thread_makes_room_where_a_server_has_too_many(place):
    place.guild.max_active_threads = 2
    async with place.bot():
        cards = []
        for _ in range(3):
            cards.append(await asked(place))
            await place.clip(cards[-1])
    assert [card.thread.archived for card in cards] == [True, False, False]


@pytest.mark.slow
async def test_where_no_thread_can_make_room_the_clip_is_a_reply_and_admins_hear_of_it_once(place):
    place.discord.thread_of(place.alice, place.general, "ideas")
    place.guild.max_active_threads = 1
    async with place.bot():
        clips = []
        for number in range(2):
            card = await asked(place)
            clips.append(await clip_in(place, place.general, number))
            assert clips[-1].reference is card
    assert ["active threads" in clip.text for clip in clips] == [True, True]
    assert ["Admins" in clip.text for clip in clips] == [True, False]


@pytest.mark.slow
async def test_a_bot_that_is_timed_out_brings_its_clip_into_the_thread_afterwards(place):
    place.alice.user.accepts_direct_messages = False
    async with place.bot(step_seconds=0.1):
        card = await asked(place)
        place.discord.world.time_out(place.guild)
        await eventually(lambda: refusals(place) > 4)
        assert not place.discord.witness.pings(place.alice.user)
        place.discord.world.time_out(place.guild, over=True)
        clip = await place.clip(card)
        await place.done(card)
    assert "instead" not in clip.text
    assert place.discord.witness.pings(place.alice.user) == [clip]


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    "lost",
    [
        Permission.VIEW_CHANNEL,
        Permission.SEND_MESSAGES | Permission.CREATE_PUBLIC_THREADS,
        Permission.ATTACH_FILES,
    ],
)
async def test_a_permission_that_is_lost_for_minutes_loses_no_clip(place, lost):
    everyone, own = place.guild.roles
    async with place.bot(step_seconds=0.1):
        card = await asked(place)
        for role in (everyone, own):
            place.general.deny(role, lost)
        place.discord.world.changed(place.general)
        await eventually(lambda: refusals(place) > 2)
        place.general.overwrites.clear()
        place.discord.world.changed(place.general)
        clip = await place.clip(card)
        await place.done(card)
    assert place.discord.witness.pings(place.alice.user) == [clip]


@pytest.mark.parametrize("told", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_where_only_threads_are_forbidden_the_clip_is_a_reply(place, told, monkeypatch):
    monkeypatch.setitem(fallback.PASSING_SECONDS, Route.THREAD, 0.5)
    async with place.bot(step_seconds=0.1):
        card = await asked(place)
        for role in place.guild.roles:
            place.general.deny(role, Permission.CREATE_PUBLIC_THREADS)
        if told:
            place.discord.world.changed(place.general)
        clip = await clip_in(place, place.general)
        await place.done(card)
    assert clip.reference is card
    assert "I cannot write in the thread" in clip.text


async def test_a_locked_thread_gets_its_clip_in_the_channel(place):
    async with place.bot(step_seconds=0.1):
        place.discord.trouble(POSTS, status=400, code=160005)
        card = await asked(place)
        clip = await clip_in(place, place.general)
    assert clip.reference is card


async def test_a_place_that_stays_closed_sends_its_clip_by_message_and_says_why(place, monkeypatch):
    monkeypatch.setattr(fallback, "PASSING_SECONDS", {Route.THREAD: 0.5, Route.CHANNEL: 1.0})
    async with place.bot(step_seconds=0.1):
        await asked(place)
        place.discord.world.time_out(place.guild)
        clip = await clip_in(place, place.alice.direct)
    assert "cannot write in the channel" in clip.text


@pytest.mark.slow
async def test_a_card_that_was_deleted_leaves_its_clip_in_the_channel(place):
    async with place.bot(step_seconds=0.1):
        card = await asked(place)
        place.discord.world.delete(card)
        clip = await clip_in(place, place.general)
    assert "card" in clip.text


@pytest.mark.slow
async def test_a_lost_answer_in_a_voice_channel_without_connect_makes_no_second_clip(
    place, monkeypatch
):
    monkeypatch.setattr(platform, "NONCE_SECONDS", -1.0)  # as after a long outage
    monkeypatch.setattr(platform, "UNSEEN_SECONDS", 3.0)
    stage = place.discord.add_channel(place.guild, "stage", ChannelKind.VOICE)
    place.discord.trouble(POSTS, reset=True, taken=True)
    async with place.bot(step_seconds=0.1) as app:
        card = await asked(place, stage)
        for role in place.guild.roles:
            stage.deny(role, Permission.CONNECT)
        clip = await clip_in(place, stage)
        place.discord.clock.advance(3600)
        await place.done(card)
        await eventually(lambda: not app.core.jobs.list_queued())
    assert place.discord.witness.pings(place.alice.user) == [clip]
    assert "I cannot see whether the file was posted already" in card.text


async def test_a_clip_that_no_place_takes_is_kept_and_its_card_says_so(place, monkeypatch):
    monkeypatch.setattr(fallback, "PASSING_SECONDS", {Route.THREAD: 0.0, Route.CHANNEL: 0.0})
    place.alice.user.accepts_direct_messages = False
    async with place.bot(step_seconds=0.1):
        card = await asked(place)
        for role in place.guild.roles:
            place.general.deny(role, Permission.ATTACH_FILES)
        await place.done(card)
    assert "/rushes show" in card.text
    assert not place.discord.witness.pings(place.alice.user)


@pytest.mark.slow
async def test_a_lost_answer_without_message_history_makes_no_second_clip(place, monkeypatch):
    monkeypatch.setattr(platform, "NONCE_SECONDS", -1.0)
    monkeypatch.setattr(platform, "UNSEEN_SECONDS", 2.0)
    stage = place.discord.add_channel(place.guild, "stage", ChannelKind.VOICE)
    place.discord.trouble(POSTS, reset=True, taken=True)
    looking = place.discord.trouble(r"GET /channels/\d+/messages", times=math.inf, status=503)
    async with place.bot():
        card = await asked(place, stage)
        clip = await clip_in(place, stage)
        for role in place.guild.roles:
            stage.deny(role, Permission.READ_MESSAGE_HISTORY)
        place.discord.clock.advance(3600)
        looking.over()
        await place.done(card)
    assert place.discord.witness.pings(place.alice.user) == [clip]


@pytest.mark.slow
async def test_a_clock_that_is_set_back_after_a_lost_answer_holds_no_job_up(place, monkeypatch):
    stage = place.discord.add_channel(place.guild, "stage", ChannelKind.VOICE)
    place.discord.trouble(POSTS, reset=True, taken=True)
    looking = place.discord.trouble(r"GET /channels/\d+/messages", times=math.inf, status=503)
    async with place.bot() as app:
        card = await asked(place, stage)
        clip = await clip_in(place, stage)
        for role in place.guild.roles:
            stage.deny(role, Permission.READ_MESSAGE_HISTORY)
        clock = app.platforms["discord"]._clock
        monkeypatch.setattr(
            app.platforms["discord"],
            "_clock",
            SimpleNamespace(now=lambda: clock.now() - 86_400, monotonic=clock.monotonic),
        )
        looking.over()
        await place.done(card)
    assert place.discord.witness.pings(place.alice.user) == [clip]


@pytest.mark.slow
async def test_a_lost_answer_in_a_channel_that_closes_for_minutes_makes_no_second_clip(
    place, monkeypatch
):
    monkeypatch.setitem(fallback.PASSING_SECONDS, Route.THREAD, 0.5)
    posting = place.discord.trouble(POSTS, reset=True, taken=True, larger_than=5000)
    async with place.bot(step_seconds=0.1):
        card = await asked(place)
        clip = await place.clip(card)
        assert posting.left == 0
        for role in place.guild.roles:
            place.general.deny(role, Permission.VIEW_CHANNEL)
        place.discord.world.changed(place.general)
        await eventually(lambda: refusals(place) > 8)
        # Minutes later, by both clocks; what was tried before that is over.
        monkeypatch.setattr(platform, "NONCE_SECONDS", -1.0)
        monkeypatch.setattr(platform, "UNSEEN_PAUSE_SECONDS", 0.05)
        tried = refusals(place)
        await eventually(lambda: refusals(place) > tried + 8)
        place.discord.clock.advance(600)  # the nonce is forgotten
        place.general.overwrites.clear()
        place.discord.world.changed(place.general)
        await place.done(card)
    assert [m for m in place.discord.witness.messages if stem(m)] == [clip]


@pytest.mark.cases(1)
@pytest.mark.parametrize("ahead", [3600, -3600])
@pytest.mark.slow
async def test_a_clock_that_is_wrong_by_an_hour_makes_no_second_clip(place, monkeypatch, ahead):
    monkeypatch.setattr(SystemClock, "now", lambda _: time.time() + ahead)
    stage = place.discord.add_channel(place.guild, "stage", ChannelKind.VOICE)
    posting = place.discord.trouble(POSTS, reset=True, taken=True, larger_than=5000)
    async with place.bot():
        card = await asked(place, stage)
        await eventually(lambda: posting.left == 0)
        place.discord.clock.advance(600)  # the nonce is forgotten
        await place.done(card)
    clips = [m for m in place.discord.witness.in_channel(stage) if stem(m)]
    assert clips == place.discord.witness.pings(place.alice.user)
    assert len(clips) == 1


@pytest.mark.slow
async def test_a_clip_comes_without_reply_where_history_may_not_be_read(place):
    stage = place.discord.add_channel(place.guild, "stage", ChannelKind.VOICE)
    async with place.bot(step_seconds=0.1):
        card = await asked(place, stage)
        for role in place.guild.roles:
            stage.deny(role, Permission.READ_MESSAGE_HISTORY)
        clip = await clip_in(place, stage)
        await place.done(card)
    assert clip.reference is None


async def test_a_clip_is_found_behind_many_messages_of_others(place, monkeypatch):
    stage = place.discord.add_channel(place.guild, "stage", ChannelKind.VOICE)
    posting = place.discord.trouble(POSTS, reset=True, taken=True)
    looking = place.discord.trouble(r"GET /channels/\d+/messages", times=math.inf, status=503)
    async with place.bot():
        card = await asked(place, stage)
        for number in range(150):
            place.alice.say(stage, f"before {number}")
        clip = await clip_in(place, stage)
        assert posting.left == 0
        for number in range(150):
            place.alice.say(stage, f"after {number}")
        place.discord.clock.advance(3600)
        looking.over()
        await place.done(card)
    assert [m for m in place.discord.witness.in_channel(stage) if stem(m)] == [clip]


async def test_connect_is_asked_for_in_voice_channels(place):
    stage = place.discord.add_channel(place.guild, "stage", ChannelKind.VOICE)
    for role in place.guild.roles:
        stage.deny(role, Permission.CONNECT)
    async with place.bot():
        place.discord.world.changed(stage)
        refused = await asked(place, stage)
    assert refused.visible_to is place.alice.user
    assert "“Connect”" in refused.text


@pytest.mark.slow
async def test_what_is_deleted_during_a_time_out_is_taken_back_afterwards(place):
    async with place.bot():
        card = await asked(place)
        clip = await place.clip(card)
        await place.done(card)
        place.discord.world.time_out(place.guild)
        await place.delete(card)
        await eventually(lambda: refusals(place) > 1)
        place.discord.world.time_out(place.guild, over=True)
        await place.discord.until(lambda: clip.deleted, SECONDS, "clip taken back")


@pytest.mark.slow
async def test_a_card_says_how_it_ended_though_it_was_edited_too_often(place):
    edits = r"PATCH /channels/\d+/messages/\d+$"
    async with place.bot(step_seconds=0.1):
        card = await asked(place)
        trouble = place.discord.trouble(edits, times=3, retry_after=3.0, code=30046)
        await place.clip(card)
        await place.done(card)
    assert trouble.left == 0


@pytest.mark.slow
async def test_a_card_without_leave_for_embeds_goes_on_as_text(place):
    async with place.bot(step_seconds=0.3):
        card = await asked(place)
        for role in place.guild.roles:
            place.general.deny(role, Permission.EMBED_LINKS)
        place.discord.world.changed(place.general)
        await place.done(card)
        without = await asked(place)
        await place.done(without)
    assert card.flags & COMPONENTS_V2  # a layout stays one, and needs no leave
    assert not without.embeds
    assert without.content


@pytest.mark.slow
async def test_an_outage_of_a_server_sends_nothing_elsewhere(place):
    async with place.bot(step_seconds=0.1) as app:
        card = await asked(place)
        place.discord.world.lose(place.guild)
        job = card.buttons[0]["custom_id"].rpartition(":")[2]
        await until_tried(app, job)
        place.discord.world.lose(place.guild, over=True)
        clip = await place.clip(card)
        await place.done(card)
    assert place.discord.witness.pings(place.alice.user) == [clip]


@pytest.mark.slow
async def test_a_job_in_a_thread_waits_while_that_is_locked(place):
    thread = place.discord.thread_of(place.alice, place.general, "ideas")
    async with place.bot(step_seconds=0.1):
        card = await asked(place, thread)
        place.discord.trouble(rf"/channels/{thread.id}", times=6, status=400, code=160005)
        clip = await clip_in(place, thread)
        await place.done(card)
    assert place.discord.witness.pings(place.alice.user) == [clip]
