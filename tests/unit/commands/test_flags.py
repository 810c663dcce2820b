from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.installation import Installation
from commands.options import MAX_PROMPT
from commands.parsing.flags import MAX_TYPED, ParsedRequest, parse, render
from commands.schema import Kind
from commands.text.messages import error_text
from inference.domain.errors import UserError
from inference.domain.untrusted_text import clean_words
from inference.engines.registry import Models
from tests.fakes.options import OPTIONS


@pytest.mark.parametrize(
    ("text", "prompt", "options"),
    [
        ("a red fox", "a red fox", {}),
        ("a red fox --ar 9:16 --seed 7", "a red fox", {"aspect": "9:16", "seed": 7}),
        ("a red fox --ar=9:16 --seed=7", "a red fox", {"aspect": "9:16", "seed": 7}),
        ("a fox --ar = 9:16", "a fox", {"aspect": "9:16"}),
        ("--seed 7 a red fox", "a red fox", {"seed": 7}),
        ("a red --seed 7 fox", "a red fox", {"seed": 7}),
        ("a fox —ar 9:16", "a fox", {"aspect": "9:16"}),
        ("a fox \N{EN DASH}ar 9:16", "a fox", {"aspect": "9:16"}),
        ("a fox \N{EN DASH}\N{EN DASH}ar 9:16", "a fox", {"aspect": "9:16"}),
        ("a fox --AR 9:16 --Res 360P", "a fox", {"aspect": "9:16", "resolution": "360p"}),
        ("a fox --camera pan left", "a fox", {"camera": "pan left"}),
        ("a fox --camera PAN LEFT", "a fox", {"camera": "pan left"}),
        ("a fox --camera pan-left", "a fox", {"camera": "pan left"}),
        ("a fox --camera panleft", "a fox", {"camera": "pan left"}),
        ("a fox --camera pan\n left", "a fox", {"camera": "pan left"}),
        ('a fox --camera "pan left"', "a fox", {"camera": "pan left"}),
        ("a fox --camera “pan left”", "a fox", {"camera": "pan left"}),
        ("a fox --camera pan left turning", "a fox turning", {"camera": "pan left"}),
        ("--motion very high a fox", "a fox", {"motion": "very high"}),
        ("--motion high speed", "speed", {"motion": "high"}),
        ("--motion very low light", "light", {"motion": "very low"}),
        ('a fox --no "blur, text"', "a fox", {"negative": "blur, text"}),
        ('a fox --no"blur"', "a fox", {"negative": "blur"}),
        ("a fox --no “blur” at dawn", "a fox at dawn", {"negative": "blur"}),
        ("a fox --no „blur“", "a fox", {"negative": "blur"}),
        ("a fox --no « blur »", "a fox", {"negative": "blur"}),
        ("a fox --no 'don't blur'", "a fox", {"negative": "don't blur"}),
        (
            "a fox --no \N{LEFT SINGLE QUOTATION MARK}blur\N{RIGHT SINGLE QUOTATION MARK}",
            "a fox",
            {"negative": "blur"},
        ),
        ("a fox --no 'til dawn", "a fox", {"negative": "'til dawn"}),
        (r'a fox --no "a \"red\" one"', "a fox", {"negative": 'a "red" one'}),
        ('a fox --no “a "red" one”', "a fox", {"negative": 'a "red" one'}),
        ("a fox --no blur, text --seed 7", "a fox", {"negative": "blur, text", "seed": 7}),
        ('--no "blur", a fox', ", a fox", {"negative": "blur"}),
        ("don't stop the fox's run --seed 1", "don't stop the fox's run", {"seed": 1}),
        ("'twas night --seed 1 in the kids' yard", "'twas night in the kids' yard", {"seed": 1}),
        ('a sign "--ar 1:1" there', 'a sign "--ar 1:1" there', {}),
        ('"hello", she said', '"hello", she said', {}),
        (r"a sign \--ar 1:1", "a sign --ar 1:1", {}),
        (r"a \"sign --ar 1:1", 'a "sign', {"aspect": "1:1"}),
        ('a 6" cat --ar 1:1', 'a 6" cat', {"aspect": "1:1"}),
        ('an "unclosed --ar 1:1', 'an "unclosed', {"aspect": "1:1"}),
        ("from -5 to -- and - there", "from -5 to -- and - there", {}),
        ("well--known and (--ar)", "well--known and (--ar)", {}),
        ("a fox —red, not grey— runs", "a fox —red, not grey— runs", {}),
        ("a fox --refine", "a fox", {"refine": True}),
        ("--no-refine a fox", "a fox", {"refine": False}),
        ("a fox --cfg 4", "a fox", {"cfg": 4.0}),
        ("a fox --cfg 1.5", "a fox", {"cfg": 1.5}),
        ("a fox --model NANO", "a fox", {"model": "NANO"}),
        (r'a fox --image "C:\\my fox.png"', "a fox", {"image": r"C:\my fox.png"}),
        (r"a fox --image C:\fox.png", "a fox", {"image": r"C:\fox.png"}),
        ("a\tred\x00fox\ud800 \n runs", "a red fox runs", {}),
        (r"C:\dir and \n", r"C:\dir and \n", {}),
    ],
)
def test_typed_text_is_understood(text, prompt, options):
    assert parse(text, OPTIONS) == ParsedRequest(prompt=prompt, options=options)


@pytest.mark.parametrize(
    ("text", "code", "params"),
    [
        ("", "prompt.empty", {}),
        (" \u200b ", "prompt.empty", {}),
        ("--seed 7", "prompt.empty", {}),
        ("x" * (MAX_PROMPT + 1), "prompt.too_long", {"limit": MAX_PROMPT, "length": 2001}),
        ("x " * MAX_TYPED, "prompt.too_long", {"limit": MAX_PROMPT}),
        ("a --sed 7", "flag.mistyped", {"flag": "--sed", "suggestion": "--seed"}),
        ("a —sed 7", "flag.mistyped", {"flag": "--sed", "suggestion": "--seed"}),
        ("a --arr 1:1", "flag.mistyped", {"flag": "--arr", "suggestion": "--aspect"}),
        ("a --seed:7", "flag.mistyped", {"suggestion": "--seed"}),
        ("a --norefine", "flag.mistyped", {"suggestion": "--no-refine"}),
        ("a --qqqqqq", "flag.unknown", {"flag": "--qqqqqq"}),
        ("a --prompt x", "flag.unknown", {"flag": "--prompt"}),
        ("a --seed", "value.missing", {"option": "--seed"}),
        ("a --seed --ar 1:1", "value.missing", {"option": "--seed"}),
        ("a --seed=", "value.missing", {"option": "--seed"}),
        ('a --no ""', "value.missing", {"option": "--negative"}),
        ('a --no "blur', "value.unclosed_quote", {"option": "--negative"}),
        ("a --seed 1 --seed 1", "flag.repeated", {"flag": "--seed"}),
        ("a --refine --no-refine", "flag.repeated", {"flag": "--refine"}),
        ("a --refine=yes", "flag.takes_no_value", {"flag": "--refine"}),
        ("a --seed seven", "value.not_whole", {"option": "--seed", "value": "seven"}),
        ("a --seed 1.5", "value.not_whole", {"value": "1.5"}),
        ("a --seed ٣", "value.not_whole", {}),
        ("a --seed -1", "value.out_of_range", {"value": "-1", "lowest": 0}),
        ("a --seed 4294967296", "value.out_of_range", {"highest": 4294967295}),
        ("a --steps 0", "value.out_of_range", {"lowest": 1, "highest": 200}),
        ("a --cfg nan", "value.not_a_number", {"option": "--cfg"}),
        ("a --cfg 20.5", "value.out_of_range", {"highest": 20}),
        ("a --frames 0", "value.out_of_range", {"lowest": 1}),
        ("a --camera pan lft", "value.mistyped", {"value": "pan lft", "suggestion": "pan left"}),
        ("a --camera pan lft on", "value.mistyped", {"value": "pan lft"}),
        ("a --motion hgih", "value.mistyped", {"value": "hgih", "suggestion": "high"}),
        ("a --ar 16;9", "value.mistyped", {"suggestion": "16:9"}),
        ("a --motion qqqq fox", "value.not_a_choice", {"value": "qqqq"}),
    ],
)
def test_what_cannot_be_understood_is_said_exactly(text, code, params):
    with pytest.raises(UserError) as caught:
        parse(text, OPTIONS)
    assert caught.value.code == code
    assert {name: caught.value.params[name] for name in params} == params


def test_a_wrong_choice_is_answered_with_the_legal_ones():
    with pytest.raises(UserError) as caught:
        parse("a fox --ar wide", OPTIONS)
    assert caught.value.params["legal"] == ["16:9", "9:16", "4:3", "3:4", "1:1"]


PRINTABLE = st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"))
TRICKY = st.sampled_from(
    [
        "--ar",
        "--no",
        "—seed",
        "\\",
        '"',
        "“",
        "”",
        "'",
        "=",
        "-",
        "--",
        '"a',
        'b"',
        "\\--ar",
        "«x",
        "don't",
    ]
)


def is_clean(text):
    """What is typed is cleaned first, which has tests of its own."""
    return clean_words(text) == text == text.strip()


WORD = st.one_of(TRICKY, st.text(PRINTABLE, min_size=1, max_size=12).filter(is_clean))
WORDS = st.lists(WORD, min_size=1, max_size=12).map(" ".join)
PROMPTS = WORDS.map(lambda text: f"x {text}")
PATHS = st.text(st.one_of(PRINTABLE, st.just(" ")), min_size=1, max_size=30).filter(is_clean)


def legal_values(option):
    match option.kind:
        case Kind.FLAG:
            return st.booleans()
        case Kind.NUMBER:
            return st.floats(option.range.lowest, option.range.highest)
        case Kind.IMAGE | Kind.MODEL:
            return PATHS
        case Kind.TEXT:
            return WORDS.filter(lambda text: len(text) <= option.max_length)
    if option.choices:
        return st.sampled_from([getattr(choice, "value", choice) for choice in option.choices])
    return st.integers(option.range.lowest, option.range.highest)


FLAGGED = [option for option in OPTIONS.order if option.flag]
TYPED = st.builds(
    lambda prompt, options: ParsedRequest(prompt=prompt, options=options),
    PROMPTS,
    st.fixed_dictionaries({}, optional={item.name: legal_values(item) for item in FLAGGED}),
)


@given(TYPED)
def test_what_is_written_reads_back_the_same(typed):
    assert parse(render(typed, OPTIONS), OPTIONS) == typed


@given(st.lists(st.one_of(WORD, st.sampled_from([f"--{o.flag}" for o in FLAGGED]))).map(" ".join))
def test_reading_and_writing_settle(text):
    try:
        typed = parse(text, OPTIONS)
    except UserError:
        return
    assert parse(render(typed, OPTIONS), OPTIONS) == typed


ANY_TEXT = st.text(st.characters(), max_size=200)


@given(st.one_of(ANY_TEXT, st.lists(st.one_of(WORD, ANY_TEXT)).map(" ".join)))
def test_any_text_is_either_read_or_refused_politely(text):
    try:
        typed = parse(text, OPTIONS)
    except UserError:
        return
    assert 0 < len(typed.prompt) <= MAX_PROMPT
    assert typed.prompt == " ".join(typed.prompt.split())
    typed.prompt.encode()
    assert set(typed.options) <= set(OPTIONS.by_name)


def test_an_ordinary_prompt_is_written_as_it_is():
    typed = ParsedRequest(prompt="don't say \"--ar\", they're 6' tall", options={"seed": 7})
    assert render(typed, OPTIONS) == "don't say \"--ar\", they're 6' tall --seed 7"


def lines_run(text):
    """Count the lines of Python that run while a text is refused."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(UserError):
            parse(text, OPTIONS)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("unit", ["„a ", '"a', "—a ", "\\“", "' ", "--no "])
def test_reading_a_malicious_line_takes_steps_in_proportion_to_its_length(unit):
    long = (unit * MAX_TYPED)[:MAX_TYPED]
    half = long[: MAX_TYPED // 2]
    lines_run(half)  # fills the caches of regular expressions and of suggestions
    assert lines_run(long) < 3 * lines_run(half)


def test_options_have_the_names_that_forms_and_settings_show():
    long = parse("a --aspect 9:16 --resolution 360p --negative rain", OPTIONS)
    assert long == parse("a --ar 9:16 --res 360p --no rain", OPTIONS)


@pytest.fixture
def silent():
    """An installation whose only model makes no sound, beside models that are not installed."""
    models = Models()
    names = ("ltx", "wan")
    ltx, wan = (models.capabilities(name) for name in names)
    return Installation(models=(wan,), default_model="wan", others=(ltx,))


@pytest.mark.parametrize("typed", ["a fox --sound off", "a fox --SOUND=on"])
def test_an_option_of_other_models_is_no_spelling_mistake(silent, typed):
    with pytest.raises(UserError) as caught:
        parse(typed, silent.options, silent.find_options("wan"))
    assert caught.value.code == "model.no_option_at_all"
    assert error_text(caught.value, "en") == "Wan 2.2 5B does not support --sound. Leave it out."


def test_an_option_of_other_models_is_still_a_guess_for_none(silent):
    with pytest.raises(UserError) as caught:
        parse("a fox --sond off", silent.options)
    assert "--sound" not in error_text(caught.value, "en")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--steps 500", "LTX-2.5 always uses --steps 8, not 500. Leave --steps out."),
        ("--cfg 99", "LTX-2.5 always uses --cfg 1, not 99. Leave --cfg out."),
        ("--cfg 0.5", "LTX-2.5 always uses --cfg 1, not 0.5. Leave --cfg out."),
    ],
)
def test_a_number_out_of_all_ranges_is_told_with_the_models(typed, said):
    models = Models()
    ltx, wan = models.capabilities("ltx"), models.capabilities("wan")
    both = Installation(models=(wan, ltx), default_model="wan")
    with pytest.raises(UserError) as caught:
        parse(f"a fox {typed}", both.options, both.find_options("ltx"))
    assert error_text(caught.value, "en") == said
    with pytest.raises(UserError) as caught:
        parse(f"a fox {typed}", both.options, both.find_options("wan"))
    assert ("100" if "steps" in typed else "15") in error_text(caught.value, "en")
