"""What Discord refuses in application commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

CHAT, USER, MESSAGE = 1, 2, 3
SUBCOMMAND, GROUP, STRING, INTEGER, NUMBER = 1, 2, 3, 4, 10
MOST = {CHAT: 100, USER: 15, MESSAGE: 15}
GLOBAL_ONLY = ("contexts", "integration_types", "dm_permission")
TEXT_TOTAL = 8000
SAFE_INTEGER = 2**53 - 1

_NAME = re.compile(r"[-_'\w]{1,32}", re.UNICODE)


def check_commands(commands: list[dict[str, Any]], *, in_guild: bool) -> list[str]:
    """Return what is wrong with a whole set of commands."""
    problems = []
    names = [(command.get("type") or CHAT, command.get("name")) for command in commands]
    if len(set(names)) < len(names):
        problems.append("commands: a name twice")
    for kind, most in MOST.items():
        if sum(each == kind for each, _ in names) > most:
            problems.append(f"commands: more than {most} of type {kind}")
    for command in commands:
        problems += [f"{command.get('name')}: {p}" for p in _check(command, in_guild=in_guild)]
    return problems


def _check(command: dict[str, Any], *, in_guild: bool) -> list[str]:
    problems = []
    kind, name = command.get("type") or CHAT, command.get("name") or ""
    if kind == CHAT:
        problems += _check_naming(command)
        problems += _check_options(command.get("options") or [])
    elif not 1 <= len(name) <= 32 or command.get("description") or command.get("options"):
        problems.append("context menu: a name of 1-32 characters, no description, no options")
    if in_guild:
        problems += [f"{name} is for global commands" for name in GLOBAL_ONLY if name in command]
    total = sum(_longest(item, key) for item in _items(command) for key in ("name", "description"))
    total += sum(len(v) for item in _items(command) if isinstance(v := item.get("value"), str))
    if total > TEXT_TOTAL:
        problems.append(f"{total} characters in all, at most {TEXT_TOTAL}")
    return problems


def _check_naming(item: dict[str, Any]) -> list[str]:
    problems = []
    names = [item.get("name") or "", *(item.get("name_localizations") or {}).values()]
    problems += [
        f"name {name!r}" for name in names if not _NAME.fullmatch(name) or name != name.lower()
    ]
    texts = [item.get("description") or "", *(item.get("description_localizations") or {}).values()]
    problems += ["description: 1-100 characters" for text in texts if not 1 <= len(text) <= 100]
    return problems


def _check_options(options: list[dict[str, Any]], depth: int = 0) -> list[str]:
    problems = []
    if len(options) > 25:
        problems.append("at most 25 options")
    names = [option.get("name") for option in options]
    if len(set(names)) < len(names):
        problems.append("an option twice")
    kinds = {option["type"] in {SUBCOMMAND, GROUP} for option in options}
    if len(kinds) > 1:
        problems.append("subcommands and options side by side")
    required = [bool(option.get("required")) for option in options]
    if required != sorted(required, reverse=True):
        problems.append("required options come first")
    for option in options:
        problems += [f"{option.get('name')}: {p}" for p in _check_naming(option)]
        problems += [f"{option.get('name')}: {p}" for p in _check_option(option, depth)]
    return problems


def _check_option(option: dict[str, Any], depth: int) -> list[str]:
    kind = option["type"]
    if kind in {SUBCOMMAND, GROUP}:
        if kind == GROUP and depth:
            return ["a group inside a group"]
        return _check_options(option.get("options") or [], depth + 1)
    problems = _check_choices(option)
    if kind == STRING:
        if not 0 <= option.get("min_length", 0) <= 6000:
            problems.append("min_length: 0-6000")
        if not 1 <= option.get("max_length", 6000) <= 6000:
            problems.append("max_length: 1-6000")
    bounds = [option[name] for name in ("min_value", "max_value") if option.get(name) is not None]
    if any(abs(bound) > SAFE_INTEGER for bound in bounds):
        problems.append("bounds: within 2^53")
    return problems


def _check_choices(option: dict[str, Any]) -> list[str]:
    problems = []
    choices = option.get("choices") or []
    if choices and option.get("autocomplete"):
        problems.append("choices and autocomplete exclude each other")
    if len(choices) > 25:
        problems.append("at most 25 choices")
    for choice in choices:
        if not 1 <= len(choice["name"]) <= 100 or len(str(choice["value"])) > 100:
            problems.append("choice: name 1-100, value at most 100 characters")
        if isinstance(choice["value"], str) is not (option["type"] == STRING):
            problems.append("choice: a value of another type")
    return problems


def _items(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield item
    for name in ("options", "choices"):
        for inner in item.get(name) or []:
            yield from _items(inner)


def _longest(item: dict[str, Any], key: str) -> int:
    texts = [item.get(key) or "", *(item.get(f"{key}_localizations") or {}).values()]
    return max(map(len, texts))
