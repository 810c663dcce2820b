"""The verdict on a server day sees what went wrong, on days that were made up."""

import pytest

from tests.fakes.discord import ChannelKind, File, LoopbackDiscord, Message
from tests.scenario.discord_verdict import jobs, judge

JOB = "7Q2FK9XDAB"


class MadeUp:
    """A Discord without a bot, whose messages a test writes."""

    def __init__(self):
        self.discord = LoopbackDiscord()
        self.world = self.discord.world
        guild = self.discord.add_guild("studio")
        self.general = self.discord.add_channel(guild)
        self.person = self.discord.add_person("p1", guild)
        self.other = self.discord.add_person("p2", guild)

    def post(self, channel, content, *, verbs=(), files=(), pings=()):
        buttons = [{"type": 2, "custom_id": f"v1:{verb}:{JOB}"} for verb in verbs]
        message = Message(
            id=self.world.clock.snowflake(),
            channel=channel,
            author=self.world.bot,
            posted_at=self.world.clock.now(),
            content=content,
            components=[{"type": 1, "components": buttons}] if buttons else [],
            attachments=[self.world.attach(channel, file) for file in files],
            pings=frozenset(person.id for person in pings),
        )
        self.world.post(message)
        return message

    def card(self, channel=None):
        return self.post(channel or self.general, "a fox by p1, take 1", verbs=["cancel"])

    def thread(self, card):
        bot, kind = self.world.bot, ChannelKind.PUBLIC_THREAD
        return self.world.open_thread(
            card.channel, "a fox", owner=bot, kind=kind, minutes=1440, message=card
        )

    def clip(self, channel, *, pings=None, data=b"film: a fox by p1, take 1"):
        file = File(name=f"{JOB}.mp4", data=data)
        pinged = [self.person] if pings is None else pings
        return self.post(channel, "here it is", verbs=["reroll"], files=[file], pings=pinged)

    def problem(self):
        [problem] = judge(self.discord).problems
        return problem


@pytest.fixture
async def made_up():
    return MadeUp()


async def test_a_good_day_has_no_problem(made_up):
    made_up.clip(made_up.thread(made_up.card()))
    verdict = judge(made_up.discord)
    assert (verdict.accepted, verdict.delivered, verdict.problems) == (1, 1, [])


async def test_a_cancelled_job_brings_nothing(made_up):
    card = made_up.card()
    card.components = [{"type": 1, "components": [{"type": 2, "custom_id": f"v1:retry:{JOB}"}]}]
    assert jobs(made_up.discord)[JOB].ended
    assert judge(made_up.discord).cancelled == 1
    made_up.clip(made_up.thread(card))
    assert "1 clips" in made_up.problem()


async def test_a_clip_may_come_without_its_thread_if_it_says_why(made_up):
    made_up.card()
    clip = made_up.clip(made_up.general)
    assert "the clip is in" in made_up.problem()
    clip.content = "Posted here because there are too many."
    assert judge(made_up.discord).problems == []


async def test_a_clip_that_never_came_is_seen(made_up):
    made_up.card()
    assert not jobs(made_up.discord)[JOB].ended
    assert "0 clips" in made_up.problem()


async def test_a_clip_that_came_twice_is_seen(made_up):
    thread = made_up.thread(made_up.card())
    made_up.clip(thread)
    made_up.clip(thread)
    assert "2 clips" in made_up.problem()


async def test_a_clip_in_the_wrong_place_is_seen(made_up):
    made_up.thread(made_up.card())
    made_up.clip(made_up.general)
    assert "the clip is in general" in made_up.problem()


async def test_a_clip_of_somebody_else_is_seen(made_up):
    made_up.clip(made_up.thread(made_up.card()), data=b"film: a fox by p1, take 12")
    assert made_up.problem().endswith("another prompt")


@pytest.mark.parametrize("who", [[], ["other"], ["person", "other"]])
async def test_a_ping_that_is_missing_or_too_much_is_seen(made_up, who):
    pings = [getattr(made_up, name) for name in who]
    made_up.clip(made_up.thread(made_up.card()), pings=pings)
    assert "were notified" in made_up.problem()


async def test_a_second_card_is_seen(made_up):
    made_up.clip(made_up.thread(made_up.card()))
    made_up.card()
    assert "2 cards" in made_up.problem()


async def test_a_job_that_failed_is_seen(made_up):
    thread = made_up.thread(made_up.card())
    made_up.post(thread, "it failed", verbs=["retry", "info"], pings=[made_up.person])
    assert "it failed" in made_up.problem()


async def test_a_message_of_no_job_is_seen(made_up):
    made_up.post(made_up.general, "what is this?")
    assert "what is this?" in made_up.problem()


async def test_an_answer_that_was_announced_and_never_came_is_seen(made_up):
    message = made_up.post(made_up.general, "")
    message.flags = 1 << 7
    assert "left thinking" in made_up.problem()
    assert judge(made_up.discord, kills=[message.posted_at + 1]).thinking == 1


async def test_forbidden_requests_are_seen(made_up):
    made_up.discord.violations.append("POST /nowhere")
    assert "POST /nowhere" in made_up.problem()
