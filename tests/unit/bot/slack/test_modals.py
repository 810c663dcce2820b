from __future__ import annotations

from dataclasses import replace

import pytest

from bot.slack.inbound import modal_fields
from bot.slack.inbound.modals import FormState, draw, with_form
from commands.catalog import built_in_commands
from commands.context import CommandSet
from commands.installation import Installation
from commands.option_set import OptionSet
from inference.domain.capabilities import ModelOption, OptionKind
from tests.fakes.commands import COMMANDS
from tests.fakes.models import MODELS
from tests.fakes.options import OPTIONS
from tests.fakes.slack.blocks import view_problems

NANO, CARD = MODELS.capabilities("nano"), MODELS.capabilities("testcard")
STUDIO = Installation(models=(CARD,), default_model="testcard")
RICH = Installation(
    models=(NANO, replace(CARD, negative=True)), default_model="nano", assistant=True
)


def names(view):
    return [block["block_id"] for block in view["blocks"] if block["type"] == "input"]


@pytest.mark.cases(8)
@pytest.mark.parametrize("installation", [STUDIO, RICH])
@pytest.mark.parametrize("command", ["generate", "image", "animate"])
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("channel", ["", "C1"])
@pytest.mark.parametrize("image", [None, "F1"])
def test_slack_takes_every_form(installation, command, everything, channel, image):
    form_state = FormState(command=command, channel=channel, image=image, everything=everything)
    assert list(view_problems(draw(form_state, COMMANDS, installation, "en"))) == []


@pytest.mark.parametrize("locale", ["en", "ko"])
def test_every_label_begins_as_a_sentence_does(locale):
    view = draw(FormState(command="generate", channel="", everything=True), COMMANDS, RICH, locale)
    labels = [block["label"]["text"] for block in view["blocks"] if block["type"] == "input"]
    assert len(labels) == len(OPTIONS.by_name) + 1
    assert not [label for label in labels if label[0].islower()]


def test_the_form_has_the_basic_options_first():
    shown = names(draw(FormState(command="generate", channel="C1"), COMMANDS, STUDIO, "en"))
    basic = ["prompt", "image", "resolution", "aspect", "frames"]
    assert shown == [*basic, "motion", "camera", "count"]


def test_all_options_are_one_press_away():
    view = draw(FormState(command="generate", channel="C1", everything=True), COMMANDS, RICH, "en")
    expected = list(OPTIONS.by_name)
    assert names(view) == expected


def test_refine_model_and_negative_are_offered_only_where_they_do_anything():
    view = draw(
        FormState(command="generate", channel="C1", everything=True), COMMANDS, STUDIO, "en"
    )
    assert not {"refine", "model", "negative"} & set(names(view))


def test_a_form_from_nowhere_asks_where():
    assert names(draw(FormState(command="generate"), COMMANDS, STUDIO, "en"))[0] == "channel"


def test_an_image_is_not_asked_for_twice():
    view = draw(FormState(command="animate", channel="C1", image="F1"), COMMANDS, STUDIO, "en")
    assert "image" not in names(view)


def test_only_what_an_installed_model_can_do_is_offered():
    installation = Installation(models=(NANO,), default_model="nano")
    view = draw(FormState(command="generate", channel="C1"), COMMANDS, installation, "en")
    frames = next(block for block in view["blocks"] if block.get("block_id") == "frames")
    offered = {int(option["value"]) for option in frames["element"]["options"]}
    assert offered == set(NANO.lengths)


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
    command = with_form(COMMANDS, "/generate")
    wrong = modal_fields.check(command, {"seed": "-1", "aspect": "7:7", "steps": "20"}, "en")
    assert set(wrong) == {"seed", "aspect"}


def test_an_error_without_a_field_of_its_own_is_shown_at_the_first():
    view = draw(FormState(command="generate", channel="C1"), COMMANDS, STUDIO, "en")
    assert modal_fields.field_of(view, "aspect") == "aspect"
    assert modal_fields.field_of(view, "seed") == "prompt"
    assert modal_fields.field_of({"blocks": []}, "seed") is None


@pytest.mark.parametrize("typed", ["/rushes", "/rushes-admin", "/nothing"])
def test_commands_with_verbs_have_no_form(typed):
    assert with_form(COMMANDS, typed) is None


@pytest.mark.parametrize("length", [60, 100, 160])
def test_options_of_plugins_beyond_what_slack_takes_spoil_no_form(length):
    words = tuple(f"{'word ' * (length // 5)}{number}" for number in range(120))
    own = (
        ModelOption(name="words", kind=OptionKind.CHOICE, choices=words, default=words[0]),
        ModelOption(name="empty", kind=OptionKind.CHOICE, choices=("", "a", "a"), default=""),
        ModelOption(name="huge", kind=OptionKind.INTEGER, highest=10**30, default=1),
        ModelOption(name="text", kind=OptionKind.TEXT, max_length=10**6, default=""),
        ModelOption(name="told", kind=OptionKind.FLAG, default=False, texts={"en": "x" * 4000}),
    )
    model = replace(CARD, options=own)
    commands = CommandSet(built_in_commands(OptionSet([model])))
    installation = Installation(models=(model,), default_model=model.name)
    view = draw(FormState(command="generate", everything=True), commands, installation, "en")
    assert list(view_problems(view)) == []
    assert {option.name for option in own} <= set(names(view))
