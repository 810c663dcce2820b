"""Places on Slack that close while a clip is made: for a while, or for good."""

from __future__ import annotations

import pytest

from bot.delivery import fallback
from bot.slack.outbound import files
from inference.domain.outbox import Route
from tests.fakes.executor import FakeSlot
from tests.scenario.slack_house import card_of, clip_below, written
from tests.scenario.slack_office import carded, open_office, refusal

pytestmark = pytest.mark.deep


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Wait for closed places as long as it takes, but look at them often."""
    monkeypatch.setattr(fallback, "LONGEST_SECONDS", 0.05)
    forever = {Route.THREAD: float("inf"), Route.CHANNEL: float("inf")}
    monkeypatch.setattr(fallback, "PASSING_SECONDS", forever)


@pytest.fixture
def impatient(monkeypatch):
    """Wait for no place at all."""
    monkeypatch.setattr(fallback, "PASSING_SECONDS", {})


@pytest.fixture
async def rendering(make_house, alice, acme):
    """A bot that renders what alice asked for in a channel; yields it with the card."""

    async def ask(kind="public"):
        channel = acme.add_channel("studio", alice, kind=kind)
        await alice.command(channel, "/generate", "a fox")
        card = await alice.wait_for(channel, card_of("a fox"))
        await house.executor.started()
        return channel, card

    async with make_house(executor=FakeSlot()).open() as house:
        yield house, ask


def refused(slack, code, times):
    """Wait until Slack has refused so often with a code."""
    return slack.until(lambda: sum(c.error == code for c in slack.world.calls) >= times)


def archive(channel, _):
    channel.archived = True


def unarchive(channel, _):
    channel.archived = False


def kick(channel, bot):
    channel.members.discard(bot)


def invite(channel, bot):
    channel.members.add(bot)


def clips(channel):
    return [message for message in channel.messages if message.files]


@pytest.mark.parametrize(
    ("kind", "closing", "code"),
    [
        ("public", (archive, unarchive), "is_archived"),
        ("public", (kick, invite), "not_in_channel"),
        ("private", (kick, invite), "channel_not_found"),
    ],
)
@pytest.mark.cases(1)
async def test_a_channel_that_is_closed_for_a_while_gets_its_clip_after_that(
    alice, rendering, kind, closing, code
):
    house, ask = rendering
    bot = house.slack.world.installations[0].bot.id
    close, reopen = closing
    channel, card = await ask(kind)
    close(channel, bot)
    house.executor.finish()
    await refused(house.slack, code, 3)
    reopen(channel, bot)
    clip = await clip_below(house.slack, card)
    await written(house, "SELECT 1 FROM jobs WHERE state = 'done'")
    assert "Here" not in clip.words
    assert len(clips(channel)) == 1
    assert clips(alice.dm) == []


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("method", "code"),
    [
        (r"files\.completeUploadExternal", "restricted_action"),
        (r"files\.completeUploadExternal", "posting_to_channel_denied"),
        (r"files\.completeUploadExternal", "team_access_not_granted"),
        (r"files\.getUploadURLExternal", "file_uploads_disabled"),
        (r"files\.getUploadURLExternal", "storage_limit_reached"),
    ],
)
async def test_a_refusal_that_passes_is_waited_out_and_nothing_is_doubled(
    alice, rendering, method, code
):
    house, ask = rendering
    slack = house.slack
    channel, card = await ask()
    trouble = slack.trouble(method, times=3, error=code)
    house.executor.finish()
    await slack.until(lambda: trouble.left == 0)
    await clip_below(slack, card)
    await written(house, "SELECT 1 FROM jobs WHERE state = 'done'")
    assert len(clips(channel)) == 1
    assert clips(alice.dm) == []
    if "complete" in method:  # what is up there already is not sent again
        assert slack.calls("files.getUploadURLExternal") == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("close", "why"), [(archive, "is archived"), (kick, "no longer in the channel")]
)
async def test_who_gets_a_clip_directly_is_told_why(alice, rendering, close, why):
    house, ask = rendering
    channel, _ = await ask()
    close(channel, house.slack.world.installations[0].bot.id)
    house.executor.finish()
    clip = await alice.wait_for(alice.dm, lambda m: m.files)
    assert why in clip.words
    assert clip.pings == {alice.id}
    assert sum(why in message.words for message in alice.dm.messages) == 1
    assert clips(channel) == []


async def test_a_clip_whose_thread_is_locked_says_why_it_is_in_the_channel(
    alice, rendering, monkeypatch
):
    house, ask = rendering
    channel, _ = await ask()
    locked = "restricted_action_thread_locked"
    house.slack.trouble(r"files\.completeUploadExternal", error=locked, times=1)
    monkeypatch.setattr(fallback, "PASSING_SECONDS", {Route.CHANNEL: float("inf")})
    house.executor.finish()
    clip = await alice.wait_for(channel, lambda m: m.files)
    assert clip.thread_ts is None
    assert "cannot write in the thread" in clip.words


@pytest.mark.parametrize("code", ["access_denied", "missing_scope", "team_access_not_granted"])
async def test_a_clip_that_may_be_there_is_posted_nowhere_else_while_nobody_may_look(
    tmp_path, monkeypatch, code
):
    monkeypatch.setattr(files, "SETTLE_SECONDS", (0.05,))
    async with open_office(tmp_path) as office:
        job, card = await carded(office)
        office.slack.trouble(r"files\.completeUploadExternal", taken=True, reset=True)
        error = await refusal(office.post(office.clip(job, card)))
        assert error.code == "slack.unreachable"
        trouble = office.slack.trouble(r"files\.info", error=code, times=float("inf"))
        error = await refusal(office.post(office.clip(job, card)))
        assert (error.code, error.transient, error.passing) == ("delivery.unseen", False, True)
        trouble.over()
        await office.post(office.clip(job, card))
        assert len(office.clips()) == 1


@pytest.mark.parametrize("code", ["token_revoked", "account_inactive", "invalid_auth"])
@pytest.mark.cases(1)
async def test_a_clip_waits_for_a_token_that_slack_rejects_and_the_operator_hears_of_it(
    slack, rendering, code
):
    house, ask = rendering
    _, card = await ask()
    trouble = slack.trouble(r"chat\.|files\.|conversations\.", times=float("inf"), error=code)
    house.executor.finish()
    await refused(slack, code, 3)
    [problem] = house.services.health.problems.values()
    assert card.team.id in problem
    assert code in problem
    trouble.over()
    await clip_below(slack, card)
    await slack.until(lambda: not house.services.health.problems)
