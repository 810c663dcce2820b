"""What the outbox asks of Slack, against a Slack that loses answers, files and tokens."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.delivery import Delivery
from bot.platform import Outgoing
from bot.slack.address import Address
from bot.slack.calls import Calls
from bot.slack.clients import Clients, Credentials
from bot.slack.files import Files
from bot.slack.images import SlackImages
from bot.slack.installations import Installation
from bot.slack.limiter import TIER_3, Limiter
from bot.slack.post import Posting
from commands import cards
from commands.cards import Standing
from inference.clock import SystemClock
from inference.errors import DeliveryError
from inference.jobs.model import Failure, Job, JobState
from inference.store.database import open_database
from inference.store.outbox import ActKind, Route
from tests.fakes.orders import a_job, a_spec, an_order
from tests.fakes.slack import LoopbackSlack

SETTLE_SECONDS = (0.05, 0.1, 0.2, 0.4)
CLIP = bytes(range(256)) * 400


class Killed(Exception):
    """The process ends here."""


@dataclass
class Office:
    """Two workspaces with the app in them, and the ways out under test."""

    slack: LoopbackSlack
    directory: Path
    posting: Posting = field(init=False)
    images: SlackImages = field(init=False)

    def __post_init__(self):
        self.acme, self.far = self.slack.add_team("acme"), self.slack.add_team("far")
        self.installed = {team.id: team.install() for team in (self.acme, self.far)}
        self.ann = self.acme.add_user("ann")
        self.bea = self.far.add_user("bea")
        self.general = self.acme.add_channel("general", self.ann)
        self.kept: dict[str, Any] = {}
        """What the outbox committed for the message in hand."""

    @contextlib.asynccontextmanager
    async def open(self):
        """Start the process."""
        clock = SystemClock()
        clients = Clients(Credentials(), api_base_url=self.slack.api_base_url)
        async with (
            open_database(self.directory / "rushes.db") as database,
            clients.connected(database) as installations,
        ):
            for team, installed in self.installed.items():
                await installations.keep(
                    Installation(
                        team=team,
                        bot_id=installed.bot_id,
                        bot_user=installed.bot.id,
                        token=installed.token,
                    )
                )
            calls = Calls(clients, Limiter(clock, since=clock.monotonic() - 60))
            self.posting = Posting(calls, Files(calls, clock, settle_seconds=SETTLE_SECONDS))
            self.images = SlackImages(calls, clock)
            yield self

    def job(self, person=None, channel=None, *, thread_ts=None, **changes: Any) -> Job:
        person, channel = person or self.ann, channel or self.general
        address = Address(
            team=person.user.team.id, channel=channel.id, thread_ts=thread_ts, user=person.id
        )
        changes.setdefault("spec", a_spec(prompt="<!channel> & *friends*"))
        return a_job(requester=person.id, platform="slack", address=address.as_dict(), **changes)

    def card(self, job: Job, **changes: Any) -> Outgoing:
        drawn = cards.status(job, Standing(now=job.created_at), "en")
        values = {"kind": ActKind.CARD, "card": drawn, "route": Route.CHANNEL, "trace": {}}
        return Outgoing(key=f"{job.id}:card", job=job, **values | changes)

    def clip(self, job: Job, card=None, **changes: Any) -> Outgoing:
        path = self.directory / "clip.mp4"
        path.write_bytes(CLIP)
        values = {
            "kind": ActKind.CLIP,
            "card": cards.clip(job, path, "en"),
            "card_receipt": card,
            "route": Route.THREAD,
            "trace": dict(self.kept),
        }
        return Outgoing(key=f"{job.id}:clip", job=job, **values | changes)

    async def remember(self, trace):
        self.kept |= trace

    async def remember_and_die(self, trace):
        self.kept |= trace
        raise Killed

    async def post(self, message: Outgoing, remember=None):
        return await self.posting.post(message, remember or self.remember)

    def clips(self, channel=None):
        return [m for m in (channel or self.general).messages if m.files and not m.deleted]


@pytest.fixture
async def slack():
    async with LoopbackSlack(share_seconds=0.15) as slack:
        yield slack
        assert slack.violations == []


@pytest.fixture
async def office(slack, tmp_path):
    async with Office(slack, tmp_path).open() as office:
        yield office


async def refusal(call) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await call
    return caught.value


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
    await office.posting.edit(receipt, office.card(done))
    assert len(office.general.messages) == 1
    assert "47 s" in card.words
    assert card.buttons == []


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
    await office.posting.remove(receipt, job)
    error = await refusal(office.posting.edit(receipt, office.card(job)))
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


# -- the clip --------------------------------------------------------------------------------


async def carded(office, **kwargs):
    job = office.job(**kwargs)
    return job, await office.post(office.card(job))


async def uploaded(office, job):
    """Leave a file behind that was completed in vain."""
    office.slack.hub.faults.never_shared = 1.0
    with pytest.raises(Killed):
        await office.post(office.clip(job, route=Route.CHANNEL), office.remember_and_die)
    return office.kept["file_id"]


async def test_a_clip_is_under_its_card_with_one_ping_and_its_buttons_below(office):
    job, card = await carded(office)
    receipt = await office.post(office.clip(job, card))
    clip, below = office.general.thread(card["ts"])
    [file] = clip.files
    assert (file.data, file.name, clip.pings) == (CLIP, f"{job.id}.mp4", {office.ann.id})
    assert "seed 7" in clip.words
    assert {"Reroll", "Info", "Delete"} <= {button["text"]["text"] for button in below.buttons}
    assert (below.pings, below.metadata) == (set(), None)
    assert receipt == {
        "channel": office.general.id,
        "ts": clip.ts,
        "file": file.id,
        "buttons_ts": below.ts,
        "buttons_channel": office.general.id,
    }
    await office.posting.edit(receipt, office.clip(job, card))
    assert len(clip.states) == len(below.states) == 1


async def test_buttons_that_could_not_be_posted_come_later_and_the_clip_only_once(office):
    job, card = await carded(office)
    office.slack.trouble("postMessage", status=503)
    await refusal(office.post(office.clip(job, card)))
    async with office.open():
        await office.post(office.clip(job, card))
    clip, below = office.general.thread(card["ts"])
    assert (len(clip.files), clip.pings, below.pings) == (1, {office.ann.id}, set())
    assert below.buttons


async def test_buttons_that_are_refused_do_not_bring_the_clip_again(office):
    job, card = await carded(office)
    office.slack.trouble("postMessage", error="restricted_action_thread_locked")
    receipt = await office.post(office.clip(job, card))
    [clip] = office.general.thread(card["ts"])
    assert (receipt["ts"], "buttons_ts" in receipt) == (clip.ts, False)


async def test_a_clip_whose_completion_got_no_answer_is_there_once(office):
    job, card = await carded(office)
    office.slack.trouble("completeUpload", taken=True, reset=True)
    error = await refusal(office.post(office.clip(job, card)))
    assert (error.code, error.transient) == ("slack.unreachable", True)
    assert await office.posting.find(office.clip(job, card)) is None
    receipt = await office.post(office.clip(job, card))
    [clip] = office.clips()
    assert receipt["ts"] == clip.ts


async def test_a_clip_whose_completion_was_lost_on_the_way_is_there_once(office):
    job, card = await carded(office)
    office.slack.trouble("completeUpload", reset=True)
    await refusal(office.post(office.clip(job, card)))
    await office.post(office.clip(job, card))
    assert len(office.clips()) == 1


async def test_a_kill_between_upload_and_completion_loses_nothing(office):
    job, card = await carded(office)
    with pytest.raises(Killed):
        await office.post(office.clip(job, card), office.remember_and_die)
    assert office.clips() == []
    async with office.open():
        await office.post(office.clip(job, card))
    assert len(office.clips()) == 1
    assert office.slack.calls("files.getUploadURLExternal") == 1


async def test_a_kill_after_the_completion_posts_nothing_twice(office):
    job, card = await carded(office)
    first = await office.post(office.clip(job, card))
    async with office.open():
        again = await office.post(office.clip(job, card))
    assert {**again, "buttons_ts": first["buttons_ts"]} == first
    assert len(office.clips()) == 1


async def test_a_refused_completion_is_simply_tried_again(office):
    job, card = await carded(office)
    office.slack.trouble("completeUpload", error="ratelimited", status=429, retry_after=1)
    error = await refusal(office.post(office.clip(job, card)))
    assert (error.code, error.retry_after) == ("slack.rate_limited", 1.0)
    assert office.kept["asked"] == 0
    await office.post(office.clip(job, card))
    assert len(office.clips()) == 1
    assert office.slack.calls("files.getUploadURLExternal") == 1


@pytest.mark.parametrize("asked", [0, 1])
async def test_a_reservation_that_ran_out_is_made_again(office, asked):
    job, card = await carded(office)
    if asked:
        office.kept = {"file_id": "F0GONE", "asked": 1}
    else:
        office.slack.trouble("completeUpload", error="file_not_found")
    error = await refusal(office.post(office.clip(job, card)))
    assert (error.code, error.transient) == ("slack.upload_lost", True)
    await office.post(office.clip(job, card))
    assert len(office.clips()) == 1


@pytest.mark.parametrize("what", [{"status": 503}, {"reset": True}])
async def test_a_transfer_that_broke_off_shows_nothing_and_is_done_again(office, what):
    job, card = await carded(office)
    office.slack.trouble("^upload$", **what)
    assert (await refusal(office.post(office.clip(job, card)))).transient
    assert office.kept == {}
    await office.post(office.clip(job, card))
    assert len(office.clips()) == 1


async def test_a_share_that_takes_its_time_is_waited_for(office):
    office.slack.hub.share_seconds = 0.6
    job, card = await carded(office)
    await office.post(office.clip(job, card))
    assert (len(office.clips()), office.slack.calls("files.completeUploadExternal")) == (1, 1)


async def test_a_file_that_is_not_shared_is_completed_once_again(office):
    job, card = await carded(office)
    office.slack.hub.faults.never_shared = 1.0

    async def remember_and_mend(trace):
        await office.remember(trace)
        office.slack.hub.faults.never_shared = 1.0 if trace["asked"] == 1 else 0.0

    receipt = await office.post(office.clip(job, card), remember_and_mend)
    [clip] = office.clips()
    assert receipt["ts"] == clip.ts


async def test_a_kill_before_the_second_completion_ends_with_a_link(office):
    job, card = await carded(office)
    office.kept = {"file_id": await uploaded(office, job), "asked": 2}
    receipt = await office.post(office.clip(job, card))
    [told] = office.general.thread(card["ts"])
    assert (told.ts, told.pings) == (receipt["ts"], {office.ann.id})


async def test_a_file_that_is_never_shared_is_linked_with_ping_and_buttons(office):
    office.slack.hub.faults.never_shared = 1.0
    job, card = await carded(office)
    receipt = await office.post(office.clip(job, card))
    [told] = office.general.thread(card["ts"])
    assert (told.files, told.pings, told.ts) == ([], {office.ann.id}, receipt["ts"])
    assert f"files/{receipt['file']}|{job.id}.mp4>" in told.words
    assert told.buttons
    assert office.slack.calls("files.completeUploadExternal") == 2


async def test_without_the_right_to_look_slacks_word_is_taken(office):
    office.installed[office.acme.id].scopes -= {"files:read"}
    job, card = await carded(office)
    receipt = await office.post(office.clip(job, card))
    await office.slack.until(office.clips)
    assert (len(office.clips()), receipt["ts"]) == (1, "")


async def test_a_file_above_the_workspaces_limit_is_to_be_made_smaller(office):
    office.slack.hub.file_bytes = len(CLIP) - 1
    job, card = await carded(office)
    error = await refusal(office.post(office.clip(job, card)))
    assert (error.code, error.transient) == ("delivery.too_large", False)
    assert await office.posting.upload_limit(job) > len(CLIP)


def hidden(office, job, card=None, **changes):
    message = office.clip(job, card, **changes)
    attachment = replace(message.card.attachment, spoiler=True)
    return replace(message, card=replace(message.card, attachment=attachment))


@pytest.mark.parametrize("never_shared", [0.0, 1.0])
async def test_a_flagged_clip_is_for_its_requester_alone_with_one_ping_in_all(office, never_shared):
    office.slack.hub.faults.never_shared = never_shared
    job, card = await carded(office)
    receipt = await office.post(hidden(office, job, card))
    [told] = office.general.thread(card["ts"])
    [given] = office.ann.dm.messages
    assert (told.files, told.pings, given.pings) == ([], {office.ann.id}, set())
    assert given.files or f"files/{receipt['file']}" in given.words
    assert receipt["file"] not in told.words
    assert f"|{job.id}.mp4>" in told.words
    assert told.buttons
    await office.posting.remove(receipt, job)
    assert (told.deleted, given.deleted) == (True, True)


async def test_a_flagged_clip_that_was_asked_for_in_direct_messages_stays_there(office):
    dm = office.slack.world.open_im(office.installed[office.acme.id], office.ann.id)
    job, card = await carded(office, channel=dm)
    await office.post(hidden(office, job, card))
    _, clip, below = dm.messages
    assert (len(clip.files), clip.pings, clip.thread_ts) == (1, {office.ann.id}, card["ts"])
    assert below.buttons


async def test_a_flagged_clip_is_never_handed_over_in_public(office):
    job = office.job()
    card = hidden(office, job).card
    await office.posting.hand(Address(**job.address), replace(card, private=False))
    await office.slack.until(lambda: office.clips(office.ann.dm))
    assert office.general.messages == []


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
    office.slack.trouble(r"chat\.update", error="ratelimited", status=429, retry_after=30)
    assert (await refusal(office.posting.edit(card, office.card(job)))).retry_after == 30.0
    later = await refusal(office.posting.edit(card, office.card(job)))
    assert later.code == "slack.rate_limited"
    assert 29 < later.retry_after < 32
    assert office.slack.calls("chat.update") == 1


async def test_progress_leaves_room_for_what_must_be_shown(office):
    job, card = await carded(office)
    fleeting = office.card(job, fleeting=True)
    with contextlib.suppress(DeliveryError):
        for _ in range(TIER_3.burst):
            await office.posting.edit(card, fleeting)
    assert office.slack.calls("chat.update") < TIER_3.burst
    await office.posting.edit(card, office.card(job))


async def test_the_outbox_shows_the_end_however_much_progress_there_was(office, bench, core):
    def paint(job, kind, file):
        return cards.status(job, Standing(now=bench.clock.now()), "en")

    address = Address(team=office.acme.id, channel=office.general.id, user=office.ann.id)
    order = replace(an_order(), platform="slack", address=address.as_dict())
    job = await core.jobs.submit(order)
    delivery = Delivery(
        outbox=core.outbox,
        store=core.store,
        artifacts=core.artifacts,
        events=core.events,
        platforms={"slack": office.posting},
        painter=paint,
        shrinker=None,
        clock=bench.clock,
    )
    delivering = asyncio.create_task(delivery.run())
    try:
        await bench.reached(job.id, JobState.QUEUED)
        await office.slack.until(lambda: office.general.messages)
        skipped = 0
        async with asyncio.timeout(10):
            while skipped < 10:
                await asyncio.sleep(0.02)  # as long as the outbox has something, that is newer
                try:
                    await delivery.refresh(job.id)
                except DeliveryError:
                    skipped += 1
        assert office.slack.calls("chat.update") <= TIER_3.burst
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
        await office.posting.remove(receipt, job)
    assert office.clips() == []
    assert office.general.thread(card["ts"]) == []
    assert office.slack.world.files[receipt["file"]].deleted


async def test_a_private_card_with_a_file_is_handed_over_in_the_direct_messages(office):
    job = office.job()
    shown = replace(office.clip(job).card, private=True, ping=False)
    await office.posting.hand(Address(**job.address), shown)
    await office.slack.until(lambda: office.clips(office.ann.dm))
    assert (office.general.messages, office.clips(office.ann.dm)[0].pings) == ([], set())


async def test_a_card_without_a_file_is_handed_over_where_it_was_asked_for(office):
    job = office.job()
    await office.posting.hand(Address(**job.address), office.card(job).card)
    assert len(office.general.messages) == 1


async def test_an_image_of_somebody_is_fetched_for_their_workspace_only(office, tmp_path):
    image = office.ann.attach(("fox.png", b"\x89PNG..."))
    job = office.job(spec=a_spec(image=image.id))
    await office.images.fetch(job, image.id, tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == b"\x89PNG..."
