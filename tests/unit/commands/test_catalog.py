from __future__ import annotations

import re
import subprocess
import sys

import pytest

from commands.parsing.values import accept
from commands.schema import Kind
from inference.domain.spec import Spec
from inference.opensora.controls import CONTROLS
from tests.fakes.commands import COMMANDS
from tests.fakes.options import OPTIONS

DISCORD_NAME = re.compile(r"[-_a-z0-9]{1,32}")


def test_the_table_of_options_is_the_one_we_promise():
    table = {
        option.name: (option.flag, option.choices or option.range, option.default)
        for option in OPTIONS.order
    }
    bounds = {
        name: (row[1].lowest, row[1].highest)
        for name, row in table.items()
        if name in ("seed", "steps", "cfg", "fps", "loops")
    }
    assert bounds == {
        "seed": (0, 4294967295),
        "steps": (1, 200),
        "cfg": (1, 20),
        "fps": (1, 60),
        "loops": (1, 20),
    }
    assert {name: row[2] for name, row in table.items() if row[2] is not None} == {
        "resolution": "720p",
        "aspect": "16:9",
        "draft": False,
        "motion": "fair",
        "aesthetic": "excellent",
        "camera": "none",
        "refine": True,
        "steps": 30,
        "cfg": 7.0,
        "fps": 24,
        "speed": "exact",
        "loops": 1,
        "count": 1,
    }
    assert list(OPTIONS.by_flag) == [
        "image",
        "last",
        "resolution",
        "aspect",
        "frames",
        "motion",
        "aesthetic",
        "camera",
        "fps",
        "speed",
        "refine",
        "draft",
        "seed",
        "steps",
        "cfg",
        "loops",
        "model",
        "negative",
        "preset",
        "count",
        "res",
        "ar",
        "no",
    ]
    assert OPTIONS.shown["frames"].choices == (1, 49, 65, 81, 97, 113)
    assert table["camera"][1] == (
        "none",
        "pan right",
        "pan left",
        "tilt up",
        "tilt down",
        "zoom in",
        "zoom out",
        "static",
    )


def test_every_option_of_a_render_is_a_member_of_the_spec():
    carried = {"original", "latents", "after_frames", "file_fps", "overlap_frames"}
    neutral = set(Spec.__dataclass_fields__) - carried - {"options", "texts", "effects"}
    own = {option.name for option in CONTROLS} | {"speed"}
    assert set(OPTIONS.by_name) == neutral | own | {"preset", "count"}  # which are of a request


@pytest.mark.parametrize("option", [item for item in OPTIONS.order if item.default is not None])
def test_defaults_are_legal(option):
    assert accept(option, option.default) == option.default


def test_the_commands_are_those_we_promise():
    assert [command.typed for command in COMMANDS] == [
        "/generate",
        "/image",
        "/animate",
        "/random",
        "/refine",
        "/rushes queue",
        "/rushes status",
        "/rushes cancel",
        "/rushes show",
        "/rushes finish",
        "/rushes history",
        "/rushes settings",
        "/rushes preset",
        "/rushes quota",
        "/rushes forget-me",
        "/rushes my-data",
        "/rushes-admin pause",
        "/rushes-admin resume",
        "/rushes-admin drain",
        "/rushes-admin cancel",
        "/rushes-admin block",
        "/rushes-admin unblock",
        "/rushes-admin quota",
        "/rushes-admin words",
        "/rushes-admin settings",
        "/rushes help",
        "/rushes-admin help",
    ]


@pytest.mark.parametrize("command", list(COMMANDS), ids=lambda command: command.typed)
def test_platforms_can_show_every_command(command):
    assert DISCORD_NAME.fullmatch(command.name)
    assert len(command.options) <= 25
    assert len({option.name for option in command.options}) == len(command.options)
    for option in command.options:
        assert DISCORD_NAME.fullmatch(option.name)
        assert len(option.choices) <= 25
    required = [option.required for option in command.options]
    assert required == sorted(required, reverse=True), "required options come first"


def test_a_choice_is_the_same_however_it_is_spelled():
    for option in OPTIONS.order:
        if option.kind is Kind.CHOICE:
            for choice in option.choices:
                assert accept(option, str(choice).upper().replace(" ", "-")) == choice


@pytest.mark.process
def test_importing_commands_loads_no_model_and_no_codec():
    program = (
        "import sys, commands.run; "
        "print([m for m in ('torch', 'av', 'PIL', 'transformers', 'bot') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
