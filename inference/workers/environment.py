"""Environment of child processes: variables without secrets, no telemetry, and the import path.

A child never imports from the working folder, where anybody may have left a `numpy.py`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SECRET_PREFIXES = ("RUSHES_", "DISCORD_", "SLACK_", "OPENAI_", "AWS_", "AZURE_", "GITHUB_")
_SECRET_WORDS = frozenset(
    {
        "TOKEN",
        "TOKENS",
        "SECRET",
        "SECRETS",
        "KEY",
        "KEYS",
        "APIKEY",
        "PASS",
        "PASSWD",
        "PASSWORD",
        "PWD",
        "CREDENTIAL",
        "CREDENTIALS",
        "AUTH",
        "AUTHORIZATION",
        "COOKIE",
        "DSN",
        "PAT",
        "WEBHOOK",
    }
)
_SECRET_VALUE = re.compile(
    r"://[^/\s]*@|\b(xox[abeps]|xapp|sk|hf|ghp|gho|glpat)[-_][A-Za-z0-9_-]{16,}"
)
"""An address with a password in it, or a token by the form that its service gives it."""

_HIJACKING = frozenset({"LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"})
"""They put code of others into every process."""

_MINIMAL = frozenset(
    {"LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"}
)
_MINIMAL_PREFIXES = ("LC_",)
_SEARCH_PATHS = frozenset({"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"})

_NO_REPORTS = {"ORT_DISABLE_TELEMETRY": "1"}
"""onnxruntime from 1.29 on tells Microsoft which models it loads, and keeps that until it may.

The classifier runs on it, and diffusers imports it where it is installed.
"""

CODE = Path(__file__).resolve().parents[2]
"""The folder that `inference` is imported from."""

_START = (
    "import json, runpy, sys;"
    " sys.path[:] = json.loads(sys.argv.pop(2));"
    " runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
"""Runs a module like `-m` does, in an isolated interpreter that imports from the given folders."""


def command(module: str, *, plugins: bool = False) -> list[str]:
    """Return the command line for a module, isolated from the working folder.

    Args:
        module: The module.
        plugins: Whether it may import what is in `PYTHONPATH`.
    """
    path = json.dumps(import_path(plugins=plugins))
    return [sys.executable, "-I", "-c", _START, module, path]


def minimal(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child that opens untrusted files."""
    kept = {
        name: _searched(name, value)
        for name, value in environment.items()
        if name in _MINIMAL or name.startswith(_MINIMAL_PREFIXES)
    }
    return kept | _NO_REPORTS


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a child that runs models: all but secrets and Python's own.

    Engines and drivers are configured by many names that nobody can list. Python's variables
    are no use to the child, whose interpreter is isolated from them.
    """
    kept = {
        name: _searched(name, value)
        for name, value in environment.items()
        if not (is_secret(name, value) or name in _HIJACKING or name.startswith("PYTHON"))
    }
    return kept | _NO_REPORTS


def import_path(*, plugins: bool) -> list[str]:
    """Return the folders that a child may import from: this process's, without the working folder.

    Args:
        plugins: Whether `PYTHONPATH` counts: who runs the bot may keep engines there.
    """
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    unwanted = {"", os.getcwd(), *(() if plugins else named)}  # noqa: PTH109 - as sys.path has it
    found = [entry for entry in sys.path if os.path.isabs(entry) and entry not in unwanted]  # noqa: PTH117 - texts
    if not any(Path(entry).resolve() == CODE for entry in found):
        found.append(str(CODE))
    return found


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable or key looks like a secret, by its name or its value."""
    upper = name.upper()
    if upper == "PWD":
        return False
    words = set(re.split(r"[^A-Z0-9]+", upper))
    return (
        upper.startswith(_SECRET_PREFIXES)
        or upper.endswith(("KEY", "TOKEN", "SECRET", "PASSWORD"))
        or not words.isdisjoint(_SECRET_WORDS)
        or _SECRET_VALUE.search(value) is not None
    )


def _searched(name: str, value: str) -> str:
    """Return a search path without the working folder, which empty and relative entries mean."""
    if name not in _SEARCH_PATHS:
        return value
    return os.pathsep.join(_absolute(value.split(os.pathsep)))


def _absolute(entries: Iterable[str]) -> list[str]:
    return [entry for entry in entries if os.path.isabs(entry)]  # noqa: PTH117 - texts
