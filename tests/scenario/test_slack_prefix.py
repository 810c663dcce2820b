"""A workspace where another app has our commands: everything is called by its prefixed name."""

from __future__ import annotations

import json
import re

import pytest

from tests.fakes.slack import LoopbackSlack
from tests.scenario.slack_house import card_of, clip_below, declared

PREFIX = "acme-"
BARE = re.compile(r"(?<!\w)/(generate|image|animate|rushes)")


@pytest.fixture
async def slack():
    async with LoopbackSlack(application=declared(PREFIX), ping_seconds=0.05) as slack:
        yield slack
        assert slack.violations == []


@pytest.fixture
async def house(make_house):
    async with make_house(section={"command_prefix": PREFIX}).open() as house:
        yield house


async def test_a_prefixed_command_makes_a_clip(slack, house, alice, general):
    await alice.command(general, "/acme-generate", "a fox")
    card = await alice.wait_for(general, card_of("a fox"))
    await clip_below(slack, card)
    [job] = await house.jobs()
    assert job.spec.prompt == "a fox"


async def test_answers_and_examples_name_the_prefixed_commands(house, alice, general):
    for verb, text, said in (
        ("/acme-image", "a fox --camera static", "/acme-generate"),
        ("/acme-rushes", "help", "/acme-rushes queue"),
        ("/acme-rushes", "help generate", "/acme-generate"),
        ("/acme-rushes", "hlep", "/acme-rushes help"),
        ("/acme-animate", "it runs", "/acme-animate"),
    ):
        reply = await alice.command(general, verb, text)
        words = reply.payload["text"]
        assert said in words, words
        assert not BARE.search(words), words


async def test_a_command_alone_opens_its_form(house, alice, general):
    await alice.command(general, "/acme-generate", "")
    form = await alice.wait_for_modal()
    assert form.content["title"]["text"] == "/acme-generate"
    assert not BARE.search(json.dumps(form.content["blocks"]))


async def test_an_error_at_a_field_names_the_prefixed_commands(house, alice, general):
    await alice.command(general, "/acme-image", "")
    form = await alice.wait_for_modal()
    reply = await alice.submit(form, {"prompt": "a fox --frames 49"})
    [error] = reply.payload["errors"].values()
    assert "Use /acme-generate" in error
    assert not BARE.search(error)


async def test_a_mention_takes_both_names(house, alice, general):
    for number, verb in enumerate(("/acme-generate", "/generate")):
        alice.mention_app(general, f"{verb} fox number {number}")
        await alice.wait_for(general, card_of(f"fox number {number}"))
