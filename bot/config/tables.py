"""Checks of the tables of models and plugins, which only their engines and packages know.

A table or name with a mistake can be taken out, so that the rest of the config can be used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.config.removal import drop_wrong
from bot.config.sections import Config, ModelsSection, PluginsSection, TablesSection
from bot.config.validation_errors import (
    Location,
    Mistake,
    explain,
    format_location,
    known_keys,
    not_table,
    unknown_key,
)
from bot.plugins.loader import gather
from commands.parsing.suggestions import closest
from inference.domain.errors import UserError
from inference.engines.registry import ENGINE, WEIGHTS_CODES, Models
from inference.plugins.registry import Plugins

Where = Callable[[Location], str]
"""Returns what to open to mend a value."""

_INSTALLED: Location = ("models", "installed")
_DEFAULT: Location = ("models", "default")

_MODEL_NAME = re.compile(r"[\w.-]{1,64}")
_BLAMED = {
    "model.unknown_engine": ENGINE,
    "model.engine_not_text": ENGINE,
    "model.taken": ENGINE,
    "model.unknown_preset": "preset",
    "model.no_few": "few",
}
"""Key of `[models.<name>]` that an error is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTables:
    """Result of `check_tables`: the plugins, and the mistakes in tables."""

    plugins: Plugins
    mistakes: list[Mistake]


def check_tables(models: ModelsSection, plugins: PluginsSection, where: Where) -> CheckedTables:
    """Check the tables of models and plugins, and the names of models.

    Args:
        models: With names and tables of models.
        plugins: With tables of plugins.
        where: Returns what to open to mend a value.
    """
    found, mistakes = _check_plugins(plugins, where)
    mistakes += _check_models(models, where, found)
    return CheckedTables(plugins=found, mistakes=mistakes)


def without_mistakes(config: Config, checked: CheckedTables | None = None) -> Config:
    """Return a config without the values of these tables that are wrong; the others count.

    Args:
        config: As it was read.
        checked: What was found wrong with it; None looks.
    """
    while True:
        checked = checked or check_tables(config.models, config.plugins, format_location)
        if not checked.mistakes:
            return config
        sections = {one.SECTION: _read_values(one) for one in (config.models, config.plugins)}
        for location, _ in checked.mistakes:
            if location != _INSTALLED:  # one name is wrong, and not the list
                drop_wrong({}, sections, location)
        update = {
            "models": ModelsSection(**_with_known_names(sections["models"], checked.plugins)),
            "plugins": PluginsSection(**sections["plugins"]),
        }
        if update == {"models": config.models, "plugins": config.plugins}:
            return config
        config, checked = config.model_copy(update=update), None


def _read_values(section: TablesSection) -> dict[str, Any]:
    """Return the values set in a section, without those that should be tables and are not."""
    written = {key: getattr(section, key) for key in section.model_fields_set}
    for name in section.model_extra or {}:
        try:
            written[name] = deepcopy(section.options(name))
        except UserError:
            del written[name]
    return written


def _with_known_names(written: dict[str, Any], plugins: Plugins) -> dict[str, Any]:
    """Return `[models]` without names of unknown models."""
    tables = {key: each for key, each in written.items() if key not in ModelsSection.model_fields}
    names = Models(tables, plugins=plugins).names()
    kept = {key: each for key, each in written.items() if key not in {"installed", "default"}}
    first: dict[str, str] = {}
    for name in written.get("installed", ()):
        if name in names:
            first.setdefault(name.casefold(), name)
    if first:
        kept["installed"] = list(first.values())
    if written.get("default") in ModelsSection(**kept).installed:
        kept["default"] = written["default"]
    return kept


def _check_plugins(section: PluginsSection, where: Where) -> tuple[Plugins, list[Mistake]]:
    """Return the plugins, and what is wrong with their tables.

    A table of a plugin that is not installed stops nothing: it is told by `rushes plugins`.
    """
    tables: dict[str, dict[str, Any]] = {}
    mistakes: list[Mistake] = []
    for name in section.model_extra or {}:
        location = ("plugins", name)
        try:
            tables[name] = section.options(name)
        except UserError:
            mistakes.append((location, not_table(where(location), f"plugins.{name}")))
    plugins = gather(section.disabled, tables)
    for package in plugins.packages:
        descriptor = plugins.descriptors.get(package.name)
        if descriptor is None or descriptor.config is None:
            continue
        try:
            plugins.config_of(package)
        except ValidationError as error:
            known = partial(_fields, descriptor.config)
            mistakes += explain(error, where, known, ("plugins", str(package.section)))
    return plugins, mistakes


def _fields(model: type[BaseModel], _path: Location) -> list[str]:
    return sorted(model.model_fields)


def _check_models(models: ModelsSection, where: Where, plugins: Plugins) -> Iterator[Mistake]:
    """Yield the mistakes in the names of models and in their tables, one for each name."""
    mistakes: dict[str, list[Mistake]] = {}
    tables = {}
    for key in models.model_extra or {}:
        try:
            tables[key] = models.options(key)
        except UserError:
            location = ("models", key)
            known = Models(plugins=plugins).names()
            wrong = unknown_key(location, [*known_keys(("models",)), *known], where(location))
            if key in known:
                wrong = not_table(where(location), f"models.{key}")
            mistakes[key] = [(location, wrong)]
    made = Models(tables, plugins=plugins)
    for key in tables:
        mistakes[key] = list(_check_table(made, key, where))
    for each in mistakes.values():
        yield from each
    told = {name for name, each in mistakes.items() if each}
    names = made.names()
    for name in dict.fromkeys(models.installed):
        if name not in names and name not in told:
            params = {"where": where(_INSTALLED), "name": name, "known": list(names)}
            yield _INSTALLED, UserError("config.unknown_model", **params)
    yield from _find_repeated([name for name in models.installed if name in names], where)
    default = models.default
    if default is not None and default not in {*models.installed, *told}:
        params = {"where": where(_DEFAULT), "name": default, "known": models.installed}
        yield _DEFAULT, UserError("config.default_model", **params)


def _find_repeated(installed: list[str], where: Where) -> Iterator[Mistake]:
    """Yield the names of models that are there more than once; of each name once."""
    spelt: dict[str, list[str]] = {}
    for name in installed:
        spelt.setdefault(name.casefold(), []).append(name)
    for names in spelt.values():
        first, *others = dict.fromkeys(names)
        if others:
            problem = f"the names {first} and {others[0]} differ only in upper and lower case"
        elif len(names) > 1:
            problem = f"the name {first} is there twice"
        else:
            continue
        params = {
            "where": where(_INSTALLED),
            "key": format_location(_INSTALLED),
            "problem": problem,
        }
        yield _INSTALLED, UserError("config.wrong_type", **params)


def _check_table(models: Models, name: str, where: Where) -> Iterator[Mistake]:
    """Yield the mistakes in `[models.<name>]`; broken plugins are reported elsewhere."""
    location: Location = ("models", name)
    if not _MODEL_NAME.fullmatch(name):
        yield location, UserError("config.model_name", where=where(location), name=name)
        return
    try:
        models.entry(name)
    except ValidationError as error:

        def known(path: Location) -> list[str]:
            return models.table_keys(name, *map(str, path[len(location) :]))

        yield from explain(error, where, known, location)
    except UserError as error:
        if error.code.startswith(WEIGHTS_CODES):
            return  # that model's problem: the others go on
        if error.code == "model.not_known":
            yield location, _without_engine(name, models, where(location))
        elif error.code != "plugin.broken":
            blamed = _BLAMED.get(error.code)
            if error.code in {"model.no_revision", "model.bad_revision"}:
                blamed = str(error.params["key"])
            at = location if blamed is None else (*location, blamed)
            params = {"where": where(at), "key": format_location(at), "problem": error}
            yield at, UserError("config.model", **params)


def _without_engine(name: str, models: Models, where: str) -> UserError:
    """Return the error for a table of an unknown model that names no engine."""
    known = [*known_keys(("models",)), *models.names()]
    if closest(name, known) is not None:
        return unknown_key(("models", name), known, where)
    return UserError("config.no_engine", where=where, name=name, known=models.engines())
