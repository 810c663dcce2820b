from __future__ import annotations

from dataclasses import replace

import pytest

from commands.installation import Installation
from commands.option_set import OptionSet, limit_options
from commands.options import MORE, NEUTRAL_OPTIONS
from commands.parsing.flags import parse, render_options
from commands.schema import Group, Kind, Option, Range
from commands.specs.layers import Layer
from commands.specs.resolve import resolve
from inference.domain.capabilities import Lengths, ModelOption, Numbers, OptionKind
from inference.domain.errors import UserError

GLOW = ModelOption(
    name="glow", kind=OptionKind.CHOICE, choices=("none", "soft"), default="none", advanced=True
)
HUM = ModelOption(name="hum", kind=OptionKind.INTEGER, lowest=0, highest=5, default=1)


@pytest.fixture
def odd(big):
    """A model with lengths, rates and options of its own."""
    return replace(
        big,
        name="odd",
        title="Odd",
        lengths=Lengths.rule(offset=1, step=4, shortest=5, longest=121),
        options=(GLOW, HUM),
        steps=Numbers.fixed(8),
        cfg=Numbers(lowest=1, highest=3, default=2),
        file_fps=16,
        negative=False,
        extends=False,
    )


@pytest.fixture
def both(small, odd):
    return Installation(models=(small, odd), default_model="odd")


def asked(installation, text):
    typed = parse(text, installation.options)
    layer = Layer(name="typed", values=typed.options, asked=True)
    return resolve(typed.prompt, [layer], installation)


def test_the_union_has_what_any_model_has_and_each_only_its_own(both, odd):
    union, small = both.options.shown, both.find_options("NANO").shown
    assert {"glow", "hum", "motion", "camera"} <= set(union)
    assert not {"glow", "hum"} & set(small)
    assert small["resolution"].choices == ("360p",)
    assert union["resolution"].choices == tuple(odd.resolutions)
    assert small["frames"].choices == (1, 49, 65)
    assert {5, 121, 49, 65, 1} <= set(union["frames"].choices)
    assert both.find_options("nobody").shown == union


def test_what_leaves_nothing_to_choose_is_shown_by_nobody(both, odd):
    shown = both.find_options("odd").shown
    assert not {"steps", "negative", "loops", "last"} & set(shown)
    assert shown["cfg"].range == Range(lowest=1, highest=3)
    assert both.options.shown["cfg"].range == Range(lowest=1, highest=20)
    assert OptionSet([odd]).by_name["steps"], "it is understood all the same, to be refused"


def test_options_of_one_name_become_one_and_are_checked_by_the_model(small, odd):
    loud = replace(GLOW, choices=("loud", "soft"), default="loud", advanced=False)
    high = replace(HUM, lowest=3, highest=9, default=4)
    other = replace(odd, name="other", title="Other", options=(loud, high))
    both = Installation(models=(odd, other), default_model="odd")
    glow, hum = both.options.shown["glow"], both.options.shown["hum"]
    assert (glow.choices, glow.group) == (("none", "soft", "loud"), Group.BASIC)
    assert hum.range == Range(lowest=0, highest=9)
    assert asked(both, "a fox --glow loud --model other").spec.options == {"glow": "loud", "hum": 4}
    with pytest.raises(UserError) as refused:
        asked(both, "a fox --glow loud")
    assert refused.value.params["legal"] == ["none", "soft"]
    with pytest.raises(UserError) as refused:
        asked(both, "a fox --hum 8")
    assert refused.value.offers == ({"hum": 5},)


def test_options_of_one_name_and_different_kinds_are_read_by_each_model(odd):
    worded = ModelOption(name="hum", kind=OptionKind.TEXT, default="a bee")
    other = replace(odd, name="other", title="Other", options=(worded,))
    both = Installation(models=(odd, other), default_model="odd")
    assert both.options.by_name["hum"].kind is Kind.TEXT
    assert asked(both, "a fox --hum 3").spec.options["hum"] == 3
    spec = asked(both, "a fox --hum two bees --model other").spec
    assert (spec.texts, spec.options) == ({"hum": "two bees"}, {})


@pytest.mark.parametrize("name", ["seed", "res", "no", "Glow", "two words", "x" * 33, "-x"])
def test_a_name_that_is_taken_or_that_no_chat_takes_is_left_out(odd, name):
    model = replace(odd, options=(replace(GLOW, name=name),))
    assert set(OptionSet([model]).by_name) == {option.name for option in NEUTRAL_OPTIONS}


@pytest.mark.parametrize(
    ("text", "code", "offers"),
    [
        ("a fox --frames 100", "model.length", ({"frames": 97}, {"frames": 101})),
        ("a fox --frames 2", "model.length", ({"frames": 1}, {"frames": 5})),
        ("a fox --frames 999", "model.length", ({"frames": 121},)),
        ("a fox --steps 30", "model.fixed", ({"steps": None},)),
        ("a fox --cfg 7", "model.out_of_range", ({"cfg": 3},)),
        ("a fox --loops 2", "model.no_loops", ({"loops": None},)),
        ("a fox --no rain", "model.no_negative", ({"negative": None},)),
        ("a fox --motion high", "model.no_option", ({"motion": None}, {"model": "nano"})),
        ("a fox --model nano --res 720p", "model.cannot_other", ({"resolution": "360p"},)),
        ("a fox --model nano --hum 2", "model.no_option", ({"hum": None}, {"model": "odd"})),
        ("a fox --frames 1 --camera static", "model.no_option", None),
    ],
)
def test_what_a_model_lacks_is_refused_with_what_works(both, text, code, offers):
    with pytest.raises(UserError) as refused:
        asked(both, text)
    assert refused.value.code == code
    if offers is not None:
        assert refused.value.offers == offers


def test_a_length_is_in_the_models_own_seconds(both):
    spec = asked(both, "a fox --frames 81").spec
    assert (spec.seconds, spec.file_fps) == (81 / 16, 16)
    assert asked(both, "a fox").spec.frames == 65, "about four seconds where nothing is said"


def test_the_least_used_options_are_left_to_one_that_takes_flags(big):
    own = tuple(replace(GLOW, name=f"own{number}") for number in range(40))
    options = OptionSet([replace(big, options=own)]).order
    kept = limit_options(25, options)
    assert len(kept) == 25
    assert kept[-1] is MORE
    assert {option for option in options if option.group is Group.BASIC} <= set(kept)
    assert {"seed", "steps", "cfg", "model"} <= {option.name for option in kept}
    assert limit_options(99, options) == list(options)


def test_flags_of_own_options_are_typed_like_all_others(both):
    typed = parse("a fox —glow soft --hum=2 at dawn", both.options)
    assert (typed.prompt, typed.options) == ("a fox at dawn", {"glow": "soft", "hum": 2})


def test_an_option_is_a_key_although_its_texts_are_a_mapping():
    assert {Option(name="a", kind=Kind.TEXT, texts={"en": "A"})}


@pytest.mark.parametrize("value", [True, False])
def test_a_switch_that_is_a_text_of_another_model_is_written_as_it_is_read(odd, value):
    switch = ModelOption(name="grain", kind=OptionKind.FLAG, default=False)
    words = ModelOption(name="grain", kind=OptionKind.CHOICE, choices=("fine",), default="fine")
    note = ModelOption(name="note", kind=OptionKind.TEXT, default="")
    one = replace(odd, options=(switch, note))
    both = Installation(
        models=(one, replace(odd, name="other", options=(words,))), default_model="odd"
    )
    line = render_options({"grain": value, "note": ""}, both.options)
    spec = asked(both, f"a fox {line}").spec
    assert spec.options["grain"] is value
    assert spec.texts["note"] == ""
