from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.parsing.suggestions import closest
from commands.parsing.values import MAX_SHOWN, accept
from commands.schema import Kind, Option
from inference.domain.errors import UserError
from tests.fakes.options import OPTIONS


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("aspect", "16:9", "16:9"),
        ("camera", "Zoom_In", "zoom in"),
        ("motion", "EXTREMELYHIGH", "extremely high"),
        ("frames", 49, 49),
        ("frames", "49", 49),
        ("seed", "+7", 7),
        ("cfg", 7, 7.0),
        ("cfg", 1.1, 1.1),
        ("cfg", "7.", 7.0),
        ("refine", False, False),
        ("negative", "  blur ", "blur"),
    ],
)
def test_values_from_forms_and_from_text_mean_the_same(name, raw, value):
    accepted = accept(OPTIONS.by_name[name], raw)
    assert accepted == value
    assert type(accepted) is type(value)


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("seed", True, "value.not_whole"),
        ("seed", 1.5, "value.not_whole"),
        ("seed", -(2**70), "value.out_of_range"),
        ("seed", "9" * 400, "value.out_of_range"),
        ("seed", 1e300, "value.out_of_range"),
        ("cfg", float("inf"), "value.out_of_range"),
        ("cfg", "-" + "9" * 400, "value.out_of_range"),
        ("cfg", 10**400, "value.out_of_range"),
        ("cfg", float("nan"), "value.not_a_number"),
        ("cfg", True, "value.not_a_number"),
        ("refine", "maybe", "value.not_a_switch"),
        ("aspect", "", "value.not_a_choice"),
        ("negative", " ", "value.missing"),
        ("negative", "x" * 2001, "value.too_long"),
        ("fps", 61, "value.out_of_range"),
    ],
)
def test_illegal_values_are_refused(name, raw, code):
    with pytest.raises(UserError) as caught:
        accept(OPTIONS.by_name[name], raw)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("kind", "code"), [(Kind.INTEGER, "value.not_whole"), (Kind.NUMBER, "value.not_a_number")]
)
@pytest.mark.parametrize("raw", ["9" * 5000, "-" + "9" * 400, 1e300, float("inf")])
def test_a_number_without_a_range_is_bounded_too(kind, code, raw):
    with pytest.raises(UserError) as caught:
        accept(Option(name="thing", kind=kind), raw)
    assert caught.value.code == code


def test_a_wrong_value_is_repeated_only_in_part():
    with pytest.raises(UserError) as caught:
        accept(OPTIONS.by_name["seed"], "x" * 5000)
    assert len(caught.value.params["value"]) == MAX_SHOWN


@given(
    st.sampled_from(OPTIONS.order),
    st.one_of(st.text(), st.integers(), st.floats(), st.booleans()),
)
def test_any_value_is_accepted_or_refused_politely(option, raw):
    try:
        value = accept(option, raw)
    except UserError:
        return
    assert accept(option, value) == value


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("3:2", "4:3"),
        ("2:3", "3:4"),
        ("21:9", "16:9"),
        ("1920x1080", "16:9"),
        ("16:99", "16:9"),
        ("4:5", "3:4"),
    ],
)
def test_of_sizes_the_nearest_is_meant(typed, meant):
    assert closest(typed, ["16:9", "9:16", "4:3", "3:4", "1:1"]) == meant
    assert closest(typed, ["16:9", "wide"]) != "4:3"


def test_a_word_of_a_megabyte_is_like_none():
    assert closest("a" * 2**20, ["a" * 2**20 + "b"]) is None


@pytest.mark.parametrize(("typed", "meant"), [("480p", "360p"), ("1080", "720p"), ("720", "720p")])
def test_of_heights_the_nearest_is_meant(typed, meant):
    assert closest(typed, ["240p", "360p", "720p"]) == meant
