"""Texts are cut between what people see as characters, in every place that cuts."""

from __future__ import annotations

import io
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bot.discord.outbound import markdown
from bot.slack.outbound.text import escape, literal
from bot.terminal.render import CardView, toolbar
from commands.forms import MAX_LENGTH, edit
from commands.installation import Installation
from commands.parsing.values import shorten
from commands.text import summary
from commands.text.card import Bar, Card, CardKind
from inference.domain.output_settings import OutputSettings
from inference.domain.untrusted_text import POP_ISOLATE, beginning, clean, cut, graphemes
from inference.domain.watermark import MAXIMUM_TEXT, WatermarkSettings
from inference.opensora.prompts import shorten_text
from tests.fakes.orders import a_job, a_spec, capabilities

FOXES = Installation(models=(capabilities("fox"),), default_model="fox")

WHOLE = (
    "👨‍👩‍👧‍👦",  # a family
    "🏳️‍🌈",
    "🇰🇷",
    "🇯🇵",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",  # England
    "👍🏽",
    "1️⃣",
    "e\u0301",
    "a\u0308\u0323",
    "각",  # decomposed Hangul
    "क्षि",
)
"""Each is one character to people, and several to Python."""

pieces = st.lists(st.sampled_from([*WHOLE, "x", " ", "<", "&", "*", "ß"]), max_size=60)


def parts_of(text):
    """Return what people see, without what marks the cut."""
    return [part for part in graphemes(text) if part not in {"…", POP_ISOLATE, "\u2068", "\\"}]


def is_beginning(short, text):
    """Whether a text was cut between characters: white space at the end aside."""
    kept = [part for part in parts_of(short) if part.strip()]
    return kept == [part for part in parts_of(text) if part.strip()][: len(kept)]


@pytest.mark.parametrize("whole", WHOLE)
def test_it_is_one_grapheme(whole):
    assert list(graphemes(whole)) == [whole]
    assert clean(whole) == whole


@given(pieces, st.integers(1, 60))
@pytest.mark.parametrize("shorten", [cut, beginning, markdown.cut, escape])
def test_no_character_is_cut_in_half(shorten, pieces, length):
    text = "".join(pieces)
    short = shorten(text, length)
    assert len(short) <= length
    assert is_beginning(short.replace("&lt;", "<").replace("&amp;", "&"), text)


@given(pieces)
def test_no_text_of_a_card_is_cut_in_half(pieces):
    prompt = clean("w" + "".join(pieces) * 40).strip()
    job = a_job(spec=a_spec(prompt=prompt))
    line = " ".join(prompt.split())
    assert is_beginning(summary.thread_name(job, 100), line)
    assert is_beginning(summary.description(job, "en"), line)
    assert is_beginning(summary.isolate_prompt(prompt, 120), prompt)
    assert is_beginning(shorten(prompt), prompt)
    form = edit(job, FOXES, "en")
    assert all(len(field.value) <= MAX_LENGTH for field in form.fields)
    assert is_beginning(form.fields[0].value, prompt)


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("lead", ["", "x", "xx"])
def test_no_place_cuts_what_belongs_together(whole, lead):
    text = lead + whole * 320
    for short in (
        markdown.cut(text, 256),
        literal(text, 900),
        shorten_text(text, 301),
        OutputSettings(suffix=text).apply_to_watermark(WatermarkSettings(text="R")).text,
    ):
        assert parts_of(short)[-1] == whole
    assert (
        len(OutputSettings(suffix=text).apply_to_watermark(WatermarkSettings(text="R")).text)
        <= MAXIMUM_TEXT
    )


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("columns", [61, 62, 63, 64])
@pytest.mark.cases(8)
def test_the_terminal_neither_cuts_nor_wraps_inside_a_character(whole, columns):
    bar = Bar(done=1, total=2)
    card = Card(kind=CardKind.RUNNING, title="ab" + whole * 90, lines=(("step 1",),), progress=bar)
    for part in parts_of(toolbar([card], zone=UTC, columns=columns + 20, rows=1)):
        assert part == whole or part in "▓░ ab step 1"
    written = io.StringIO()
    console = Console(file=written, width=columns, force_terminal=True, color_system=None)
    console.print(CardView(card, zone=UTC))
    for line in written.getvalue().splitlines():
        assert set(parts_of(line)) <= {whole, *"▌▓░ ab step 1"}


def test_markdown_is_not_cut_inside_a_mention_or_an_escape():
    assert markdown.cut("hello <@123456789012345678> there", 20) == "hello…"
    assert markdown.cut("starts <t:1700000000:t> and more", 16) == "starts…"
    assert markdown.cut(r"ab\*cd and more", 4) == "ab…"
    assert markdown.cut(r"ab\\cd and more", 5) == r"ab\\…"
