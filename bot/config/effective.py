"""The effective configuration as TOML: each value with its origin, secrets masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from bot.config.sections import Config, Section, TablesSection
from inference.workers.environment import is_secret

MASK = "********"

DEFAULT = "default"
"""Origin of a value that nobody set."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LETS_IN = (
    re.compile(r"(://)[^/@\s]+(?=@)"),
    re.compile(r"(://[^\s?#]*/(?:webhooks|services)/)[^\s?#]+"),
    re.compile(r"(://[^\s?#]*\?)[^\s#]+"),
)
"""What lets one in at an address: a password, the path of a webhook, and what is asked for."""


def shown(config: Config) -> Iterator[str]:
    """Yield the effective configuration as lines of config.toml, each value with its origin."""
    for name in Config.model_fields:
        section: Section = getattr(config, name)
        yield f"[{name}]"
        for key in type(section).model_fields:
            origin = config.where(name, key) if key in section.model_fields_set else DEFAULT
            yield _line(key, getattr(section, key), origin)
        if isinstance(section, TablesSection):
            for model in section.model_extra or {}:
                yield f"[{name}.{_key(model)}]"
                for option, value in section.options(model).items():
                    yield _line(option, value, config.where(name, model, option))
        yield ""


def _line(key: str, value: Any, origin: str) -> str:
    if value is None:
        return f"# {_key(key)} is not set"
    return f"{_key(key)} = {toml(_masked(key, value))}  # {origin}"


def _masked(key: str, value: Any) -> Any:
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
            return {name: _masked(key if above else str(name), one) for name, one in value.items()}
        case frozenset() | list() | tuple():
            return type(value)(_masked(key, one) for one in value)
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
