"""Sources of the configuration: config.toml and the environment; every mistake says where it is.

All mistakes are told at once: an operator should not have to start five times to find five typos.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from bot.config.removal import drop_wrong
from bot.config.sections import Config, ModelsSection, PluginsSection
from bot.config.tables import check_tables, without_mistakes
from bot.config.validation_errors import Location, explain, known_keys
from bot.config.values import collection
from commands.parsing.suggestions import ALMOST_SURE, closest
from inference import crash_points
from inference.domain.errors import RushesError, UserError, UserErrors

PREFIX = "RUSHES_"
SEPARATOR = "__"

CUSTOMARY = {
    "DISCORD_TOKEN": ("discord", "token"),
    "SLACK_BOT_TOKEN": ("slack", "bot_token"),
    "SLACK_APP_TOKEN": ("slack", "app_token"),
    "SLACK_SIGNING_SECRET": ("slack", "signing_secret"),
    "OPENAI_API_KEY": ("assistant", "api_key"),
}
"""Variables that other tools use too; they fill keys that nothing else sets."""

_TABLE = re.compile(r"\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*(?P<name>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_NUMBER = re.compile(r"\d+")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")

UNREADABLE = frozenset({"config.unreadable", "config.encoding", "config.syntax"})
"""Codes of a file of which nothing can be used."""

Settings = TypeVar("Settings", bound=BaseSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the values of a config come from."""

    path: Path | None = None
    text: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Sections from the command line."""

    def where(self, location: Location) -> str:
        """Return where to correct a value: `config.toml:12`, a variable, or `--data-dir`."""
        names = [str(part).lower() for part in location]
        if len(names) > 1 and names[1] in self.overrides.get(names[0], {}):
            return f"--{names[1].replace('_', '-')}"
        for name in os.environ:
            if name.upper().startswith(PREFIX):
                key = name[len(PREFIX) :].lower().split(SEPARATOR)
                if names[: len(key)] == key or key[: len(names)] == names:
                    return name
        if line := _line(self.text, [str(part) for part in location]):
            return f"{self.path}:{line}"
        for name, key_of in CUSTOMARY.items():
            if tuple(names[:2]) == key_of and name in os.environ:
                return name
        return str(self.path or "config.toml")


def load_config(path: Path | None, *, overrides: dict[str, Any] | None = None) -> Config:
    """Read the configuration.

    Args:
        path: The file; None reads `config.toml` here, if there is one.
        overrides: Sections from the command line; they win over environment and file.

    Raises:
        UserError: `config.*`, naming the key, where it stands and what it may be; several
            mistakes together are `UserErrors`.
    """
    path, text, tables = _read(path)
    sources = Sources(path=path, text=text, overrides=overrides or {})
    _fill_customary(tables)
    problems: list[RushesError] = list(_mistyped_variables())
    config = None
    try:
        config = _add_sources(Config, tables)(**(overrides or {}))
    except ValidationError as error:
        problems += (wrong for _, wrong in explain(error, sources.where, known_keys))
    except SettingsError as error:
        problems.append(UserError("config.environment", problem=str(error)))
    with contextlib.suppress(ValidationError, SettingsError):  # told above
        checked = _add_sources(_NamesOnly, tables)()
        found = check_tables(checked.models, checked.plugins, sources.where)
        problems += (wrong for _, wrong in found.mistakes)
    if problems or config is None:
        raise UserErrors.of(problems)
    return config.with_locator(sources.where)


def load_usable(path: Path | None, *, overrides: dict[str, Any] | None = None) -> Config:
    """Read a configuration that has mistakes; wrong values get their defaults.

    For examining the machine all the same; nothing may be served with it.

    Args:
        path: As of `load_config`.
        overrides: As of `load_config`.
    """
    text = ""
    tables: dict[str, Any] = {}
    with contextlib.suppress(UserError):  # told with the mistakes
        path, text, tables = _read(path)
    sources = Sources(path=path, text=text, overrides=overrides or {})
    _fill_customary(tables)
    variables: dict[str, Any] = {}
    with contextlib.suppress(SettingsError):  # told with the mistakes
        variables = _with_sections(EnvSettingsSource(Config)())
    usable = _add_sources(Config, tables, variables)
    while True:
        try:
            return without_mistakes(usable(**(overrides or {})).with_locator(sources.where))
        except ValidationError as error:
            wrong = (one["loc"] for one in error.errors(include_url=False))
            # One at a time: several may be about one value, and the next of the file is right.
            if not any(drop_wrong(variables, tables, location) for location in wrong):
                break
    return _add_sources(Config, {}, {})(**(overrides or {}))


def _fill_customary(tables: dict[str, Any]) -> None:
    """Fill unset keys from environment variables that other tools use too."""
    for variable, (section, key) in CUSTOMARY.items():
        table = tables.setdefault(section, {})
        if isinstance(table, dict) and (value := os.environ.get(variable)):
            table.setdefault(key, value)


class _NamesOnly(BaseSettings):
    """The parts whose names are checked even where other sections are wrong."""

    model_config = Config.model_config | SettingsConfigDict(extra="ignore")

    models: ModelsSection = ModelsSection()
    plugins: PluginsSection = PluginsSection()


def _add_sources(
    kind: type[Settings], tables: dict[str, Any], variables: dict[str, Any] | None = None
) -> type[Settings]:
    """Return the settings with these tables, of a file, below the environment.

    Args:
        kind: Of the settings.
        tables: Of the file.
        variables: What counts of the environment; None reads all of it.
    """

    class Sourced(kind):  # type: ignore[misc, valid-type]  # a class made for these tables
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's hook
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            found = _with_sections(env_settings()) if variables is None else variables
            environment = InitSettingsSource(settings_cls, found)
            return (init_settings, environment, InitSettingsSource(settings_cls, tables))

    return Sourced


def _with_sections(found: dict[str, Any]) -> dict[str, Any]:
    """Read whole sections that the environment holds as JSON, to be merged key by key."""
    return {name: _section(value) for name, value in found.items()}


def _section(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):  # told when the config is read
            return collection(value, dict)
    return value


def _read(path: Path | None) -> tuple[Path | None, str, dict[str, Any]]:
    if path is None:
        path = Path("config.toml")
        if not path.exists():
            return None, "", {}
    try:
        # Editors on Windows put a mark in front, which TOML does not know.
        text = path.read_text(encoding="utf-8-sig")
        return path, text, tomllib.loads(text)
    except OSError as error:
        problem = error.strerror or "unreadable"
        raise UserError("config.unreadable", path=str(path), problem=problem) from error
    except UnicodeDecodeError as error:
        raise UserError("config.encoding", path=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error


def _syntax_error(path: Path, text: str, told: str) -> UserError:
    """Return the error for invalid TOML, with the line that is only in the library's message."""
    problem, _, place = told.partition(" (at ")
    number = _NUMBER.search(place)
    line = number[0] if number else max(len(text.splitlines()), 1)
    return UserError("config.syntax", where=f"{path}:{line}", problem=problem)


def _line(text: str, location: list[str]) -> int | None:
    """Return the line that holds the value at `location`, or the nearest thing around it.

    The TOML library does not tell lines, and a message only needs the place to look at: a key
    inside a string of several lines may be taken for one.
    """
    best, best_line, table = 0, None, []
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _TABLE.match(line):
            table = _parts(found["name"])
            here = table
        elif found := _KEY.match(line):
            here = [*table, *_parts(found["name"])]
        else:
            continue
        if len(here) > best and location[: len(here)] == here:
            best, best_line = len(here), number
    return best_line


def _parts(name: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(name)]


def _mistyped_variables() -> Iterator[UserError]:
    """Yield the variables that look like ours and set nothing.

    Those with a section that exists are read, and their keys checked, with the config.
    """
    known = [
        f"{PREFIX}{section}{SEPARATOR}{key}".upper()
        for section in Config.model_fields
        for key in known_keys((section,))
    ]
    sections = {f"{PREFIX}{section}".upper() for section in Config.model_fields}
    for name in sorted(os.environ):
        typed = name.upper()
        if not typed.startswith(PREFIX) or typed in crash_points.VARIABLES:
            continue
        if typed in sections or typed.partition(SEPARATOR)[0] in sections:
            continue
        # Another program's variable may begin like ours: without a section it needs a likeness.
        guess = closest(typed, known, at_least=ALMOST_SURE)
        if guess is None and SEPARATOR in typed:
            bare = {name.removeprefix(PREFIX): name for name in known}
            guess = bare.get(closest(typed.removeprefix(PREFIX), bare) or "")
            if guess is None:
                yield UserError("config.no_section", name=name, known=sorted(Config.model_fields))
        if guess is not None:
            yield UserError("config.unknown_variable", name=name, suggestion=guess)
