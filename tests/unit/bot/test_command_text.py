from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cli.command_text import command_text
from commands.parsing.flags import parse
from inference.domain.errors import UserError
from tests.fakes.options import OPTIONS


def read(*arguments: str):
    typed = parse(command_text(arguments, OPTIONS), OPTIONS)
    return typed.prompt, typed.options


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("a red ball", "--ar", "9:16"), {"aspect": "9:16"}),
        (("--ar", "9:16", "a red ball"), {"aspect": "9:16"}),
        (("a red ball", "--ar=9:16"), {"aspect": "9:16"}),
        (("a red ball --ar 9:16",), {"aspect": "9:16"}),
        (("a", "red", "--camera", "pan left", "ball"), {"camera": "pan left"}),
        (("a red ball", "--no-refine"), {"refine": False}),
        (("a red ball", "--no", "rain --seed 3"), {"negative": "rain --seed 3"}),
        (("a red ball", "--image", 'my "best" fox.png'), {"image": 'my "best" fox.png'}),
        (("a red ball", "--image", "C:\\fox.png"), {"image": "C:\\fox.png"}),
    ],
)
def test_arguments_mean_what_they_would_in_a_chat(arguments, options):
    assert read(*arguments) == ("a red ball", options)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "prompt.empty"),
        (("",), "prompt.empty"),
        (("a ball", "--aspct", "9:16"), "flag.mistyped"),
        (("a ball", "--seed"), "value.missing"),
        (("a ball", "--seed", "--ar", "9:16"), "value.missing"),
        (("a ball", "--ar", "2:1"), "value.mistyped"),
        (("a ball", "--seed", "1", "--seed", "2"), "flag.repeated"),
    ],
)
def test_what_is_wrong_in_a_chat_is_wrong_here(arguments, code):
    with pytest.raises(UserError) as caught:
        read(*arguments)
    assert caught.value.code == code


@given(st.text(min_size=1, max_size=80))
def test_any_value_arrives_as_it_was_given_or_is_refused(value):
    try:
        _, options = read("a ball", f"--no={value}")
    except UserError:
        return
    assert str(options["negative"]).split() == value.split() or not value.isprintable()
