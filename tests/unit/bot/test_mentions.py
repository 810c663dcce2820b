"""Mentions and typed names become ids as each chat writes them."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from bot.discord.directory import DiscordDirectory
from bot.slack.lookups.directory import SlackDirectory
from commands.directory import OpenDirectory
from commands.installation import Installation
from commands.policy.settings_values import read_setting
from tests.fakes.models import MODELS
from tests.fakes.options import SETTINGS

DISCORD = DiscordDirectory(Mock())
SLACK = SlackDirectory(Mock(), Mock())
NANO = Installation(models=(MODELS.capabilities("nano"),), default_model="nano")
EVERY = pytest.mark.parametrize("directory", [DISCORD, SLACK, OpenDirectory()])


@pytest.mark.parametrize(
    ("directory", "mention", "found"),
    [
        (DISCORD, "<@1>", "1"),
        (DISCORD, "<@!1>", "1"),
        (DISCORD, "<@&1>", "1"),
        (DISCORD, " <#1> ", "1"),
        (DISCORD, "<@U1|ann>", "<@U1|ann>"),
        (SLACK, "<@U1>", "U1"),
        (SLACK, "<@U1|ann>", "U1"),
        (SLACK, " <#C1|film> ", "C1"),
        (SLACK, "<!subteam^S1|@film>", "S1"),
        (SLACK, "<!here>", "<!here>"),
    ],
)
def test_a_mention_is_read_as_its_id(directory, mention, found):
    assert directory.plain_id(mention) == found


@EVERY
@pytest.mark.parametrize(
    ("typed", "found"),
    [("@ann", "ann"), (" ann ", "ann"), ("#film", "film"), ("42", "42"), ("<@>", "<@>")],
)
def test_what_is_typed_plainly_is_itself(directory, typed, found):
    assert directory.plain_id(typed) == found


@pytest.mark.parametrize(
    ("directory", "key", "typed", "value"),
    [
        (DISCORD, "roles", "<@&77>, film", ["77", "film"]),
        (DISCORD, "quota.people", "<@42>=0 <@!7>=unlimited", {"42": 0, "7": None}),
        (SLACK, "roles", "<!subteam^S12|@edit>, S13", ["S12", "S13"]),
        (SLACK, "channels", "<#C123|film> #C4", ["C123", "C4"]),
        (SLACK, "quota.people", "<@U42|ann>=10m", {"U42": 600}),
    ],
)
def test_settings_are_kept_by_id(directory, key, typed, value):
    assert read_setting(SETTINGS.by_key[key], typed, NANO, plain_id=directory.plain_id) == value
