from __future__ import annotations

import pytest

from bot.cli.shell_command_names import in_shell
from commands.text.card import Card, CardKind, Person, plain
from commands.text.messages import error_text
from inference.domain.errors import NotFound, UserError
from inference.domain.untrusted_text import isolate


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotFound("job.unknown", job="X"), "rushes queue lists"),
        (
            UserError("flag.unknown", flag="--aspct", help="/rushes help generate"),
            "rushes submit --help lists",
        ),
        (UserError("prompt.empty"), "rushes submit a red ball"),
    ],
)
@pytest.mark.parametrize("locale", ["en", "ko"])
def test_a_refusal_names_what_can_be_typed_in_a_shell(error, said, locale):
    words = in_shell(error_text(error, locale))
    assert "/rushes" not in words
    assert "/generate" not in words
    assert locale == "ko" or said in words


@pytest.mark.parametrize(
    "text",
    [
        "/rushes preset save fast",
        "/rushes help animate",
        "/rushes settings",
        "data/rushes queue",
        "/generated",
        isolate("a fox on /generate"),
    ],
)
def test_what_only_the_chat_has_and_what_people_wrote_stays(text):
    assert in_shell(text) == text


def test_a_card_names_them_too():
    ada = Person(id="ada", name="ada")
    lines = ((ada, " /generate starts right away."), (isolate("/generate"),))
    card = Card(kind=CardKind.INFO, title="/generate", lines=lines).map_text(in_shell)
    assert "rushes submit starts right away." in plain(card)
    assert card.lines[0][0] is ada
    assert card.lines[1] == lines[1]
