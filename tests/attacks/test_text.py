"""Text that rearranges, hides or steers what stands around it."""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bot.discord.outbound import render
from bot.slack.outbound import blocks
from bot.terminal.render import CardView, toolbar
from commands.caller import Caller, Channel
from commands.options import MAX_PROMPT
from commands.run import execute, submit
from commands.text import cards, summary
from commands.text.card import CardKind, Person, plain
from commands.text.cards import JobStatus
from commands.text.messages import text
from inference.domain.job import Failure, JobState, Requester
from inference.domain.render import Manifest
from inference.domain.untrusted_text import clean, clean_words, is_blank, isolate, isolate_foreign
from inference.domain.verdict import Outcome, Reason, Verdict
from tests.attacks.asking import a_call
from tests.fakes.options import OPTIONS
from tests.fakes.orders import a_job, a_spec

HEBREW = "שועל אדום רץ בשלג!"
FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u034f\u200b\u2028-\u202e\u2060-\u2067\u206a-\u206f\ufeff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]")
ISOLATED = re.compile("\u2068[^\u2068\u2069\n]*\u2069")
MANIFEST = Manifest(name="clip.mp4", size=1, sha256="", width=640, height=360, frames=49)


def attack(*values, what):
    return pytest.param(*values, marks=pytest.mark.attack("text", what), id=what)


@pytest.fixture
async def call(tmp_path):
    async with a_call(tmp_path) as call:
        yield call


def stands_apart(shown: str) -> bool:
    """Whether nothing in a text can move what is not in an isolate."""
    ours = ISOLATED.sub("", shown)
    return not (FORBIDDEN.search(shown) or RIGHT_TO_LEFT.search(ours) or "\u2068" in ours)


def texts(payload):
    """Yield every text in a payload."""
    if isinstance(payload, str):
        yield payload
    elif isinstance(payload, dict):
        for value in payload.values():
            yield from texts(value)
    elif isinstance(payload, list | tuple):
        for value in payload:
            yield from texts(value)


HOSTILE = [
    attack("a \u202efox", "a fox", what="an override"),
    attack("a \u202dfox\u202c", "a fox", what="an override to the right"),
    attack("a \u202bfox", "a fox", what="an embedding"),
    attack("a \u2066fox", "a fox", what="an isolate that never ends"),
    attack("a fox\u2069 \u2069", "a fox", what="ends of isolates"),
    attack("a fox\u206a\u206f", "a fox", what="deprecated controls"),
    attack("a \U000e0066ox \U000e007ffox", "a ox fox", what="tags outside of a flag"),
    attack("a \x1b[31mfox\x1b[0m", "a fox", what="colours of a terminal"),
    attack("a fox\x1b]0;owned\x07", "a fox", what="the title of a terminal"),
    attack("a\x00 fox\x7f", "a fox", what="NUL and DEL"),
    attack("a \x9b31mfox", "a fox", what="8-bit controls"),
    attack("a \ud83dfox", "a fox", what="half a character"),
    attack("a\u2028fox", "a fox", what="a separator of lines"),
    attack("a\u2029fox", "a fox", what="a separator of paragraphs"),
    attack("a\x85fox", "a fox", what="a new line of 1970"),
    attack("a \ufefffox", "a fox", what="a byte order mark"),
    attack("a f\u200box", "a fox", what="a zero-width space"),
    attack("a f\xadox", "a fox", what="a soft hyphen"),
    attack("a f\ufe0fox", "a fox", what="a variation selector without an emoji"),
    attack("a f\u200dox", "a fox", what="a joiner in a word"),
    attack("a fox\u200f", "a fox", what="a mark of direction without need"),
    attack("a <@123456> fox", "a fox", what="a mention on Discord"),
    attack("a <@&123456> <#99> fox", "a fox", what="a role and a channel on Discord"),
    attack("a <:fox:123456789> runs", "a fox runs", what="an emoji of a server"),
    attack("a </generate fox:123456>", "a generate fox", what="a command on Discord"),
    attack("a fox <t:1790000000:R>", "a fox", what="a time on Discord"),
    attack("a <@U0ANN|ann> fox", "a ann fox", what="a mention on Slack"),
    attack("a <https://a.example|fox>", "a fox", what="a link on Slack"),
    attack("a fox <!here>", "a fox @here", what="a mention of all on Slack"),
]


@pytest.mark.parametrize(("written", "kept"), HOSTILE)
async def test_what_is_typed_is_cleaned_in_prompt_form_and_negative(call, written, kept):
    card = await execute(f'/generate {written} --no "{written}"', call)

    spec = call.jobs.orders[0].spec
    assert (spec.prompt, spec.negative) == (kept, kept)
    assert stands_apart(plain(card))

    form = {"prompt": written, "negative": written, "resolution": "", "aspect": "", "flags": ""}
    await submit(f"v1:edit:{card.job}", form, call)
    edited = await call.jobs.get(card.job, tenant=call.channel.tenant)
    assert (edited.spec.prompt, edited.spec.negative) == (kept, kept)


@pytest.mark.parametrize(
    "written",
    [
        attack("\u3164", what="a Hangul filler alone"),
        attack("\u2800\u2800", what="blank braille alone"),
        attack("\ufe0f\u200d", what="a selector and a joiner alone"),
        attack("\u202e\u2066", what="controls alone"),
        attack("\u0301\u20dd", what="marks alone"),
        attack("\u115f\u1160", what="empty Korean letters alone"),
        attack("\U000e0061\U000e0062", what="tags alone"),
        attack("<@123456>", what="a mention alone"),
    ],
)
async def test_a_prompt_that_shows_nothing_is_refused(call, written):
    card = await execute(f"/generate {written} --no gore", call)

    assert card.kind is CardKind.ERROR
    assert call.jobs.orders == []


@pytest.mark.parametrize(
    "written",
    [
        "👩‍🚀 and 👨‍👩‍👧‍👦",
        "❤️‍🔥 1️⃣ ☃️ 🏴‍☠️ 🏳️‍🌈",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "👍🏽 🇰🇷 🫨",
        HEBREW,
        "ثعلب أحمر يركض في الثلج",
        "می‌خواهم روباهی ببینم",
        "बर्फ़ में दौड़ती लोमड़ी क्‍ष",
        "สุนัขจิ้งจอกสีแดงวิ่งในหิมะ",
        "눈 속을 달리는 붉은 여우",
        unicodedata.normalize("NFD", "눈 속을 달리는 여우"),
        "雪の中を走る赤い狐 葛󠄀",
        "cáo đỏ chạy trong tuyết",
        "naïve café, 50 % <3 > 2 & more",
    ],
)
async def test_honest_text_stays_as_it_is(call, written):
    await execute(f"/generate {written}", call)

    assert call.jobs.orders[0].spec.prompt == written


@pytest.mark.attack("text", "a prompt too long for what it shows")
async def test_lengths_count_after_cleaning(call):
    hidden = "\u200b" * (9 * MAX_PROMPT)

    await execute(f"/generate {hidden}{'x' * MAX_PROMPT}", call)
    too_long = await execute(f"/generate {'x' * (MAX_PROMPT + 1)}", call)

    assert call.jobs.orders[0].spec.prompt == "x" * MAX_PROMPT
    assert too_long.kind is CardKind.ERROR


@pytest.mark.attack("text", "piles of accents over the lines above")
def test_piles_of_marks_are_cut():
    assert len(clean("a" + "\u0301" * 500)) < 10


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        attack("ada\u202e", "ada", what="an override in a name"),
        attack("ada\n# owned", "ada # owned", what="a line break in a name"),
        attack("\x1b[2Jada", "ada", what="controls of a terminal in a name"),
        attack("ada\u2067", "ada", what="an isolate in a name"),
    ],
)
def test_names_of_people_and_channels_are_cleaned(name, kept):
    assert Caller(id="u1", name=name).requester == Requester(id="u1", name=kept)
    assert Channel(platform="t", tenant="t", address={}, title=name).title == kept
    assert Person(id="u1", name=name).shown == f"@\u2068{kept}\u2069"


@pytest.mark.attack("text", "an override in a preset, a reason and a word of the guild")
async def test_other_texts_are_cleaned_as_well(call):
    admin = replace(call, caller=replace(call.caller, id="boss", admin=True))
    await execute("/rushes-admin block u9 be\u202ecause", admin)
    await execute("/rushes-admin words add cl\u202eown", admin)
    await execute('/rushes preset save mi\u202ene --no "ra\u202ein"', call)

    block = await call.policy.blocks.of(call.channel.tenant, "u9")
    [preset] = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    assert block.reason == "because"
    assert await call.policy.words.of(call.channel.tenant) == ["clown"]
    assert (preset.name, preset.options["negative"]) == ("mine", "rain")


# -- beside our own text -------------------------------------------------------------------------


def a_hebrew_job(**changes):
    job = a_job(spec=a_spec(prompt=HEBREW, original=HEBREW, negative=HEBREW), **changes)
    origins = {"prompt": "assistant", "negative": "typed"}
    return replace(job, requester=Requester(id="123", name="דנה"), origins=origins)


def all_cards(job):
    status = JobStatus(now=0.0)
    for state in JobState:
        yield cards.status(replace(job, state=state), status, "en")
        yield cards.status(replace(job, state=state), status, "ko")
    done = replace(job, state=JobState.DONE, manifest=MANIFEST)
    failure = Failure(code="value.mistyped", params={"option": "--ar", "value": HEBREW})
    yield cards.clip(done, Path("clip.mp4"), "en")
    yield cards.info(done, "en", options=OPTIONS)
    yield cards.failure(replace(job, state=JobState.FAILED, failure=failure), "en")


@pytest.mark.attack("text", "a right-to-left prompt and name on every card of every chat")
async def test_text_of_people_stands_apart_on_every_card_of_every_chat():
    for card in all_cards(a_hebrew_job()):
        assert stands_apart(card.title)
        assert all(stands_apart(part) for line in card.lines for part in line if type(part) is str)
        assert stands_apart(plain(card))
        for embeds in (True, False):
            drawn = render.message(card, embeds=embeds)
            shown = [embed.to_dict() for embed in drawn.embeds]
            laid_out = drawn.view.to_components() if drawn.view else []
            assert all(stands_apart(each) for each in texts([drawn.content or "", shown, laid_out]))
            if card.owner is not None:
                lines = "\n".join([drawn.content or "", *texts(laid_out)]).splitlines()
                assert any(line.endswith(f" · {card.job}") for line in lines)
        said = blocks.message(card)
        assert all(stands_apart(each) for each in texts([said.text, said.blocks]))
        assert stands_apart(blocks.comment(card))
        file = io.StringIO()
        Console(file=file, width=200, force_terminal=True, no_color=True).print(
            CardView(card, zone=UTC)
        )
        assert HEBREW not in ISOLATED.sub("", file.getvalue())
        assert stands_apart(toolbar([card], zone=UTC, columns=200, rows=1))
        if card.attachment is not None:
            assert card.attachment.description == f"\u2068{HEBREW}\u2069"


@pytest.mark.attack("text", "right-to-left prompts in lists")
async def test_text_of_people_stands_apart_in_lists(call):
    hebrew = replace(call, caller=Caller(id="u1", name="דנה", admin=True))
    await execute(f"/generate {HEBREW}", hebrew)
    await execute(f"/rushes-admin words add {HEBREW.rstrip('!')}", hebrew)
    await execute(f'/rushes settings set default.negative "{HEBREW}"', hebrew)
    for line in (
        "/rushes queue",
        "/rushes history",
        "/rushes status",
        "/rushes settings",
        "/rushes-admin words",
        f"/rushes show {HEBREW}",
        f"/generate x --ar {HEBREW}",
        f"/{HEBREW}",
    ):
        shown = plain(await execute(line, hebrew))
        assert RIGHT_TO_LEFT.search(shown), line
        assert stands_apart(shown), line


@pytest.mark.attack("text", "a long right-to-left prompt that is cut")
async def test_what_is_cut_keeps_its_isolate_closed():
    long = replace(a_hebrew_job(), spec=a_spec(prompt=f"{HEBREW} " * 500))
    card = cards.info(long, "en", options=OPTIONS)

    [embed] = render.message(card).embeds
    assert len(embed.description) <= render.DESCRIPTION_LENGTH
    assert all(stands_apart(each) for each in texts(blocks.message(card).blocks))
    assert stands_apart(embed.description)
    name = summary.thread_name(long, 100)
    assert len(name) <= 100
    assert stands_apart(name)


@pytest.mark.parametrize("outcome", [Outcome.SPOILER, Outcome.ALLOW])
@pytest.mark.attack("text", "a flagged prompt in thread names and descriptions")
def test_what_leads_to_a_flagged_file_says_nothing_of_its_prompt(outcome):
    verdict = Verdict(outcome=outcome, reasons=(Reason.SEXUAL,))
    job = a_job(state=JobState.DONE, manifest=MANIFEST, verdict=verdict)
    attachment = cards.clip(job, Path("clip.mp4"), "en").attachment

    for shown in (attachment.description, attachment.name, summary.thread_name(job, 100)):
        assert job.id in shown
        assert "fox" not in shown


ANY = st.text(
    st.sampled_from("a1 \n😀❤\ufe0f\u200d\u200c\u202e\u2066\u2068\u2069א\x1b[m\U000e0061\u0301")
    | st.characters(),
    max_size=60,
)


@given(ANY)
def test_cleaning_again_changes_nothing_and_nothing_hidden_is_left(written):
    for kept in (clean(written), clean(written, lines=True), clean_words(written)):
        assert clean(kept, lines=True) == kept
        kept.encode()
        assert not FORBIDDEN.search(kept.replace("🏴", "") if "\U000e007f" not in kept else "")


@given(ANY)
def test_what_is_isolated_stands_apart_and_is_isolated_once(written):
    isolated = isolate(written)

    assert isolate(isolated) == isolated
    assert "\U000e007f" in isolated or stands_apart(isolated)
    assert isolate_foreign(isolated) == isolated
    assert stands_apart(text("card.title", "en", prompt=written)) or "\U000e007f" in isolated


def test_letters_newer_than_this_python_are_seen():
    assert not is_blank("\U0001fae8")
