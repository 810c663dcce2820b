from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.sections import SlackSection
from bot.slack.command_prefix import CommandPrefix
from bot.slack.manifest import manifest
from bot.slack.outbound.blocks import plain_text
from inference.domain.errors import UserError
from inference.domain.untrusted_text import isolate
from tests.fakes.commands import COMMANDS

ACME = CommandPrefix(COMMANDS, "acme-")


@pytest.mark.parametrize(
    ("ours", "shown"),
    [
        ("Use /generate.", "Use /acme-generate."),
        ("/rushes-admin help, /rushes help", "/acme-rushes-admin help, /acme-rushes help"),
        ("“/image a ball”", "“/acme-image a ball”"),
        ("/generate를 쓰거나 /image는", "/acme-generate를 쓰거나 /acme-image는"),
        ("/acme-image", "/acme-image"),
        ("see /images and a/image and /image/x", "see /images and a/image and /image/x"),
        (f"{isolate('type /image')} or /image", f"{isolate('type /image')} or /acme-image"),
    ],
)
def test_texts_name_commands_as_they_are_typed(ours, shown):
    assert ACME.text(ours) == shown
    assert ACME.text(shown) == shown
    assert CommandPrefix(COMMANDS).text(ours) == ours


def test_a_modal_names_them_too_but_leaves_what_people_wrote():
    written = {"type": "plain_text_input", "action_id": "prompt", "initial_value": "type /image"}
    view = {
        "type": "modal",
        "callback_id": "rushes:form",
        "title": {"type": "plain_text", "text": "/rushes-admin settings", "emoji": True},
        "blocks": [{"type": "input", "hint": plain_text("As /image"), "element": written}],
    }
    shown = ACME.view(view)
    assert shown["title"]["text"] == "/acme-rushes-admin sett…"
    assert shown["blocks"][0]["hint"]["text"] == "As /acme-image"
    assert shown["blocks"][0]["element"] == written
    assert CommandPrefix(COMMANDS).view(view) == view


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        ("/acme-image a ball", "/image a ball"),
        ("/Acme-Image  a ball", "/image  a ball"),
        ("/acme-generate\na ball", "/generate\na ball"),
        ("/image a ball", "/image a ball"),
        ("a ball", "a ball"),
        ("", ""),
    ],
)
def test_lines_are_taken_by_our_names(typed, ours):
    assert ACME.ours(typed) == ours


@given(st.text())
def test_any_text_is_taken(text):
    assert ACME.text(ACME.text(text)) == ACME.text(text)
    ACME.ours(text)


def test_the_manifest_declares_the_prefixed_names():
    declared = manifest(COMMANDS, url=None, prefix="acme-")["features"]["slash_commands"]
    names = [each["command"] for each in declared]
    assert "/acme-image" in names
    assert all(name.startswith("/acme-") for name in names)


def test_a_prefix_that_makes_a_name_too_long_is_refused():
    with pytest.raises(UserError, match=r"slack.reserved"):
        CommandPrefix(COMMANDS, "x" * 20).names()


@pytest.mark.parametrize("prefix", ["ACME", "a b", "a/b", "x" * 17])
def test_a_prefix_that_slack_does_not_take_is_refused_in_the_config(prefix):
    with pytest.raises(ValueError, match="small letters"):
        SlackSection(command_prefix=prefix)


@pytest.mark.parametrize("prefix", ["", "acme-", "/acme-", " acme- "])
def test_a_prefix_may_be_written_with_its_slash(prefix):
    assert SlackSection(command_prefix=prefix).command_prefix == prefix.strip().removeprefix("/")
