"""Messages that describe no clip are told from prompts."""

from __future__ import annotations

import pytest

from commands.parsing.greetings import is_greeting


@pytest.mark.parametrize(
    "said",
    [
        "hello",
        "Hi!",
        "HEY 👋",
        "good morning :)",
        "thanks!!",
        "What can you do?",
        "help",
        "안녕",
        "안녕하세요!",
        "고마워요 🙏",
        "도움말",
    ],
)
def test_a_greeting_is_one(said):
    assert is_greeting(said)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "a red ball",
        "hello kitty on a hill",
        "a thank you card",
        "hey, a fox in the snow",
        "test card",
        "안녕하세요 하고 인사하는 여우",
        "👋",
    ],
)
def test_a_prompt_is_none(said):
    assert not is_greeting(said)
