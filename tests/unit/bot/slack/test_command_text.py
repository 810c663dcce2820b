from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.inbound.command_text import command, prompt, unescape, without_mention
from bot.slack.outbound.text import escape
from commands.parsing.flags import parse
from tests.fakes.commands import COMMANDS
from tests.fakes.options import OPTIONS


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("a fox &amp; a hound", "a fox & a hound"),
        ("2 &lt; 3 &gt; 1", "2 < 3 > 1"),
        ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
        ("a fox with <@U123>", "a fox with @U123"),
        ("a fox with <@U123|bob>", "a fox with @bob"),
        ("in <#C123|general>", "in #general"),
        ("<!here> look", "@here look"),
        ("<!subteam^S1|@film> look", "@film look"),
        ("like <https://example.com/a|this>", "like this"),
        ("like <https://example.com/a>", "like https://example.com/a"),
        ("an &lt;@U123&gt; in words", "an <@U123> in words"),
    ],
)
def test_a_prompt_is_what_people_saw_as_they_typed(sent, typed):
    assert prompt(sent) == typed


@given(st.text())
def test_unescaping_takes_escaping_back(text):
    assert unescape(escape(text)) == text


@given(st.text(alphabet=st.characters(exclude_characters="<>&:\n\r")))
def test_plain_words_stay_as_they_are(text):
    assert prompt(text) == text


def test_mentions_stay_where_commands_are_about_people():
    assert command("/rushes-admin block <@U123|bob> &amp; co", COMMANDS.parents) == (
        "/rushes-admin block <@U123|bob> & co"
    )
    assert command("/generate <@U123|bob> &amp; co", COMMANDS.parents) == "/generate @bob & co"
    assert command("/refine <@U123|bob>", COMMANDS.parents) == "/refine @bob"


@pytest.mark.parametrize("said", ["<@UBOT> a fox", "a <@UBOT> fox", "<@UBOT|rushes>  a fox"])
def test_the_mention_that_called_the_bot_is_no_prompt(said):
    assert without_mention(said, "UBOT").split() == ["a", "fox"]


def test_only_the_bot_itself_is_taken_out():
    assert without_mention("<@UBOT> a fox with <@U123> and <@UBOT>", "UBOT") == (
        "a fox with <@U123> and <@UBOT>"
    )


def test_escaped_flags_with_curly_quotes_are_read():
    typed = parse(prompt("a fox &amp; snow —ar 9:16 —no “rain &lt;heavy&gt;”"), OPTIONS)
    assert typed.prompt == "a fox & snow"
    assert typed.options == {"aspect": "9:16", "negative": "rain <heavy>"}
