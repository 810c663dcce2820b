"""What Slack sent and we acknowledged is answered, though the process ends before that."""

from __future__ import annotations

import contextlib
import json
import math

import pytest

from bot.slack.inbound import inbox, slash_commands
from bot.slack.inbound.inbox import MOST_TRIES
from tests.fakes.slack import LoopbackSlack
from tests.scenario.slack_bot import SlackBot, declared
from tests.scenario.slack_house import card_of, clip_below, written
from tests.scenario.slack_people import GENERATE, picture
from tests.scenario.slack_verdict import ended, traces

FLAGS = "--res 360p --frames 1"
LOOKUPS = r"users\.info|conversations\.info|files\.info"
"""What an answer waits for, after the acknowledgement."""

NOTHING_LEFT = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM slack_inbox)"


@pytest.fixture
async def bot(tmp_path):
    async with LoopbackSlack(application=await declared("socket")) as slack:
        bot = SlackBot(tmp_path, slack)
        try:
            await bot.start()
            yield bot
        finally:
            await bot.close()
        assert slack.violations == []


@pytest.mark.process
@pytest.mark.slow
async def test_what_was_acknowledged_before_a_kill_is_done_after_it_and_once(bot):
    slack = bot.slack
    acme = slack.add_team("acme")
    alice, bob, cleo, dora, emil = people = [
        acme.add_user(name) for name in ("alice", "bob", "cleo", "dora", "emil")
    ]
    await slack.install(acme, alice, f"{bot.url}/install")
    general, other = (acme.add_channel(name, *people) for name in ("general", "other"))
    await alice.command(general, "/generate", f"seed0000 {FLAGS}")
    card = await alice.wait_for(general, card_of("seed0000"))
    await slack.until(lambda: all(map(ended, traces(slack).values())), 180)
    [clip] = [message for message in general.thread(card) if message.buttons]
    reroll = next(b["action_id"] for b in clip.buttons if ":reroll:" in b["action_id"])
    opened = await bob.shortcut(GENERATE)
    form = await bob.wait_for_modal(lambda view: view.trigger_id == opened.trigger_id)

    slow = slack.trouble(LOOKUPS, slow_seconds=600.0, times=math.inf)
    replies = [
        await cleo.command(general, "/generate", f"command0001 {FLAGS}"),
        await dora.click(clip, reroll),
        await bob.submit(form, {"prompt": f"form0002 {FLAGS}", "channel": other.id}),
        await emil.command(general, "/rushes", "queue"),
    ]
    cleo.mention_app(other, "mention0003 --res 360p --frames 49", files=[picture()])
    await slack.until(lambda: all(d.seconds is not None for d in slack.world.deliveries))
    assert all(reply.acknowledged and not reply.payload for reply in replies)
    assert len(traces(slack)) == 1
    await bot.kill()
    slow.over()
    await bot.start()

    words = ("seed0000", "command0001", "form0002", "mention0003")
    await slack.until(
        lambda: len(traces(slack)) == 5 and all(map(ended, traces(slack).values())), 180
    )
    await emil.wait_for(general, lambda message: message.only_for == emil.id)
    seen = traces(slack).values()
    assert [sum(word in one.words for one in seen) for word in words] == [2, 1, 1, 1]
    assert all(len(one.cards) == len(one.clips) == 1 for one in seen)
    assert await bot.stop() == 0


@contextlib.contextmanager
def impatient(slack, monkeypatch):
    """Let Slack be so slow that everything is acknowledged first."""
    monkeypatch.setattr(slash_commands, "ACK_SECONDS", 0.0)
    slow = slack.trouble(LOOKUPS, slow_seconds=600.0, times=math.inf)
    yield
    slow.over()


async def test_a_stop_leaves_to_the_next_start_what_is_not_answered(
    slack, alice, general, make_house, monkeypatch
):
    async with make_house().open() as house:
        with impatient(slack, monkeypatch):
            await alice.command(general, "/generate", "a fox")
            assert await house.jobs() == []
            await written(house, "SELECT 1 FROM slack_inbox")
            [row] = await house.core.database.read("SELECT body FROM slack_inbox")
    assert "token" not in json.loads(row["body"])
    async with make_house().open() as house:
        await clip_below(slack, await alice.wait_for(general, card_of("a fox")))
        assert len(await house.jobs()) == 1
        await written(house, NOTHING_LEFT)


async def test_what_is_answered_is_not_kept(slack, alice, general, make_house, monkeypatch):
    monkeypatch.setattr(slash_commands, "ACK_SECONDS", 0.0)
    async with make_house().open() as house:
        await alice.command(general, "/generate", "a fox --arr 9:16")
        await alice.wait_for(general, lambda message: message.only_for == alice.id)
        await written(house, NOTHING_LEFT)


async def test_a_private_answer_comes_after_the_url_for_it_has_expired(
    slack, alice, general, make_house, monkeypatch
):
    async with make_house().open():
        with impatient(slack, monkeypatch):
            await alice.command(general, "/rushes", "queue")
    slack.world.response_urls.clear()
    async with make_house().open() as house:
        await alice.wait_for(general, lambda message: message.only_for == alice.id)
        await written(house, NOTHING_LEFT)


async def test_a_form_that_can_not_be_opened_any_more_is_said(
    slack, alice, general, make_house, monkeypatch
):
    async with make_house().open():
        await alice.command(general, "/generate", "a fox")
        card = await alice.wait_for(general, card_of("a fox"))
        await clip_below(slack, card)
    async with make_house().open() as house:
        slack.trouble(r"views\.open", error="expired_trigger_id", times=math.inf)
        buttons = await slack.until(
            lambda: next((m for m in general.thread(card) if m.buttons), None)
        )
        edit = next(b["action_id"] for b in buttons.buttons if ":edit:" in b["action_id"])
        await alice.click(buttons, edit)
        await alice.wait_for(general, lambda m: m.only_for == alice.id and "form" in m.words)
        await written(house, NOTHING_LEFT)


@pytest.mark.parametrize("body", ["{}", "no json", '{"command": "/generate", "team_id": "T0"}'])
async def test_what_nobody_takes_is_dropped(make_house, body):
    async with make_house().open() as house:
        insert = "INSERT INTO slack_inbox (body) VALUES (?)"
        await house.core.database.write("test", lambda c: c.execute(insert, (body,)))
    async with make_house().open() as house:
        await written(house, NOTHING_LEFT)
        assert await house.jobs() == []


async def test_what_ends_the_process_again_and_again_is_given_up(house):
    insert = "INSERT INTO slack_inbox (body, tries) VALUES ('{}', ?)"
    await house.core.database.write("test", lambda c: c.execute(insert, (MOST_TRIES,)))
    assert await inbox.Inbox(house.core.database, house.platform).left() == []
    await written(house, NOTHING_LEFT)
