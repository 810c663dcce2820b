"""Values of settings: parsed from text, and restored from the store."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from zoneinfo import ZoneInfo

from commands.directory import without_sign
from commands.installation import Installation
from commands.options import KEY
from commands.parsing import amounts
from commands.parsing.suggestions import closest
from commands.parsing.values import (
    accept,
    accept_advising,
    accept_for,
    fold,
    restore_value,
    shorten,
)
from commands.policy.legality import check_options
from commands.policy.settings import (
    MAXIMUM_NAME,
    MAXIMUM_NAMES,
    UNLIMITED,
    WATERMARK_SUFFIX,
    NameKind,
    Setting,
    SettingSet,
    Stored,
    ValueShape,
)
from commands.refusal import Refusal
from commands.schema import Kind, Option, Value
from inference.domain.errors import UserError


def find_setting(typed: str, known: SettingSet) -> Setting:
    """Return the setting that `typed` names: `aspect`, `ar` and `default.ar` are `default.aspect`.

    Raises:
        UserError: `setting.unknown`.
        Refusal: `setting.mistyped`.
    """
    wanted = typed.strip().casefold()
    by_flag = known.options.by_flag
    parts = [by_flag[part].name if part in by_flag else part for part in wanted.split(".")]
    if parts[0] in {"default", "cap"}:
        wanted = ".".join(parts)
    elif parts[0] in known.defaults and len(parts) == 1:
        wanted = known.defaults[parts[0]].key
    if wanted in known.by_key:
        return known.by_key[wanted]
    short = {name: setting.key for name, setting in known.defaults.items()}
    guess = closest(wanted, known.by_key) or short.get(closest(wanted, short) or "")
    if guess is None:
        raise UserError("setting.unknown", key=shorten(typed))
    raise Refusal("setting.mistyped", {KEY.name: guess}, key=shorten(typed), suggestion=guess)


def read_setting(
    setting: Setting,
    typed: str,
    installation: Installation,
    *,
    model: str | None = None,
    plain_id: Callable[[str], str] = without_sign,
) -> Stored:
    """Return the value of a setting from typed text.

    Args:
        setting: The setting.
        typed: What they typed.
        installation: What is installed here.
        model: The model that was chosen where the setting holds; otherwise the value must be legal
            for one of those installed.
        plain_id: `Directory.plain_id` of the chat in which it was typed.

    Raises:
        UserError: `value.*`, `setting.*`, `model.*`, `option.*`: it is not legal.
    """
    typed = typed.strip()
    match setting.shape:
        case ValueShape.VALUE:
            value = _read_value(setting, typed, installation, model)
            _check_use(setting, value, installation, model)
            return value
        case ValueShape.NAMES:
            return _names(setting, typed, plain_id)
        case ValueShape.AMOUNTS:
            return _amounts(setting, typed, plain_id)
        case ValueShape.ZONE:
            return _zone(typed)


def restore_setting(setting: Setting, stored: Any) -> Stored | None:
    """Return a stored value as it is legal now, or None; the model may be gone.

    Any JSON may have been kept, by another version or another hand.
    """
    try:
        match setting.shape:
            case ValueShape.ZONE:
                return _zone(stored) if isinstance(stored, str) else None
            case ValueShape.VALUE:
                return _restore_value(setting.option, stored)
            case ValueShape.NAMES:
                return _restore_names(setting, stored)
            case ValueShape.AMOUNTS:
                return _restore_amounts(setting, stored)
    except UserError:
        return None


def restore_options(stored: Any, known: SettingSet) -> dict[str, Value]:
    """Return stored options as they are legal now, without those that can be no default."""
    if not isinstance(stored, dict):
        return {}
    meant = {
        name: restore_setting(known.defaults[name], value)
        for name, value in stored.items()
        if name in known.defaults
    }
    return {name: cast("Value", value) for name, value in meant.items() if value is not None}


_WRITTEN = frozenset({Kind.TEXT, Kind.CHOICE, Kind.MODEL, Kind.IMAGE})
"""Kinds of values that are kept as text; all others are not."""


def _restore_value(option: Option, stored: Any) -> Value | None:
    if isinstance(stored, str) is not (option.kind in _WRITTEN):
        return None
    if not isinstance(stored, str | int | float):
        return None
    value = restore_value(option, stored)
    _check_drawable(option, value)
    return value


def _restore_names(setting: Setting, stored: Any) -> list[str] | None:
    if not isinstance(stored, list) or not all(isinstance(name, str) for name in stored):
        return None
    _check_names(setting, stored)
    return stored


def _restore_amounts(setting: Setting, stored: Any) -> dict[str, int | None] | None:
    if not isinstance(stored, dict):
        return None
    _check_names(setting, list(stored), limit=None)  # the operator's own list is long
    found = {
        name: None if amount is None else _restore_value(setting.option, amount)
        for name, amount in stored.items()
    }
    if any(found[name] is None for name, amount in stored.items() if amount is not None):
        return None
    return cast("dict[str, int | None]", found)


def _check_use(
    setting: Setting, value: Value, installation: Installation, model: str | None
) -> None:
    """Check that some render can use a value.

    Raises:
        UserError: `option.*`, `model.*`.
    """
    if setting.needs_assistant and value is True and not installation.assistant:
        raise UserError("option.no_assistant")
    if setting.sets is not None and setting.sets.kind is not Kind.MODEL:
        check_options({setting.sets.name: value}, installation, model=model)


_SWITCH = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
_DRAWABLE = re.compile(r"[ -~ㄱ-ㆎ가-힣]*")
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*){0,2}")
"""Zones in lower case belong to the machine: `localtime`, `posix/`, `right/`."""
_NO_ZONES = frozenset({"Factory"})
"""Entries of the zone database that are not places."""


def _read_value(
    setting: Setting, typed: str, installation: Installation, model: str | None
) -> Value:
    option = setting.option
    if setting.in_gpu_seconds:
        return _gpu_seconds(setting, typed)
    if option.kind is Kind.FLAG:
        return accept(option, _SWITCH.get(fold(typed), typed))
    works = None
    if setting.sets is not None:
        narrowed = installation.find_options(model)
        if setting.sets.name in narrowed.fixed:
            return accept_for(setting.sets, typed, narrowed)
        shown_here = narrowed.shown.get(setting.sets.name, setting.sets)
        works = replace(option, choices=shown_here.choices, range=shown_here.range)
    value = accept_advising(option, typed, works)
    if option.kind is Kind.MODEL:
        return installation.model(str(value)).name
    _check_drawable(option, value)
    return value


def _check_drawable(option: Option, value: Value) -> None:
    if option.name == WATERMARK_SUFFIX.key and not _DRAWABLE.fullmatch(str(value)):
        # A letter that the mark's font lacks would fail every render of the guild.
        raise UserError("setting.not_drawable", value=shorten(str(value)))


def _names(setting: Setting, typed: str, plain_id: Callable[[str], str]) -> list[str]:
    names = list(dict.fromkeys(filter(None, map(plain_id, re.split(r"[,\s]+", typed)))))
    _check_names(setting, names)
    return names


def _amounts(setting: Setting, typed: str, plain_id: Callable[[str], str]) -> dict[str, int | None]:
    given: dict[str, int | None] = {}
    for name, amount in amounts.split_pairs(typed):
        if not name or not amount:
            example = "ann=2h" if setting.naming is NameKind.PEOPLE else "editors=2h"
            value = shorten(name or amount)
            raise UserError("setting.no_pair", key=setting.key, value=value, pair=example)
        given[plain_id(name)] = amount_of(setting, amount)
    _check_names(setting, list(given))
    return given


def amount_of(setting: Setting, typed: str) -> int | None:
    """Parse one amount of GPU time; None is unlimited.

    Raises:
        UserError: `setting.no_amount`, `value.out_of_range`.
    """
    return None if fold(typed) in amounts.NO_LIMIT else _gpu_seconds(setting, typed)


def _gpu_seconds(setting: Setting, typed: str) -> int:
    """Return an amount of GPU time.

    Raises:
        UserError: `setting.no_amount`, `setting.no_limit`, `value.out_of_range`.
    """
    try:
        return int(accept(setting.option, amounts.to_seconds(typed)))
    except UserError as error:
        if error.code == "value.out_of_range":
            raise
        key, several = setting.key, setting.shape is ValueShape.AMOUNTS
        if fold(typed) in amounts.NO_LIMIT:
            command = f"/rushes-admin settings reset {key}"
            raise UserError("setting.no_limit", key=key, command=command) from error
        legal = ["600", "10m", "2h", *([UNLIMITED] if several else [])]
        raise UserError("setting.no_amount", key=key, value=shorten(typed), legal=legal) from error


def _check_names(setting: Setting, names: list[str], *, limit: int | None = MAXIMUM_NAMES) -> None:
    if not names or "" in names:
        raise UserError("value.missing", option=setting.key)
    if limit is not None and len(names) > limit:
        raise UserError("setting.too_many", key=setting.key, limit=limit)
    for name in names:
        if len(name) > MAXIMUM_NAME:
            raise UserError("setting.name_too_long", name=shorten(name), limit=MAXIMUM_NAME)


def _zone(typed: str) -> str:
    if typed in _NO_ZONES or not _ZONE.fullmatch(typed):
        raise UserError("setting.no_zone", value=shorten(typed))
    try:
        return ZoneInfo(typed).key
    except (KeyError, ValueError, OSError) as error:
        raise UserError("setting.no_zone", value=shorten(typed)) from error
