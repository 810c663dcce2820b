"""Files on Slack that are no images to fetch: each gets its own sentence, and nothing is queued."""

from __future__ import annotations

import pytest

from bot.slack.inbound import images
from tests.scenario.slack_house import card_of, clip_below, written

PICTURE = ("fox.png", b"\x89PNG not really a picture")

KINDS = {
    "drive": ({"mode": "external", "external_type": "gdrive"}, "in Google Drive"),
    "google document": ({"mode": "gdoc", "external_type": "gdrive"}, "in Google Drive"),
    "dropbox": ({"mode": "external", "external_type": "dropbox"}, "in Dropbox"),
    "somewhere": ({"mode": "external", "external_type": "unknown"}, "only a link"),
    "hidden by the plan": ({"mode": "hidden_by_limit"}, "plan"),
    "deleted": ({"deleted": True}, "was deleted"),
    "denied": ({"access_denied": True}, "does not let me see"),
    "snippet": ({"mode": "snippet"}, "not a readable image"),
    "post": ({"mode": "post"}, "not a readable image"),
    "uploading": ({"looked_into": False, "completed": False}, "whole file"),
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(images, "UPLOADING_SECONDS", 0.01)
    monkeypatch.setattr(images, "FIRST_SECONDS", 0.01)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def make(alice, what):
    file = alice.attach(PICTURE)
    for name, value in what.items():
        setattr(file, name, value)
    return file


def say(alice, channel, text, file):
    return alice.say(channel, text, files=[file])


def answer(alice, channel, words):
    return alice.wait_for(channel, lambda m: m.bot_id and words in m.words)


@pytest.mark.cases(3)
async def test_a_mention_with_such_a_file_is_answered_and_makes_nothing(
    slack, house, alice, general, kind
):
    what, words = kind
    bot = slack.world.installations[0].bot
    say(alice, general, f"<@{bot.id}> it runs", make(alice, what))
    said = await answer(alice, general, words)
    assert said.only_for == alice.id
    assert said.buttons == []
    assert await house.jobs() == []


@pytest.mark.cases(3)
async def test_such_a_file_cannot_be_animated(slack, house, alice, general, kind):
    what, words = kind
    message = say(alice, general, "look", make(alice, what))
    await alice.message_shortcut("Animate this image", message)
    assert (await answer(alice, general, words)).buttons == []
    assert alice.modal is None


@pytest.mark.cases(1)
async def test_a_form_with_such_a_file_is_refused_without_a_useless_try_again(
    slack, house, alice, general, kind
):
    what, words = kind
    await alice.command(general, "/generate")
    form = await alice.wait_for_modal()
    await alice.submit(form, {"prompt": "it runs", "image": [make(alice, what)]})
    card = await alice.wait_for(general, lambda m: m.metadata and words in m.words)
    labels = [button["text"]["text"] for button in card.buttons]
    assert ("Try again" in labels) == ("looked_into" in what)  # it may be there the next time


async def test_a_file_that_arrives_late_is_waited_for(house, alice, general, slack, monkeypatch):
    monkeypatch.setattr(images, "UPLOADING_TRIES", 12)
    file = make(alice, {"looked_into": False, "completed": False})
    bot = slack.world.installations[0].bot
    say(alice, general, f"<@{bot.id}> it runs", file)
    await slack.until(lambda: slack.calls("files.info") >= 2)
    file.looked_into = file.completed = True
    await clip_below(slack, await alice.wait_for(general, card_of("it runs")))
    [job] = await house.jobs()
    assert job.spec.image is not None


async def test_a_good_picture_beside_such_a_file_is_taken(house, alice, general):
    drive = make(alice, {"mode": "external", "external_type": "gdrive"})
    alice.mention_app(general, "it runs", files=[drive, PICTURE])
    await alice.wait_for(general, card_of("it runs"))
    [job] = await house.jobs()
    assert job.spec.image is not None


async def test_a_picture_in_a_forwarded_message_is_animated(slack, house, alice, general):
    shared = alice.say(general, "look", files=[PICTURE])
    forward = alice.say(general, "and this", shares=shared)
    await alice.message_shortcut("Animate this image", forward)
    await alice.submit(await alice.wait_for_modal(), {"prompt": "it runs"})
    await clip_below(slack, await alice.wait_for(general, card_of("it runs")))
    [job] = await house.jobs()
    assert job.spec.image is not None


@pytest.mark.parametrize("place", ["channel", "direct"])
async def test_a_picture_in_a_message_that_is_forwarded_to_the_bot_is_taken(
    slack, house, alice, general, place
):
    shared = alice.say(general, "look", files=[PICTURE])
    bot = slack.world.installations[0].bot
    channel = general if place == "channel" else alice.dm
    alice.say(channel, f"<@{bot.id}> it runs", shares=shared)
    await clip_below(slack, await alice.wait_for(channel, card_of("it runs")))
    [job] = await house.jobs()
    assert job.spec.image is not None


async def test_a_forwarded_file_that_was_deleted_is_said(house, alice, general):
    shared = alice.say(general, "look", files=[make(alice, {"deleted": True})])
    await alice.message_shortcut("Animate this image", alice.say(general, "x", shares=shared))
    await answer(alice, general, "was deleted")


async def test_a_picture_that_was_deleted_meanwhile_is_not_the_threads_picture(
    slack, house, alice, general
):
    first = alice.say(general, "look", files=[PICTURE])
    second = alice.say(general, "and this", thread=first, files=[("owl.png", PICTURE[1])])
    await written(house, "SELECT 1 FROM slack_files GROUP BY 1 HAVING count(*) = 2")
    second.files[0].deleted = True
    alice.mention_app(general, "it runs", thread=first)
    await alice.wait_for(general, card_of("it runs"))
    [job] = await house.jobs()
    assert job.spec.image is not None
    assert job.failure is None


async def test_a_stub_that_slack_does_not_explain_now_is_not_taken_for_no_picture(
    slack, house, alice, general
):
    slack.trouble(r"files\.info", times=float("inf"), status=503)
    bot = slack.world.installations[0].bot
    say(alice, general, f"<@{bot.id}> it runs", make(alice, KINDS["uploading"][0]))
    await answer(alice, general, "cannot say what that file is")
    assert await house.jobs() == []
