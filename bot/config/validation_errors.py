"""Error sentences for pydantic's validation errors of the config, one for each wrong value."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.config.sections import Config, ModelsSection
from commands.parsing.suggestions import closest
from inference.domain.errors import UserError

Location = tuple[int | str, ...]
"""Names of sections and keys down to a value, as pydantic tells them."""

Mistake = tuple[Location, UserError]
"""The value that is wrong, or its table, and what is wrong with it."""

_CHOICE = re.compile(r"'([^']*)'|(\d+)")
_PLAIN_KINDS = ("int_", "float_", "bool_", "enum", "literal_")
"""Types of errors about a single value."""
_KEY_OF_TABLE = "[key]"
"""Where pydantic means the key of a table and not its value."""


def explain(
    error: ValidationError,
    where: Callable[[Location], str],
    known: Callable[[Location], list[str]],
    at: Location = (),
) -> Iterator[Mistake]:
    """Yield pydantic's errors in a table as errors of ours.

    Args:
        error: Of its validation.
        where: Returns what to open to mend a value.
        known: Returns the legal keys of a table.
        at: The table.
    """
    errors = error.errors(include_url=False)
    missing: dict[Location, list[str]] = {}
    unknown = {one["loc"][:-1] for one in errors if one["type"] == "extra_forbidden"}
    told: set[Location] = set()
    for one in errors:
        location = (*at, *(part for part in one["loc"] if part != _KEY_OF_TABLE))
        if location in told:  # the key of a table is wrong, and its value too
            continue
        told.add(location)
        if one["type"] == "extra_forbidden":
            yield location, unknown_key(location, known(location[:-1]), where(location))
        elif one["type"] == "missing":
            # A table with an unknown key is told what is possible: most likely one is mistyped.
            if one["loc"][:-1] not in unknown:
                missing.setdefault(location[:-1], []).append(str(one["loc"][-1]))
        else:
            yield location, _wrong(one["type"], one, location, where(location))
    for location, keys in missing.items():
        params = {
            "where": where(location),
            "key": format_location(location),
            "missing": ", ".join(keys),
        }
        yield location, UserError("config.missing_key", **params)


def known_keys(path: Location) -> list[str]:
    """Return the legal keys of a section, or the sections."""
    model: type[BaseModel] = Config
    for name in path:
        known = model.model_fields.get(str(name))
        if known is None:
            return []
        annotation = known.annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)


def unknown_key(location: Location, known: list[str], where: str) -> UserError:
    """Return the error for a key that does not exist, with the likeliest one or all."""
    if location == ("http", "token"):
        return UserError("config.http_token", where=where)
    guess = closest(str(location[-1]), known)
    possible = [] if guess is None else [guess]
    if guess is None or len(location) == 1:
        possible += _elsewhere(location)
    known = possible or known
    return UserError("config.unknown_key", where=where, key=format_location(location), known=known)


def _elsewhere(location: Location) -> list[str]:
    """Return the settings of other sections with the name of a key, as `[bot] data_dir`."""
    *table, key = location
    others = (section for section in Config.model_fields if [section] != table)
    return [f"[{section}] {key}" for section in others if key in known_keys((section,))]


def _wrong(kind: str, found: Mapping[str, Any], location: Location, where: str) -> UserError:
    """Return the error for a value of the wrong type, or beyond a limit."""
    key, context = format_location(location), found.get("ctx", {})
    if kind == "value_error":
        problem = str(context["error"])
        problem = problem[:1].lower() + problem[1:]
        # One value may stand alone for a list of one; a number would say nothing then.
        if isinstance(location[-1], int) and str(found["input"]) in problem:
            key = format_location(location[:-1])
        return UserError("config.wrong_type", where=where, key=key, problem=problem)
    if found["input"] == "" and kind.startswith(_PLAIN_KINDS):
        return UserError("config.empty", where=where, key=key)
    if kind in {"enum", "literal_error"}:
        words = [text or number for text, number in _CHOICE.findall(str(context["expected"]))]
        return UserError("config.not_choice", where=where, key=key, known=words)
    if isinstance(found["input"], dict) and _is_setting_of_models(location):
        return UserError("config.reserved_name", where=where, name=location[-1])
    return _of_type(kind, where, key) or _beyond(kind, context, where, key)


def _of_type(kind: str, where: str, key: str) -> UserError | None:  # noqa: PLR0911 - one each
    match kind:
        case "string_type" | "path_type":
            return UserError("config.not_text", where=where, key=key)
        case "int_type" | "int_from_float" | "int_parsing" | "int_parsing_size":
            return UserError("config.not_whole", where=where, key=key)
        case "float_type" | "float_parsing" | "finite_number":
            return UserError("config.not_number", where=where, key=key)
        case "bool_type" | "bool_parsing":
            return UserError("config.not_switch", where=where, key=key)
        case "list_type" | "frozen_set_type" | "set_type" | "tuple_type":
            return UserError("config.not_list", where=where, key=key)
        case "dict_type" | "model_type" | "model_attributes_type":
            if key.rpartition(".")[2].isdecimal():
                return UserError("config.not_entry", where=where, key=key)
            return not_table(where, key)
    return None


def not_table(where: str, key: str) -> UserError:
    """Return the error for a single value in the place of a table, in the file or a variable."""
    if where in os.environ:
        return UserError("config.not_table_variable", where=where, key=key)
    return UserError("config.not_table", where=where, key=key)


def _beyond(  # noqa: PLR0911 - one each
    kind: str, context: Mapping[str, Any], where: str, key: str
) -> UserError:
    match kind:
        case "greater_than_equal":
            return UserError("config.too_small", where=where, key=key, limit=_plain(context["ge"]))
        case "greater_than":
            return UserError("config.not_above", where=where, key=key, limit=_plain(context["gt"]))
        case "less_than_equal":
            return UserError("config.too_large", where=where, key=key, limit=_plain(context["le"]))
        case "less_than":
            return UserError("config.not_below", where=where, key=key, limit=_plain(context["lt"]))
        case "too_long":
            count = context["max_length"]
            return UserError("config.too_many", where=where, key=key, count=count)
        case "string_too_long":
            count = context["max_length"]
            return UserError("config.text_too_long", where=where, key=key, count=count)
        case "string_too_short":
            return UserError("config.text_empty", where=where, key=key)
    return UserError("config.unusable", where=where, key=key)


def _plain(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)


def _is_setting_of_models(location: Location) -> bool:
    """Return whether a value is one of `[models]` itself, which a model may be named after."""
    match location:
        case ("models", str(name)):
            return name in ModelsSection.model_fields
    return False


def format_location(location: Location) -> str:
    """Return a location in the config as people write it: `models.wan.path`."""
    return ".".join(str(part) for part in location)
