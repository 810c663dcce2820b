"""Validation of decoded values against the annotations of their dataclass."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from inference.store.sqlite.undecodable import UndecodableText

Check = Callable[[Any], bool]

HIGHEST_INTEGER = 2**63 - 1
"""SQLite, and most that comes after it, knows no larger ones."""


@cache
def member_checks(kind: type) -> Mapping[str, Check]:
    """Return, for each member of a dataclass, what tells whether a value fits its annotation."""
    hints = get_type_hints(kind)
    return {member.name: _check_of(hints[member.name]) for member in fields(kind)}


def fits(kind: type, value: Any) -> bool:
    """Return whether a dataclass instance holds what its annotations promise, all the way down."""
    return isinstance(value, kind) and all(
        check(getattr(value, name)) for name, check in member_checks(kind).items()
    )


def _check_of(hint: Any) -> Check:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        checks = [_check_of(each) for each in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin in {tuple, list, frozenset}:
        each = _check_of(arguments[0])
        return lambda value: isinstance(value, origin) and all(map(each, value))
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        key, each = map(_check_of, arguments)
        return lambda value: (
            isinstance(value, Mapping) and all(map(key, value)) and all(map(each, value.values()))
        )
    return _CHECKS.get(hint) or _check_of_class(hint)


def _check_of_class(hint: Any) -> Check:
    if not isinstance(hint, type):
        return _is_plain
    if is_dataclass(hint):
        return lambda value: fits(hint, value)
    return lambda value: isinstance(value, hint)


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or isinstance(value, UndecodableText):
        return False
    if value.isascii():
        return "\0" not in value
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair
        return False
    return "\0" not in value


def _is_integer(value: Any) -> bool:
    return type(value) is int and -HIGHEST_INTEGER <= value <= HIGHEST_INTEGER


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (type(value) is float and math.isfinite(value))


def _is_plain(value: Any) -> bool:
    """Accept any JSON data that can be written again."""
    if isinstance(value, dict):
        return all(map(_is_text, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool) or _is_number(value) or _is_text(value)


_CHECKS: dict[Any, Check] = {
    str: _is_text,
    int: _is_integer,
    float: _is_number,
    bool: lambda value: isinstance(value, bool),
    types.NoneType: lambda value: value is None,
    Any: _is_plain,
}
