"""Bundle for a bug report: a zip of versions, findings, settings, log and counts.

What could hold a secret, a prompt or a name is left out: findings without their sentences, settings
by kind unless they are numbers or choices, and only those fields of the log that are ours.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import sqlite3
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from bot.config.sections import Config
from bot.doctor.findings import Finding
from inference.domain.errors import RushesError, StoreError
from inference.log_setup import LOG_NAMES
from inference.store.maintenance import DATABASE_NAME, open_read_only

LOG_LINES = 2000
"""The last ones."""

PLAIN_FIELDS = frozenset(
    {"attempt", "code", "commands", "count", "error", "exit", "frames", "job", "level", "logger"}
    | {"loop", "new", "old", "operation", "process", "reason", "reference", "route", "schema"}
    | {"seconds", "signal", "status", "timestamp", "trace", "table", "column", "where"}
)
"""Fields of log events whose values are ours. Others may name servers, people or files."""

_NAMED = frozenset({"host", "weights", "memory", "workspace"})
"""Areas whose checks end with the name of a host, a model or a workspace."""

_OF_OTHERS = frozenset({"level", "logger", "timestamp", "where"})
"""Those of lines that libraries and plugins wrote."""

_OURS = frozenset({"bot", "commands", "inference"})
_EVENT = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
"""`area.event`; a plugin may log a sentence, which may quote a prompt."""

_HIDDEN = "…"


def write(target: Path, findings: Sequence[Finding], config: Config) -> None:
    """Write the bundle, readable by its owner only.

    Raises:
        FileExistsError: There is a file already.
        OSError: It cannot be written.
    """
    with target.open("xb") as file:
        target.chmod(0o600)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("versions.json", _json(_versions()))
            bundle.writestr("findings.json", _json([_bare(finding) for finding in findings]))
            bundle.writestr("config.json", _json(_settings(config)))
            bundle.writestr("counts.json", _json(_counts(config.bot.data_dir)))
            bundle.writestr("log.jsonl", "".join(_log(config.bot.data_dir)))


def _versions() -> dict[str, Any]:
    packages = {found.name: found.version for found in distributions()}
    return {
        "python": sys.version,
        "system": [platform.system(), platform.release(), platform.machine()],
        "packages": dict(sorted(packages.items())),
    }


def _bare(finding: Finding) -> dict[str, str]:
    # What is behind these is a name that the operator gave; the values of a sentence may be one.
    area, _, _ = finding.check.partition(".")
    check = area if area in _NAMED else finding.check
    return {"check": check, "level": finding.level, "code": finding.code}


def _settings(config: Config) -> dict[str, dict[str, Any]]:
    """Return each value that was set, as itself only where it cannot name anything."""
    shown: dict[str, dict[str, Any]] = {}
    for name in Config.model_fields:
        section = getattr(config, name)
        given = {key: getattr(section, key) for key in section.model_fields_set}
        shown[name] = {
            key: _harmless(value)
            for key, value in sorted(given.items())
            if key in type(section).model_fields
        }
    return shown


def _harmless(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple | frozenset):
        return f"{len(value)} values"
    return "set"


def _counts(data_directory: Path) -> dict[str, Any]:
    """Return how many rows each table has, and how many jobs each state."""
    path = data_directory / DATABASE_NAME
    try:
        if not path.exists():
            return {}
        with open_read_only(path) as connection:
            return dict(_table_counts(connection))
    except (StoreError, OSError, sqlite3.Error) as error:
        code = error.code if isinstance(error, RushesError) else type(error).__name__
        return {"problem": code}


def _table_counts(connection: sqlite3.Connection) -> Iterator[tuple[str, Any]]:
    [(version,)] = connection.execute("PRAGMA user_version")
    yield "schema", version
    tables = [
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if str(name).isidentifier()
    ]
    for table in tables:
        [(rows,)] = connection.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608 - see above
        yield table, rows
    if "jobs" in tables:
        states = connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
        yield "states", {str(state): count for state, count in states if str(state).isidentifier()}


def _log(data_directory: Path) -> list[str]:
    lines: list[str] = []
    for name in LOG_NAMES:
        with contextlib.suppress(OSError):
            lines += (data_directory / name).read_text("utf-8", errors="replace").splitlines()
    return [json.dumps(_plain(line)) + "\n" for line in lines[-LOG_LINES:]]


def _plain(line: str) -> dict[str, Any]:
    """Return a line of the log with the fields that are ours; others keep their names only."""
    try:
        event = json.loads(line)
    except ValueError:
        return {"event": _HIDDEN}
    if not isinstance(event, dict):
        return {"event": _HIDDEN}
    logger = str(event.get("logger", "")).partition(".")[0]
    plain = set(PLAIN_FIELDS if logger in _OURS else _OF_OTHERS)
    if _EVENT.fullmatch(str(event.get("event"))):
        plain.add("event")
    return {
        str(key): _without_home(value) if key in plain else _hide(value)
        for key, value in event.items()
    }


def _hide(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else _HIDDEN


def _without_home(value: Any) -> Any:
    """Return a value without the folder that often has the operator's name."""
    if not isinstance(value, str):
        return _hide(value)
    with contextlib.suppress(RuntimeError):
        value = value.replace(str(Path.home()), "~")
    return value


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, sort_keys=True) + "\n"
