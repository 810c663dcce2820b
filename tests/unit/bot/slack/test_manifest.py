from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot import factories
from bot.cli import parser
from bot.config.sources import load_config
from bot.slack.command_prefix import RESERVED, CommandPrefix
from bot.slack.manifest import EVENTS, SCOPES, manifest
from commands.catalog import built_in_commands
from commands.context import CommandSet
from inference.domain.errors import UserError
from tests.fakes.commands import COMMANDS
from tests.fakes.slack.application import RESERVED as KEPT_BY_SLACK

URL = "https://rushes.example.com"


def test_every_command_of_the_schema_is_declared_once():
    declared = [
        each["command"] for each in manifest(COMMANDS, url=None)["features"]["slash_commands"]
    ]
    assert sorted(declared) == sorted({f"/{c.parent or c.name}" for c in COMMANDS})


def test_no_command_has_a_name_of_slacks_own():
    names = {name.lstrip("/") for name in CommandPrefix(COMMANDS).names()}
    assert not names & RESERVED
    assert not {f"/{name}" for name in names} & KEPT_BY_SLACK


@pytest.mark.parametrize("name", ["status", "search", "invite", "x" * 32])
def test_a_command_that_slack_would_not_take_is_refused(name):
    with pytest.raises(UserError) as caught:
        CommandPrefix([replace(COMMANDS["/generate"], name=name)]).names()
    assert caught.value.code == "slack.reserved"


def test_nothing_is_longer_than_slack_takes():
    features = manifest(COMMANDS, url=URL, install_url=URL)["features"]
    for command in features["slash_commands"]:
        assert len(command["command"]) <= 32
        assert len(command["description"]) <= 2000
        assert len(command["usage_hint"]) <= 80
    for shortcut in features["shortcuts"]:
        assert len(shortcut["name"]) <= 24
        assert len(shortcut["description"]) <= 150


def test_hints_are_short_and_say_that_there_is_more():
    [*commands] = manifest(COMMANDS, url=None)["features"]["slash_commands"]
    hints = {command["command"]: command["usage_hint"] for command in commands}
    assert hints["/image"].startswith("<prompt> [--resolution 360p|720p] [--aspect 16:9")
    assert hints["/image"].endswith(" …")
    assert hints["/rushes"].startswith("help | ")
    assert hints["/refine"] == "<prompt>"


def test_socket_mode_needs_no_address():
    written = manifest(COMMANDS, url=None)
    assert written["settings"]["socket_mode_enabled"] is True
    assert "http" not in json.dumps(written)


def test_http_mode_names_one_address_for_everything():
    written = manifest(COMMANDS, url=URL + "/", install_url=URL + "/")
    settings = written["settings"]
    events = f"{URL}/slack/events"
    assert settings["socket_mode_enabled"] is False
    assert settings["event_subscriptions"]["request_url"] == events
    assert settings["interactivity"]["request_url"] == events
    assert {each["url"] for each in written["features"]["slash_commands"]} == {events}
    assert written["oauth_config"]["redirect_urls"] == [f"{URL}/slack/oauth_redirect"]


def test_no_scope_reads_the_history_of_a_channel():
    assert not {"channels:history", "groups:history", "mpim:history"} & set(SCOPES)
    assert "chat:write.public" not in SCOPES


def test_events_and_scopes_are_these():
    written = manifest(COMMANDS, url=None)
    assert written["oauth_config"]["scopes"]["bot"] == sorted(SCOPES)
    assert written["settings"]["event_subscriptions"]["bot_events"] == sorted(EVENTS)


def test_ids_of_people_come_where_commands_are_about_them():
    escaped = {
        each["command"]: each["should_escape"]
        for each in manifest(COMMANDS, url=None)["features"]["slash_commands"]
    }
    assert escaped["/rushes-admin"] is True
    assert escaped["/generate"] is False


def here():
    """The commands with what the models of the default config can do."""
    return CommandSet(built_in_commands(factories.describe_installation(load_config(None)).options))


def test_the_command_line_prints_it(capsys):
    assert parser.main(["slack", "manifest"]) == 0
    assert json.loads(capsys.readouterr().out) == manifest(here(), url=None)


def test_the_command_line_prints_it_for_http(capsys):
    assert parser.main(["slack", "manifest", "--mode", "http", "--url", URL]) == 0
    assert json.loads(capsys.readouterr().out) == manifest(here(), url=URL, install_url=URL)


def test_http_without_an_address_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        parser.main(["slack", "manifest", "--mode", "http"])
    assert caught.value.code == 2
    assert "--url" in capsys.readouterr().err
