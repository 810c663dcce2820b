import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.capabilities import Lengths, ModelOption, Numbers, OptionKind
from tests.fakes.models import MODELS
from tests.fakes.orders import a_spec


@given(
    offset=st.integers(-5, 10),
    step=st.integers(1, 20),
    shortest=st.integers(2, 200),
    span=st.integers(0, 200),
    asked=st.integers(1, 500),
)
def test_a_rule_gives_its_lengths_and_the_nearest_of_them(offset, step, shortest, span, asked):
    every = [n for n in range(shortest, shortest + span + 1) if (n - offset) % step == 0]
    try:
        lengths = Lengths.rule(offset=offset, step=step, shortest=shortest, longest=shortest + span)
    except ValueError:
        assert [n for n in every if n >= offset] == []
        return
    assert [*lengths] == [1, *(n for n in every if n >= offset)]
    near = lengths.neighbours(asked)
    assert len(near) == 1 if asked in lengths else len(near) <= 2
    assert abs(lengths.nearest(asked) - asked) == min(abs(n - asked) for n in lengths)


@pytest.mark.parametrize("values", [(), (0, 5), (5, 5), (9, 5)])
def test_lengths_that_are_none_are_refused(values):
    with pytest.raises(ValueError, match="length"):
        Lengths(values)


def test_a_form_gets_as_many_lengths_as_it_takes_with_both_ends():
    lengths = Lengths.rule(offset=1, step=4, shortest=5, longest=401)
    choices = lengths.choices(25)
    assert len(choices) == 25
    assert (choices[0], choices[-1]) == (1, 401)
    assert set(choices) <= set(lengths)


def test_defaults_are_checked():
    with pytest.raises(ValueError, match="choices"):
        ModelOption(name="mood", kind=OptionKind.CHOICE, choices=("calm",), default="wild")
    with pytest.raises(ValueError, match="30"):
        Numbers(lowest=1, highest=20, default=30)
    assert Numbers.fixed(4).is_fixed


def test_a_stored_spec_gets_the_options_that_its_model_has_now():
    model = MODELS.capabilities("nano")
    old = a_spec(model="nano")
    assert model.fill_options(old).options == {**old.options, "speed": "exact"}
    assert model.fill_options(model.fill_options(old)) == model.fill_options(old)
    lost = a_spec(model="nano").as_dict()
    lost["options"] = {"camera": "pan left", "gone": 3}
    spec = model.fill_options(type(old).from_dict(lost))
    assert spec.options == {
        "motion": "fair",
        "aesthetic": "excellent",
        "camera": "pan left",
        "fps": 24,
        "speed": "exact",
    }
