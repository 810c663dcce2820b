"""Messages to the bot that people edit: one message makes one job."""

from __future__ import annotations

import asyncio

import pytest

from inference.domain.job import JobState
from inference.domain.verdict import Reason
from tests.fakes.executor import FakeSlot
from tests.fakes.moderators import FakeModerator, a_guard
from tests.scenario.slack_house import card_of, clip_below, written

pytestmark = [
    pytest.mark.cases(1),  # a channel and a direct message mostly go the same way
    pytest.mark.deep,
]

PICTURE = ("fox.png", b"\x89PNG not really a picture")


@pytest.fixture
async def busy(make_house, alice, general):
    """A bot whose GPU is taken: all else waits."""
    async with make_house(executor=FakeSlot()).open() as house:
        await alice.command(general, "/generate", "a mountain")
        await written(house, "SELECT 1 FROM jobs WHERE state = 'running'")
        yield house


async def asked(house, alice, channel, text="a fox", **more):
    """Ask by a message, and return it with its job, which waits."""
    if channel.kind == "im":
        message = alice.say(channel, text, **more)
    else:
        message = alice.mention_app(channel, text, **more)
    await alice.wait_for(channel, card_of(text.partition(" --")[0]))
    await written(house, "SELECT 1 FROM jobs WHERE state = 'queued'")
    return message, (await house.jobs())[1]


def edit(alice, message, text):
    mention = message.text.partition(" ")[0] + " " if message.text.startswith("<@") else ""
    alice.edit(message, mention + text)


def notes(channel):
    """What was said of edits."""
    said = [m.words for m in channel.messages if m.bot_id]
    return [words for words in said if "Changed job" in words or "already left the queue" in words]


def told(alice, channel, words):
    return alice.wait_for(channel, lambda m: m.bot_id and not m.metadata and words in m.words)


@pytest.fixture(params=["channel", "direct"])
def place(request, alice, general):
    return general if request.param == "channel" else alice.dm


async def test_a_waiting_job_takes_the_words_of_its_edited_message(busy, alice, place):
    message, job = await asked(busy, alice, place)
    edit(alice, message, "an owl --ar 1:1")
    await told(alice, place, "Changed job")
    await alice.wait_for(place, card_of("an owl"))
    [_, changed] = await busy.jobs()
    assert (changed.id, changed.spec.prompt, changed.spec.aspect) == (job.id, "an owl", "1:1")
    assert changed.spec.seed == job.spec.seed


async def test_an_edit_that_changes_only_an_option_of_the_model_counts(busy, alice, general):
    message, job = await asked(busy, alice, general, "a fox --motion low")
    edit(alice, message, "a fox --motion high")
    await told(alice, general, "Changed job")
    changed = await busy.core.store.get(job.id)
    assert changed.spec.options["motion"] == "high"


async def test_edits_one_after_the_other_end_with_the_last(busy, alice, place):
    message, job = await asked(busy, alice, place)
    for words in ("an owl", "a cat", "a heron"):
        edit(alice, message, words)
    await alice.wait_for(place, card_of("a heron"))
    await written(busy, "SELECT 1 FROM jobs WHERE state = 'queued'")
    assert [found.spec.prompt for found in await busy.jobs()] == ["a mountain", "a heron"]
    assert (await busy.jobs())[1].id == job.id


async def test_a_picture_stays_with_the_edited_message(busy, alice, place):
    message, _ = await asked(busy, alice, place, files=[PICTURE])
    edit(alice, message, "an owl")
    await alice.wait_for(place, card_of("an owl"))
    [_, changed] = await busy.jobs()
    assert changed.spec.image is not None


async def test_a_picture_that_an_edit_adds_is_taken(slack, busy, alice, place):
    message, job = await asked(busy, alice, place)
    alice.edit(message, message.text, files=[PICTURE])
    await told(alice, place, "Changed job")
    await written(busy, "SELECT 1 FROM jobs WHERE state = 'queued' AND spec LIKE '%image.png%'")
    [_, changed] = await busy.jobs()
    assert (changed.id, changed.spec.prompt) == (job.id, "a fox")
    assert changed.spec.image is not None


async def test_a_picture_that_an_edit_replaces_is_fetched_anew(slack, busy, alice, place):
    message, _ = await asked(busy, alice, place, files=[PICTURE])
    alice.edit(message, message.text, files=[("owl.png", b"another picture")])
    await told(alice, place, "Changed job")
    await written(busy, "SELECT 1 FROM jobs WHERE state = 'queued'")
    [_, changed] = await busy.jobs()
    assert (
        busy.core.artifacts.input(changed, changed.spec.image).read_bytes()
        == b"clean another picture"
    )


async def test_a_file_that_an_edit_adds_and_is_no_picture_is_said(slack, busy, alice, place):
    message, job = await asked(busy, alice, place)
    file = alice.attach(PICTURE)
    file.mode, file.external_type = "external", "gdrive"
    alice.edit(message, message.text, files=[file])
    await told(alice, place, "Google Drive")
    assert (await busy.jobs())[1].spec == job.spec


async def test_a_picture_puts_right_what_had_none(slack, house, alice, place):
    bot = f"<@{slack.world.installations[0].bot.id}>"
    message = alice.say(place, f"{bot} /animate it runs")
    await told(alice, place, "image")
    alice.edit(message, message.text, files=[PICTURE])
    await clip_below(slack, await alice.wait_for(place, card_of("it runs")))
    assert len(await house.jobs()) == 1


async def test_an_edit_to_nothing_leaves_the_job_and_says_what_is_missing(busy, alice, place):
    message, job = await asked(busy, alice, place)
    if place.kind == "im":
        alice.edit(message, " ")
    else:
        edit(alice, message, "")
    await told(alice, place, "/generate")
    assert (await busy.jobs())[1].spec == job.spec
    assert not any("Make a still image" in m.words for m in place.messages)


async def test_an_edit_after_the_end_is_told_what_to_do(make_house, alice, place):
    moderator = FakeModerator()
    moderator.found = frozenset({Reason.SEXUAL})
    async with make_house(guard=a_guard(texts=[moderator])).open() as house:
        bot = house.slack.world.installations[0].bot
        message = alice.say(place, f"<@{bot.id}> a fox")
        await written(house, "SELECT 1 FROM jobs WHERE state = 'refused'")
        moderator.found = frozenset()
        edit(alice, message, "an owl")
        note = await told(alice, place, "already left the queue")
        assert "new message" in note.words  # a refused job has no button for editing


async def test_an_edit_that_changes_nothing_does_nothing(slack, busy, alice, place):
    message, job = await asked(busy, alice, place)
    heard = len(slack.world.deliveries)
    edit(alice, message, "a fox")
    alice.unfurl(message)
    await alice.until_heard(place, "/rushes", "help")
    events = 2 if place.kind == "im" else 1
    await slack.until(lambda: len(slack.world.deliveries) == heard + events + 1)
    assert [(found.id, found.spec) for found in await busy.jobs()][1:] == [(job.id, job.spec)]
    assert not notes(place)


async def test_an_edit_that_changes_nothing_does_nothing_after_a_restart(
    slack, alice, general, make_house
):
    house = make_house(executor=FakeSlot())
    async with house.open():
        await alice.command(general, "/generate", "a mountain")
        await written(house, "SELECT 1 FROM jobs WHERE state = 'running'")
        message, job = await asked(house, alice, general, "a fox --ar 1:1")
    async with house.open():
        edit(alice, message, "a fox  --ar 1:1")
        await slack.until(lambda: slack.world.deliveries[-1].seconds is not None)
        reply = await alice.command(general, "/rushes", "help")
        assert reply.acknowledged
        assert [found.id for found in await house.jobs()][1:] == [job.id]
        assert not notes(general)


async def test_an_edit_after_the_start_is_answered_by_a_note(slack, house, alice, place):
    message = alice.say(place, f"<@{slack.world.installations[0].bot.id}> a fox")
    await clip_below(slack, await alice.wait_for(place, card_of("a fox")))
    edit(alice, message, "an owl")
    await told(alice, place, "already left the queue")
    assert [job.spec.prompt for job in await house.jobs()] == ["a fox"]


async def test_an_edit_while_the_job_is_prepared_is_taken_after_that(make_house, alice, general):
    moderator = FakeModerator()
    moderator.gate = asyncio.Event()
    house = make_house(executor=FakeSlot(), guard=a_guard(texts=[moderator]))
    async with house.open():
        message = alice.mention_app(general, "a fox")
        await written(house, "SELECT 1 FROM jobs WHERE state = 'preparing'")
        await house.core.jobs.pause()
        edit(alice, message, "an owl")
        moderator.gate.set()
        await told(alice, general, "Changed job")
        [job] = await house.jobs()
        assert job.spec.prompt == "an owl"


async def test_new_words_are_checked_like_the_first(make_house, alice, general):
    moderator = FakeModerator()
    house = make_house(executor=FakeSlot(), guard=a_guard(texts=[moderator]))
    async with house.open():
        await alice.command(general, "/generate", "a mountain")
        await written(house, "SELECT 1 FROM jobs WHERE state = 'running'")
        message, job = await asked(house, alice, general)
        moderator.found = frozenset({Reason.SEXUAL})
        edit(alice, message, "an owl")
        await written(house, "SELECT 1 FROM jobs WHERE state = 'refused'")
        refused = (await house.jobs())[1]
        assert (refused.id, refused.state) == (job.id, JobState.REFUSED)
        assert ("an owl",) in [texts for texts, _ in moderator.texts]


async def test_an_edit_that_is_not_possible_leaves_the_job_alone(busy, alice, place):
    message, job = await asked(busy, alice, place)
    edit(alice, message, "an owl --arr 1:1")
    await told(alice, place, "--aspect")
    assert (await busy.jobs())[1].spec == job.spec


async def test_a_message_that_could_not_be_done_makes_its_job_when_it_is_put_right(
    slack, house, alice, place
):
    message = alice.say(place, f"<@{slack.world.installations[0].bot.id}> a fox --arr 9:16")
    await told(alice, place, "--aspect")
    edit(alice, message, "a fox --ar 9:16")
    await clip_below(slack, await alice.wait_for(place, card_of("a fox")))
    [job] = await house.jobs()
    assert job.spec.aspect == "9:16"


async def test_a_mention_that_an_edit_added_makes_a_job(slack, house, alice, general):
    message = alice.say(general, "look at this")
    alice.edit(message, f"<@{slack.world.installations[0].bot.id}> a fox")
    await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
    assert len(await house.jobs()) == 1


async def test_events_of_an_edit_that_come_again_and_in_any_order_make_one_job(
    make_house, alice, general, slack
):
    slack.hub.faults.redelivered = 1.0
    async with make_house(executor=FakeSlot()).open() as house:
        await alice.command(general, "/generate", "a mountain")
        await written(house, "SELECT 1 FROM jobs WHERE state = 'running'")
        message, job = await asked(house, alice, general)
        edit(alice, message, "an owl")
        edit(alice, message, "a heron")
        await alice.wait_for(general, card_of("a heron"))
        mentions = lambda: [d for d in slack.world.deliveries if d.name == "app_mention"]  # noqa: E731
        await slack.until(lambda: len(mentions()) == 6 and mentions()[-1].seconds is not None)
        assert [found.id for found in await house.jobs()][1:] == [job.id]
        assert (await house.jobs())[1].spec.prompt == "a heron"
