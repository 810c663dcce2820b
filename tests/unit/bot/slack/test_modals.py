from __future__ import annotations

from dataclasses import replace

import pytest

from bot.slack.inbound import modal_fields
from bot.slack.inbound.modals import Draft, command_with_form, draw
from commands.installation import Installation
from commands.options import BY_NAME
from inference.engines import registry
from tests.fakes.slack.blocks import view_problems

NANO, CARD = registry.capabilities("nano"), registry.capabilities("testcard")
STUDIO = Installation(models=(CARD,), default_model="testcard")
RICH = Installation(
    models=(NANO, replace(CARD, negative=True)), default_model="nano", assistant=True
)


def names(view):
    return [block["block_id"] for block in view["blocks"] if block["type"] == "input"]


@pytest.mark.parametrize("installation", [STUDIO, RICH])
@pytest.mark.parametrize("command", ["generate", "image", "animate"])
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("channel", ["", "C1"])
@pytest.mark.parametrize("image", [None, "F1"])
def test_slack_takes_every_form(installation, command, everything, channel, image):
    draft = Draft(command=command, channel=channel, image=image, everything=everything)
    assert list(view_problems(draw(draft, installation, "en"))) == []


def test_the_form_has_the_basic_options_first():
    shown = names(draw(Draft(command="generate", channel="C1"), STUDIO, "en"))
    assert shown == ["prompt", "image", "resolution", "aspect", "frames", "motion", "camera"]


def test_all_options_are_one_press_away():
    view = draw(Draft(command="generate", channel="C1", everything=True), RICH, "en")
    expected = list(BY_NAME)
    assert names(view) == expected


def test_refine_model_and_negative_are_offered_only_where_they_do_anything():
    view = draw(Draft(command="generate", channel="C1", everything=True), STUDIO, "en")
    assert not {"refine", "model", "negative"} & set(names(view))


def test_a_form_from_nowhere_asks_where():
    assert names(draw(Draft(command="generate"), STUDIO, "en"))[0] == "channel"


def test_an_image_is_not_asked_for_twice():
    view = draw(Draft(command="animate", channel="C1", image="F1"), STUDIO, "en")
    assert "image" not in names(view)


def test_only_what_an_installed_model_can_do_is_offered():
    installation = Installation(models=(NANO,), default_model="nano")
    view = draw(Draft(command="generate", channel="C1"), installation, "en")
    frames = next(block for block in view["blocks"] if block.get("block_id") == "frames")
    offered = {int(option["value"]) for option in frames["element"]["options"]}
    assert offered == set(NANO.frames)


def test_what_is_written_is_read_back_by_name():
    state = {
        "prompt": {"type": "plain_text_input", "value": " a fox &amp; hound "},
        "aspect": {"type": "static_select", "selected_option": {"value": "9:16"}},
        "motion": {"type": "static_select", "selected_option": None},
        "refine": {"type": "static_select", "selected_option": {"value": "no"}},
        "image": {"type": "file_input", "files": [{"id": "F1"}]},
        "seed": {"type": "number_input", "value": "7"},
        "negative": {"type": "plain_text_input", "value": None},
    }
    view = {"state": {"values": {name: {name: value} for name, value in state.items()}}}
    assert modal_fields.values(view) == {
        "prompt": "a fox & hound",
        "aspect": "9:16",
        "refine": False,
        "image": "F1",
        "seed": "7",
    }


def test_each_field_is_checked_by_itself():
    command = command_with_form("/generate")
    wrong = modal_fields.check(command, {"seed": "-1", "aspect": "7:7", "steps": "20"}, "en")
    assert set(wrong) == {"seed", "aspect"}


def test_an_error_without_a_field_of_its_own_is_shown_at_the_first():
    view = draw(Draft(command="generate", channel="C1"), STUDIO, "en")
    assert modal_fields.field_of(view, "aspect") == "aspect"
    assert modal_fields.field_of(view, "seed") == "prompt"
    assert modal_fields.field_of({"blocks": []}, "seed") is None


@pytest.mark.parametrize("typed", ["/rushes", "/rushes-admin", "/nothing"])
def test_commands_with_verbs_have_no_form(typed):
    assert command_with_form(typed) is None
