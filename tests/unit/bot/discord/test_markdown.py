from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.discord.outbound.markdown import cut, escape


@pytest.mark.parametrize(
    "markup",
    [
        "**bold**",
        "_italic_",
        "~~gone~~",
        "||spoiler||",
        "`code`",
        "# heading",
        "> quote",
        "- list",
        "-# small",
        "[link](https://example.com)",
        "<@1>",
        "<#1>",
        "<@&1>",
        "<:fox:1>",
        "<t:1>",
        "</generate:1>",
        "@everyone",
        "@here",
    ],
)
def test_markup_is_shown_as_it_was_typed(markup):
    assert escape(markup).startswith("\\")
    assert re.sub(r"\\(.)", r"\1", escape(markup)) == markup


@pytest.mark.parametrize(
    "plain", ["16:9", "Open-Sora v1.3", "a fox, 3 < 4", "me@example.com", "#1"]
)
def test_plain_words_stay_as_they_are(plain):
    assert escape(f"a {plain}") == f"a {plain}"


@given(st.text(alphabet="\\*_~`|[<@#&:/-> \nae1", max_size=60))
def test_no_mark_is_left_bare_and_nothing_is_lost(text):
    escaped = escape(text)
    assert re.sub(r"\\([\\*_~`|\[<>#@+-])", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_~`|\[]", escaped)


@given(st.text(), st.integers(1, 50))
def test_a_cut_text_is_short_enough(text, length):
    assert len(cut(text, length)) <= length
