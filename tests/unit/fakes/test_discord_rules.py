"""What the loopback Discord refuses, rule by rule."""

import re
from pathlib import Path

import pytest

from tests.fakes.discord.command_rules import check_commands
from tests.fakes.discord.component_rules import check_components, check_modal
from tests.fakes.discord.contract import Contract
from tests.fakes.discord.entities import COMPONENTS_V2
from tests.fakes.discord.message_rules import check_message, check_thread

BUTTON = {"type": 2, "style": 1, "label": "Cancel", "custom_id": "cancel"}
LINK = {"type": 2, "style": 5, "label": "Docs", "url": "https://example.org"}
TEXT = {"type": 10, "content": "hello"}
OPTION = {"type": 3, "name": "prompt", "description": "What to show"}
COMMAND = {"type": 1, "name": "generate", "description": "Make a clip", "options": [OPTION]}
INPUT = {"type": 4, "custom_id": "prompt", "style": 1, "label": "Prompt"}
MODAL = {"title": "Edit", "custom_id": "edit", "components": [{"type": 1, "components": [INPUT]}]}


def row(*components):
    return {"type": 1, "components": list(components)}


def select(**more):
    option = {"label": "one", "value": "1"}
    return {"type": 3, "custom_id": "s", "options": [option]} | more


def named(number):
    return BUTTON | {"custom_id": f"b{number}"}


FINE_COMPONENTS = [
    ([row(BUTTON, LINK)], False),
    ([row(select())], False),
    ([TEXT, {"type": 17, "components": [TEXT, row(BUTTON)]}], True),
    ([{"type": 9, "components": [TEXT], "accessory": BUTTON}], True),
    ([{"type": 12, "items": [{"media": {"url": "https://example.org/a.png"}}]}], True),
]

WRONG_COMPONENTS = [
    ([TEXT], False),
    ([BUTTON], True),
    ([row()], False),
    ([row(*map(named, range(6)))], False),
    ([row(named(n)) for n in range(6)], False),
    ([row(BUTTON, BUTTON)], False),
    ([row(BUTTON, select())], False),
    ([row(BUTTON | {"label": "x" * 81})], False),
    ([row(BUTTON | {"label": ""})], False),
    ([row(BUTTON | {"custom_id": "x" * 101})], False),
    ([row(BUTTON | {"url": "https://example.org"})], False),
    ([row(LINK | {"custom_id": "x"})], False),
    ([row(select(options=[]))], False),
    ([row(select(options=[{"label": "a", "value": str(n)} for n in range(26)]))], False),
    ([row(select(options=[{"label": "a", "value": "1"}] * 2))], False),
    ([TEXT] * 41, True),
    ([TEXT | {"content": "x" * 4001}], True),
    ([TEXT | {"content": ""}], True),
    ([{"type": 9, "components": [TEXT]}], True),
    ([{"type": 12, "items": []}], True),
]


@pytest.mark.parametrize(("components", "newer"), FINE_COMPONENTS)
def test_components_that_discord_shows_pass(components, newer):
    assert check_components(components, newer=newer) == []


@pytest.mark.parametrize(("components", "newer"), WRONG_COMPONENTS)
def test_components_that_discord_refuses_do_not_pass(components, newer):
    assert len(check_components(components, newer=newer)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"title": "x" * 46},
        {"custom_id": ""},
        {"components": []},
        {"components": [row(INPUT | {"custom_id": str(n)}) for n in range(6)]},
        {"components": [row(INPUT | {"label": "x" * 46})]},
        {"components": [row(INPUT | {"value": "x" * 11, "max_length": 10})]},
        {"components": [{"type": 18, "label": "", "component": INPUT}]},
        {"components": [row(INPUT), row(INPUT)]},
        {"components": [{"type": 17, "components": []}]},
    ],
)
def test_a_modal_has_limits(change):
    assert check_modal(MODAL) == []
    assert len(check_modal(MODAL | change)) == 1


@pytest.mark.parametrize(
    ("body", "files", "flags"),
    [
        ({"content": "x" * 2001}, [], 0),
        ({"content": "x", "nonce": "x" * 26}, [], 0),
        ({"content": "x", "enforce_nonce": True}, [], 0),
        ({"content": "x", "components": [TEXT]}, [], COMPONENTS_V2),
        ({}, [], COMPONENTS_V2),
        ({"content": "x"}, ["a"] * 11, 0),
        ({"embeds": [{"title": "x" * 257}]}, [], 0),
        ({"embeds": [{"title": "x"}] * 11}, [], 0),
        ({"embeds": [{"description": "x" * 3001}] * 2}, [], 0),
        ({"embeds": [{"fields": [{"name": "", "value": "x"}]}]}, [], 0),
        ({"embeds": [{"fields": [{"name": "a", "value": "b"}] * 26}]}, [], 0),
        ({"embeds": [{"footer": {"text": "x" * 2049}}]}, [], 0),
        ({"embeds": [{"video": {"url": "https://example.org/a.mp4"}}]}, [], 0),
        ({"embeds": [{"image": {"url": "attachment://b.png"}}]}, ["a.png"], 0),
        ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, [], 0),
    ],
)
def test_a_message_has_limits(body, files, flags):
    assert len(check_message(body, file_names=files, flags=flags)) == 1


def test_a_message_at_its_limits_passes():
    body = {
        "content": "x" * 2000,
        "embeds": [{"description": "x" * 3000, "image": {"url": "attachment://a.png"}}] * 2,
        "nonce": "x" * 25,
        "enforce_nonce": True,
        "allowed_mentions": {"parse": [], "users": ["1"]},
    }
    assert check_message(body, file_names=["a.png"], flags=0) == []


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"name": "x" * 101}, {"name": "x", "auto_archive_duration": 61}]
)
def test_a_thread_has_limits(body):
    assert len(check_thread(body)) == 1
    assert check_thread({"name": "x" * 100, "auto_archive_duration": 60}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Generate"},
        {"name": "two words"},
        {"description": ""},
        {"description_localizations": {"ko": "x" * 101}},
        {"options": [OPTION | {"name": f"o{n}"} for n in range(26)]},
        {"options": [OPTION, OPTION]},
        {"options": [OPTION, OPTION | {"name": "other", "required": True}]},
        {"options": [OPTION, {"type": 1, "name": "sub", "description": "Below"}]},
        {"options": [OPTION | {"choices": [{"name": "a", "value": "a"}] * 26}]},
        {"options": [OPTION | {"choices": [{"name": "a", "value": 1}]}]},
        {"options": [OPTION | {"choices": [{"name": "a", "value": "a"}], "autocomplete": True}]},
        {"options": [OPTION | {"max_length": 6001}]},
        {"options": [OPTION | {"type": 4, "max_value": 2**53}]},
        {"type": 3},
    ],
)
def test_a_command_has_limits(change):
    assert check_commands([COMMAND], in_guild=False) == []
    assert len(check_commands([COMMAND | change], in_guild=False)) == 1


def test_a_set_of_commands_has_limits():
    menus = [{"type": 3, "name": f"menu {n}"} for n in range(16)]
    assert len(check_commands(menus, in_guild=False)) == 1
    assert len(check_commands([COMMAND, COMMAND], in_guild=False)) == 1
    assert len(check_commands([COMMAND | {"contexts": [0]}], in_guild=True)) == 1
    choices = [{"name": "x" * 90, "value": "y" * 90} for _ in range(25)]
    options = [OPTION | {"name": f"o{n}", "choices": choices} for n in range(2)]
    assert len(check_commands([COMMAND | {"options": options}], in_guild=False)) == 1


@pytest.mark.parametrize(
    ("method", "template", "query", "body", "fine"),
    [
        ("POST", "/channels/{channel_id}/messages", {}, {"content": "x", "nonce": None}, True),
        ("POST", "/channels/{channel_id}/messages", {}, {"content": 7}, False),
        ("POST", "/channels/{channel_id}/messages", {"wait": "1"}, {"content": "x"}, False),
        ("POST", "/channels/{channel_id}/messages", {}, None, False),
        ("POST", "/users/@me/channels", {}, {"recipient_id": 7}, True),
        ("POST", "/users/@me/friends", {}, {}, False),
        ("GET", "/channels/{channel_id}/messages", {"limit": "100"}, None, True),
        ("GET", "/channels/{channel_id}/messages", {"limit": "101"}, None, False),
        (
            "POST",
            "/channels/{channel_id}/messages",
            {},
            {"allowed_mentions": {"users": [7]}, "attachments": [{"id": 0, "filename": "a"}]},
            True,
        ),
    ],
)
def test_requests_are_held_against_discords_own_description(method, template, query, body, fine):
    if not Contract.shared():
        pytest.skip("Discord's contract is not beside the project")
    problems = Contract.shared().problems(method, template, query=query, body=body)
    assert (problems == []) is fine


def test_without_discords_description_nothing_is_refused():
    absent = Contract(None)
    assert not absent
    assert absent.problems("POST", "/nowhere", query={}, body=None) == []
    assert absent.answer_problems("POST", "/nowhere", 200, None) == []


def test_the_loopback_discord_knows_nothing_of_what_is_tested_against_it():
    package = Path(__file__).parents[2] / "fakes" / "discord"
    ours = re.compile(r"^\s*(from|import) (bot|commands|inference|discord)\b", re.MULTILINE)
    assert [path.name for path in package.glob("*.py") if ours.search(path.read_text())] == []
