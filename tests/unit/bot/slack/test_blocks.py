from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.outbound import blocks
from bot.slack.outbound.text import escape, literal
from commands.actions import Action, ButtonId
from commands.forms import Field, Form
from commands.text.card import Bar, Button, Card, CardKind, Confirm, Instant, Person
from tests.fakes.slack.blocks import message_problems, view_problems
from tests.fakes.slack.model import walk
from tests.unit.bot.card_samples import CLIP, ERROR, RUNNING, WAITING

ANN = Person(id="U0ANN", name="ann")
JOB = "7Q2FK9XDAB"

typed = st.text(st.sampled_from("ab <>&*_~`@#!:|/\n🎬語") | st.characters(), max_size=4000)
"""What people type, with plenty of what Slack would read as something else."""

lines = st.lists(st.tuples(typed) | st.tuples(typed, st.just(ANN), typed), max_size=60).map(tuple)


def texts(drawn, kind=None):
    """Return all texts of a kind of text object."""
    kinds = {kind} if kind else {"plain_text", "mrkdwn"}
    return [thing["text"] for thing in walk(drawn) if thing.get("type") in kinds]


def words(drawn):
    return "\n".join(texts(drawn))


@pytest.mark.parametrize("card", [WAITING, RUNNING, CLIP, ERROR], ids=lambda card: card.kind)
def test_what_slack_would_refuse_is_never_drawn(card):
    text, drawn = blocks.message(card)
    assert message_problems(text, drawn) == []


@given(title=typed, typed_lines=lines, kind=st.sampled_from(CardKind), ping=st.booleans())
def test_whatever_people_type_stays_within_the_limits(title, typed_lines, kind, ping):
    buttons = tuple(
        Button(key=ButtonId(action=action, job=JOB), label=title or "-")
        for action in [*Action, *Action]
    )
    card = Card(kind=kind, title=title, lines=typed_lines, ping=ping, buttons=buttons)
    text, drawn = blocks.message(card)
    assert message_problems(text or "-", drawn) == []
    assert len(text) <= 4000


@given(typed)
def test_nothing_that_people_type_is_read_as_markup(text):
    card = Card(kind=CardKind.FAILED, lines=((ANN, text), (text,)), ping=True)
    [marked] = texts(blocks.message(card).blocks, "mrkdwn")
    assert re.fullmatch(r"<@U0ANN>[^<>*_~`]*", marked)
    titled = blocks.message(replace(card, title=text or "-", owner=ANN, facts=text))
    [marked] = texts(titled.blocks, "mrkdwn")
    assert re.fullmatch(r"<@U0ANN>[^<>*_~`]*", marked)
    assert not set("<>") & set(titled.text)


@given(typed)
def test_what_goes_with_a_file_has_the_one_ping_and_no_other_markup(text):
    card = Card(kind=CardKind.CLIP, lines=((ANN, " ", text), (text, ANN)), ping=True)
    said = blocks.comment(card)
    assert re.fullmatch(r"<@U0ANN>[^<>*_~`]*", said)
    titled = blocks.comment(replace(card, title=text))
    assert titled.endswith(said)
    assert re.fullmatch(r"(?:\*[^<>*_~`]+\*\n)?", titled.removesuffix(said))


def test_buttons_below_a_file_are_announced_by_its_facts():
    text, drawn = blocks.controls(CLIP)
    assert text == "720p · 97 frames · seed 48151623 · job 7Q2FK9XDAB"
    assert [block["type"] for block in drawn] == ["actions"]
    assert message_problems(text, drawn) == []


def test_buttons_without_facts_are_announced_all_the_same():
    card = replace(CLIP, lines=((ANN, " here it is"),))
    assert blocks.controls(card).text == "@\u2068ann\u2069 here it is"


@pytest.mark.parametrize(
    ("actions", "primary"),
    [
        ([Action.REROLL, Action.EDIT], [Action.REROLL]),
        ([Action.FINISH, Action.REROLL, Action.EDIT], [Action.FINISH]),
        ([Action.REROLL, Action.REROLL, Action.EXTEND], []),
        ([Action.FINISH, Action.FINISH, Action.REROLL, Action.REROLL], []),
        ([Action.CANCEL, Action.EDIT], []),
    ],
)
def test_one_button_stands_out_and_of_a_draft_that_is_finish(actions, primary):
    buttons = tuple(
        Button(key=ButtonId(action=action, job=f"{JOB}{place}"), label=action)
        for place, action in enumerate(actions)
    )
    drawn = blocks.message(Card(kind=CardKind.DONE, title="a fox", buttons=buttons)).blocks
    marked = [b["text"]["text"] for b in drawn[-1]["elements"] if b.get("style") == "primary"]
    assert marked == primary


def test_a_waiting_card_shows_prompt_owner_facts_place_and_button():
    text, drawn = blocks.message(WAITING)
    assert [block["type"] for block in drawn] == ["header", "context", "section", "actions"]
    assert drawn[0]["text"]["text"] == "🎬 a red fox running through snow"
    assert words(drawn[1:2]) == (
        "@\u2068kim\u2069 · 720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623"
        " · 7Q2FK9XDAB"
    )
    assert words(drawn[2:3]) == (
        "2nd in queue · starts in about 1 min, ready about <!date^52320^{time}|14:32 UTC>"
    )
    [button] = drawn[3]["elements"]
    assert (button["action_id"], "style" in button) == (f"v1:cancel:{JOB}", False)
    assert "a red fox running through snow" in text


def test_progress_is_a_bar_in_full_size_with_the_time_it_is_ready_at():
    card = replace(RUNNING, ready=("ready about ", Instant(at=52320.5)))
    _, _, bar, step, _ = blocks.message(card).blocks
    assert (bar["type"], step["type"]) == ("section", "context")
    assert words(bar) == ("▓▓▓▓▓▓▓▓▓░░░░░░  60 % · ready about <!date^52320^{time}|14:32 UTC>")
    assert words(step) == "step 18 of 30 · about 14 s left"


def test_progress_without_a_line_is_a_bar():
    card = Card(kind=CardKind.RUNNING, title="fox", progress=Bar(done=0, total=0))
    assert "░" * 15 in words(blocks.message(card).blocks)


def test_what_cannot_be_undone_is_in_a_menu_that_asks():
    asked = Confirm(title="Delete it?", text="It is gone then.", yes="Delete", no="Keep")
    buttons = (
        Button(key=ButtonId(action=Action.REROLL, job=JOB), label="Reroll"),
        Button(key=ButtonId(action=Action.LARGER, job=JOB), label="Again, larger"),
        Button(key=ButtonId(action=Action.DELETE, job=JOB), label="Delete", confirm=asked),
    )
    card = Card(kind=CardKind.DONE, title="fox", buttons=buttons, menu="More…", job=JOB)
    text, drawn = blocks.message(card)
    assert message_problems(text, drawn) == []
    *row, menu = drawn[-1]["elements"]
    assert [each["action_id"] for each in row] == [f"v1:reroll:{JOB}", f"v1:larger:{JOB}"]
    assert (menu["type"], menu["action_id"]) == ("overflow", f"v1:more:{JOB}")
    assert [each["value"] for each in menu["options"]] == [f"v1:delete:{JOB}"]
    assert words(menu["confirm"]) == "Delete it?\nIt is gone then.\nDelete\nKeep"


def test_a_finished_card_has_a_link_and_the_picture_that_slack_has():
    card = Card(kind=CardKind.DONE, title="fox", owner=ANN, lines=(("ready in 2 s",),), job=JOB)
    link = blocks.Link("https://a.slack.com/archives/C1/p2", "Open image ↗")
    text, drawn = blocks.message(card, links=[link], picture=blocks.Picture("F1", "a <fox>"))
    assert message_problems(text, drawn) == []
    assert [block["type"] for block in drawn] == [
        *("header", "context", "image", "section", "section")
    ]
    assert (drawn[2]["slack_file"], drawn[2]["alt_text"]) == ({"id": "F1"}, "a &lt;fox&gt;")
    assert words(drawn[4]) == "<https://a.slack.com/archives/C1/p2|Open image ↗>"


def test_only_a_card_that_pings_mentions_its_person_and_only_once():
    card = Card(kind=CardKind.CLIP, owner=ANN, lines=((ANN, " and ", ANN), (ANN, " again")))
    assert "<@" not in words(blocks.message(card).blocks)
    pinged = blocks.message(replace(card, ping=True))
    assert words(pinged.blocks).count("<@U0ANN>") == 1
    assert "<@" not in pinged.text


def test_somebody_of_another_company_is_mentioned_by_their_plain_id():
    guest = Person(id="U0BEA@T0FAR", name="bea")
    card = Card(kind=CardKind.FAILED, lines=((guest, " sorry"),), ping=True)
    assert words(blocks.message(card).blocks) == "<@U0BEA> sorry"


def test_an_id_that_is_none_of_slacks_is_never_mentioned():
    forged = Person(id="!channel", name="everybody")
    card = Card(kind=CardKind.FAILED, lines=((forged, " sorry"),), ping=True)
    assert words(blocks.message(card).blocks) == "@\u2068everybody\u2069 sorry"


def test_lists_share_sections_and_long_ones_are_cut():
    card = Card(kind=CardKind.INFO, lines=tuple((f"line {n} " + "x" * 90,) for n in range(500)))
    drawn = blocks.message(card).blocks
    assert [block["type"] for block in drawn] == ["section"] * 3
    assert words(drawn).startswith("line 0 ")
    assert words(drawn).endswith("…")


def test_a_link_stands_before_the_buttons():
    link = blocks.Link("https://a.slack.com/files/F1", "7Q2FK9XDAB.mp4")
    text, drawn = blocks.message(CLIP, links=[link])
    assert drawn[-2]["text"]["text"] == "<https://a.slack.com/files/F1|7Q2FK9XDAB.mp4>"
    assert text.endswith("https://a.slack.com/files/F1")


def test_times_are_written_for_each_reader():
    card = Card(kind=CardKind.INFO, lines=(("ready about ", Instant(at=52320.5)),))
    assert words(blocks.message(card).blocks) == "ready about <!date^52320^{time}|14:32 UTC>"


def test_a_form_becomes_a_modal_with_its_values():
    form = Form(
        id=f"v1:edit:{JOB}",
        title="A title that is much longer than Slack likes it",
        fields=(
            Field(name="prompt", label="Prompt", value="a <fox> & an owl", required=True),
            Field(name="flags", label="Flags", hint="--seed 7", max_length=20),
        ),
        submit="Make it",
    )
    view = blocks.modal(form)
    assert view_problems(view) == []
    assert view["callback_id"] == f"v1:edit:{JOB}"
    prompt, flags = view["blocks"]
    assert prompt["block_id"] == prompt["element"]["action_id"] == "prompt"
    assert prompt["element"]["initial_value"] == "a <fox> & an owl"
    assert (prompt["optional"], flags["optional"]) == (False, True)
    assert flags["element"]["placeholder"]["text"] == "--seed 7"
    assert "initial_value" not in flags["element"]


@given(typed, st.integers(min_value=10, max_value=50))
def test_a_text_that_is_cut_is_cut_between_characters(text, limit):
    short = escape(text, limit)
    assert len(short) <= limit
    assert re.fullmatch(r"(?:[^&<>]|&(?:amp|lt|gt);)*", short)


def test_what_looks_like_markup_keeps_its_looks_only():
    kept = literal("*bold* _it_ ~no~ `code`")
    assert not set("*_~`") & set(kept)
    assert re.fullmatch(r".bold. .it. .no. .code.", kept)
    assert literal("<!channel & <@U1>").startswith("&lt;!channel &amp; &lt;@U1")
