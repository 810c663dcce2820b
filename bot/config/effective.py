"""The effective configuration, as TOML or data: each value with its origin, secrets masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import SecretStr

from bot.config.sections import Config, Section, TablesSection
from inference.workers.environment import is_secret

MASK = "********"

DEFAULT = "default"
"""Origin of a value that is not set anywhere."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LETS_IN = (
    re.compile(r"(://)[^/@\s]+(?=@)"),
    re.compile(r"(://[^\s?#]*/(?:webhooks|services)/)[^\s?#]+"),
    re.compile(r"(://[^\s?#]*\?)[^\s#]+"),
)
"""What lets one in at an address: a password, the path of a webhook, and what is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of the effective configuration, with its secrets masked."""

    section: str
    """Of config.toml, such as `queue` or `models.wan`."""
    key: str
    value: Any
    """None where nothing is set."""
    origin: str
    """Where it was set, or `default`."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "section": self.section,
            "key": self.key,
            "value": _plain(self.value),
            "origin": self.origin,
        }


def values(config: Config) -> Iterator[Value]:
    """Yield every value of the effective configuration, section by section."""
    for name in Config.model_fields:
        section: Section = getattr(config, name)
        for key in type(section).model_fields:
            origin = config.where(name, key) if key in section.model_fields_set else DEFAULT
            yield _value(name, key, getattr(section, key), origin)
        if isinstance(section, TablesSection):
            for model in section.model_extra or {}:
                for option, value in section.options(model).items():
                    origin = config.where(name, model, option)
                    yield _value(f"{name}.{_key(model)}", option, value, origin)


def format_config(config: Config) -> Iterator[str]:
    """Yield the effective configuration as lines of config.toml, each value with its origin."""
    for section, found in groupby(values(config), key=lambda value: value.section):
        yield f"[{section}]"
        for one in found:
            if one.value is None:
                yield f"# {_key(one.key)} is not set"
            else:
                yield f"{_key(one.key)} = {toml(one.value)}  # {one.origin}"
        yield ""


def _value(section: str, key: str, value: Any, origin: str) -> Value:
    return Value(section=section, key=key, value=_mask(key, value), origin=origin)


def _plain(value: Any) -> Any:
    """Return a value as JSON data."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case frozenset() | list() | tuple():
            ordered = sorted(value) if isinstance(value, frozenset) else value
            return [_plain(one) for one in ordered]
    return str(value)


def _mask(key: str, value: Any) -> Any:
    """Return a value with everything masked that is secret by its own key, or by how it looks."""
    match value:
        case SecretStr():
            return MASK
        case str():
            for lets_in in _LETS_IN:
                value = lets_in.sub(rf"\1{MASK}", value)
            return MASK if is_secret(key, value.replace(f"{MASK}@", "")) else value
        case Mapping():
            above = is_secret(key, "")
            return {name: _mask(key if above else str(name), one) for name, one in value.items()}
        case frozenset() | list() | tuple():
            return type(value)(_mask(key, one) for one in value)
        case int() | float() if not isinstance(value, bool) and is_secret(key, ""):
            return MASK
    return value


def toml(value: Any) -> str:
    """Return a value as TOML."""
    match value:
        case bool():
            written = "true" if value else "false"
        case int() | float():
            written = repr(value)
        case Mapping():
            pairs = ", ".join(f"{_key(str(key))} = {toml(one)}" for key, one in value.items())
            written = f"{{ {pairs} }}" if value else "{}"
        case frozenset() | list() | tuple():
            ordered = sorted(value) if isinstance(value, frozenset) else value
            written = f"[{', '.join(map(toml, ordered))}]"
        case _:
            written = _text(str(value))
    return written


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    # JSON escapes what TOML does, except one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
