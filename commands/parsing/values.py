"""Validation of an option's value: text as typed, or a typed value of a platform."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from commands.parsing.suggestions import closest
from commands.refusal import Refusal
from commands.schema import Kind, Option, Value
from inference.domain.errors import UserError
from inference.domain.untrusted_text import clean, clean_words, cut, is_blank

if TYPE_CHECKING:
    from commands.option_set import OptionSet

ON, OFF = "on", "off"
"""The spellings of a switch as a value."""

MAX_SHOWN = 60
"""Characters of a wrong value that an error sentence repeats."""

_JOINT = re.compile(r"(?<=\w)(?:\s+|[_-])(?=\w)")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")

_MOST_DIGITS = 20
"""The limit of a whole number that is parsed; a longer one is out of any range."""


def fold(word: str) -> str:
    """Return the canonical spelling of a choice: of `Pan-Left`, `pan left` and `panleft` alike."""
    return _JOINT.sub("", word.strip()).casefold()


def accept(option: Option, raw: Value) -> Value:
    """Return the legal value of `raw`.

    Args:
        option: What is being set.
        raw: Text as typed, or a value that the platform already typed.

    Raises:
        UserError: `value.*`, with the legal values and, where there is one, the likeliest of them.
    """
    match option.kind:
        case Kind.CHOICE:
            return _choice(option, raw)
        case Kind.INTEGER:
            return _integer(option, raw)
        case Kind.NUMBER:
            return _number(option, raw)
        case Kind.FLAG:
            return _switch(option, raw)
        case Kind.TEXT | Kind.IMAGE | Kind.MODEL:
            return _text(option, raw)


def accept_advising(option: Option, raw: Value, advised: Option | None) -> Value:
    """Accept a value as `accept` does; errors list the fewer values of `advised`.

    Raises:
        UserError: `value.*`.
    """
    try:
        return accept(option, raw)
    except UserError:
        if advised is not None:
            accept(advised, raw)
        raise


def accept_for(option: Option, raw: Value, works: OptionSet | None) -> Value:
    """Accept a value as `accept_advising` does, with the options of a model.

    Raises:
        UserError: `value.*`, `model.fixed`.
    """
    try:
        return accept_advising(option, raw, None if works is None else works.shown.get(option.name))
    except UserError as error:
        if works is None or option.name not in works.fixed or error.code != "value.out_of_range":
            raise
        about = {"model": works.title, "fixed": tidy(float(works.fixed[option.name]))}
        named = {"option": label(option), "value": error.params["value"]}
        raise UserError("model.fixed", **about, **named) from error


def accept_offering(option: Option, raw: Value, works: OptionSet | None = None) -> Value:
    """Accept a value as `accept_for` does; the error offers a button with the likeliest value.

    Raises:
        Refusal: `value.mistyped`.
        UserError: `value.*`, `model.fixed`.
    """
    try:
        return accept_for(option, raw, works)
    except UserError as error:
        if error.code != "value.mistyped":
            raise
        offer = {option.name: error.params["suggestion"]}
        raise Refusal(error.code, offer, **error.params) from error


def restore_value(option: Option, stored: Value) -> Value:
    """Return a stored value as it is legal now; a number out of range becomes the nearest.

    Raises:
        UserError: `value.*`: it is no longer legal, such as a choice that was removed.
    """
    limits = option.range
    if limits is not None and isinstance(stored, int | float) and not isinstance(stored, bool):
        if math.isnan(stored):
            stored = limits.lowest
        stored = type(stored)(min(max(stored, limits.lowest), limits.highest))
    return accept(option, stored)


def label(option: Option) -> str:
    """Return the name of an option as people type it."""
    return f"--{option.flag}" if option.flag else option.name


def shorten(text: str) -> str:
    """Shorten typed text to a length that an error sentence can repeat."""
    return cut(text, MAX_SHOWN)


def tidy(number: float) -> float:
    """Return a number as people write it: a whole one without a fraction."""
    return int(number) if float(number).is_integer() else number


def not_a_choice(option: Option, typed: str, guess: str | None) -> UserError:
    """Return the error for a value outside `option.choices`."""
    legal = [str(choice) for choice in option.choices]
    if guess is None:
        return UserError(
            "value.not_a_choice", option=label(option), value=shorten(typed), legal=legal
        )
    return UserError(
        "value.mistyped", option=label(option), value=shorten(typed), suggestion=guess, legal=legal
    )


def _choice(option: Option, raw: Value) -> str:
    typed = _to_text(raw)
    wanted = fold(typed)
    legal = [str(choice) for choice in option.choices]
    for choice in legal:
        if fold(choice) == wanted:
            return choice
    raise not_a_choice(option, typed, closest(typed, legal))


def _to_text(raw: Value) -> str:
    """Return a value as programs and people write it."""
    return str(raw).lower() if isinstance(raw, bool) else str(raw).strip()


def _integer(option: Option, raw: Value) -> int:
    text = _to_text(raw)
    _check_size(option, raw, text, "value.not_whole")
    if isinstance(raw, float) and raw.is_integer():  # JSON knows one kind of number
        text = str(int(raw))
    if isinstance(raw, bool) or not _INTEGER.fullmatch(text):
        raise UserError("value.not_whole", option=label(option), value=shorten(text))
    value = int(text)
    if option.choices and value not in option.choices:
        numbers = [choice for choice in option.choices if isinstance(choice, int)]
        nearest = min(numbers, key=lambda choice: (abs(choice - value), -choice))
        raise not_a_choice(option, text, str(nearest))
    _check_range(option, value)
    return value


def _number(option: Option, raw: Value) -> float:
    text = _to_text(raw)
    _check_size(option, raw, text, "value.not_a_number")
    if isinstance(raw, float) and math.isfinite(raw):
        value = raw
    elif not isinstance(raw, bool) and _NUMBER.fullmatch(text):
        value = float(text)
    else:
        raise UserError("value.not_a_number", option=label(option), value=shorten(text))
    _check_range(option, value)
    return value


def _check_size(option: Option, raw: Value, text: str, code: str) -> None:
    """Refuse a number with more digits than are read.

    Raises:
        UserError: `value.out_of_range`; `code` where the option has no range.
    """
    if isinstance(raw, float):
        huge = abs(raw) >= 10.0**_MOST_DIGITS
    else:
        huge = bool(_NUMBER.fullmatch(text)) and len(text.partition(".")[0]) > _MOST_DIGITS
    if huge and option.range is None:
        raise UserError(code, option=label(option), value=shorten(text))
    if huge:
        raise _out_of_range(option, text)


def _check_range(option: Option, value: float) -> None:
    limits = option.range
    if limits is not None and not limits.lowest <= value <= limits.highest:
        raise _out_of_range(option, str(tidy(value)))


def _out_of_range(option: Option, given: str) -> UserError:
    assert option.range is not None  # noqa: S101 - something is out of it
    return UserError(
        "value.out_of_range",
        option=label(option),
        value=shorten(given),
        lowest=tidy(option.range.lowest),
        highest=tidy(option.range.highest),
    )


def _switch(option: Option, raw: Value) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().casefold()
    if word in {ON, OFF}:  # where a switch of one model is a text of another
        return word == ON
    raise UserError("value.not_a_switch", option=label(option), value=shorten(str(raw)))


def _text(option: Option, raw: Value) -> str:
    text = str(raw)
    if option.kind is not Kind.IMAGE:  # a path may have any name
        text = " ".join(clean_words(text).split()) if option.read_by_model else clean(text)
    text = text.strip()
    if is_blank(text):
        raise UserError("value.missing", option=label(option))
    if option.max_length is not None and len(text) > option.max_length:
        raise UserError(
            "value.too_long", option=label(option), limit=option.max_length, length=len(text)
        )
    return text
