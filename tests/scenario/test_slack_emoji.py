"""Emoji that people type on Slack reach prompts as Unicode, on every way in."""

from __future__ import annotations

import pytest

from tests.scenario.slack_house import buttons_below, card_of, clip_below

TYPED = "a 🦊 waves 👋🏼"
PICTURE = ("fox.png", b"\x89PNG not really a picture")


async def by_command(alice, general):
    await alice.command(general, "/generate", TYPED)


async def by_mention(alice, general):
    alice.mention_app(general, TYPED)


async def by_direct_message(alice, general):
    alice.say(alice.dm, TYPED)


async def by_form(alice, general):
    await alice.command(general, "/generate")
    await alice.submit(await alice.wait_for_modal(), {"prompt": TYPED})


async def by_shortcut(alice, general):
    message = alice.say(general, "look", files=[PICTURE])
    await alice.message_shortcut("Animate this image", message)
    await alice.submit(await alice.wait_for_modal(), {"prompt": TYPED})


@pytest.mark.parametrize("way", [by_command, by_mention, by_direct_message, by_form, by_shortcut])
@pytest.mark.cases(2)
async def test_emoji_are_unicode_in_the_prompt(slack, house, alice, general, way):
    await way(alice, general)
    await slack.until(lambda: any(TYPED in m.words for m in slack.world.messages() if m.metadata))
    [job] = await house.jobs()
    assert job.spec.prompt == TYPED


async def test_emoji_are_unicode_in_the_form_of_edit(slack, house, alice, general):
    await alice.command(general, "/generate", "a fox")
    card = await alice.wait_for(general, card_of("a fox"))
    await clip_below(slack, card)
    await alice.click(await buttons_below(slack, card), "Edit")
    await alice.submit(await alice.wait_for_modal(), {"prompt": TYPED})
    await alice.wait_for(general, card_of(TYPED))
    assert [job.spec.prompt for job in await house.jobs()] == ["a fox", TYPED]
