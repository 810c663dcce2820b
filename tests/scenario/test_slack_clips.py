"""How a clip gets to Slack once, through a Slack that loses answers and files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.slack.address import Address
from bot.slack.platform import UPLOAD_LIMIT
from tests.fakes.slack.model import walk
from tests.scenario.slack_office import CLIP, Killed, carded, hidden, open_office, refusal, uploaded

pytestmark = pytest.mark.deep


@pytest.fixture
async def office(tmp_path):
    async with open_office(tmp_path) as office:
        yield office


async def test_a_clip_is_under_its_card_with_one_ping_and_its_buttons_below(office):
    job, card = await carded(office)
    receipt = await office.post(office.clip(job, card))
    clip, below = office.general.thread(card["ts"])
    [file] = clip.files
    assert (file.data, file.name, clip.pings) == (CLIP, f"{job.id}.mp4", {office.ann.id})
    assert "seed 7" in clip.words
    assert "friends" in file.title
    assert {"Reroll", "Info"} <= {button["text"]["text"] for button in below.buttons}
    [menu] = [each for each in walk(below.blocks) if each.get("type") == "overflow"]
    assert [each["value"] for each in menu["options"]] == [f"v1:delete:{job.id}"]
    assert (below.pings, below.metadata) == (set(), None)
    assert receipt == {
        "channel": office.general.id,
        "ts": clip.ts,
        "file": file.id,
        "buttons_ts": below.ts,
        "buttons_channel": office.general.id,
    }
    await office.poster.edit(receipt, office.clip(job, card))
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
    assert len(CLIP) < UPLOAD_LIMIT


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
    await office.poster.remove(receipt, job)
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
    await office.poster.hand(Address(**job.address), replace(card, private=False))
    await office.slack.until(lambda: office.clips(office.ann.dm))
    assert office.general.messages == []
