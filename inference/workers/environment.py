"""Environment of child processes: variables without secrets, no telemetry, and the import path.

A child never imports from the working folder, where others may have put a `numpy.py`.
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
"""Matches URLs with a password, and tokens in the formats of known services."""

_HIJACKING = frozenset({"LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"})
"""Variables that load foreign code into every process."""

_MINIMAL = frozenset(
    {"LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"}
)
_MINIMAL_PREFIXES = ("LC_",)
_SEARCH_PATHS = frozenset({"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"})

_NO_REPORTS = {"ORT_DISABLE_TELEMETRY": "1"}
"""Variables that switch telemetry off. From 1.29, onnxruntime reports loaded models to Microsoft,
and stores reports while it is offline. The classifier uses it, and diffusers imports it if
installed.
"""

CODE = Path(__file__).resolve().parents[2]
"""Folder from which `inference` is imported."""

_START = (
    "import json, runpy, sys;"
    " sys.path[:] = json.loads(sys.argv.pop(2));"
    " runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
"""Program that runs a module as `-m` does, in an isolated interpreter with given import folders."""


def command(module: str, *, plugins: bool = False) -> list[str]:
    """Return the command line for a module, isolated from the working folder.

    Args:
        module: The module.
        plugins: Whether it may import from `PYTHONPATH`.
    """
    path = json.dumps(import_path(plugins=plugins))
    return [sys.executable, "-I", "-c", _START, module, path]


def minimal(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child that opens untrusted files."""
    kept = {
        name: _clean_search_path(name, value)
        for name, value in environment.items()
        if name in _MINIMAL or name.startswith(_MINIMAL_PREFIXES)
    }
    return kept | _NO_REPORTS


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child that runs models, without secrets and Python's variables.

    Engines and drivers have too many settings for a list of allowed names. Python's variables have
    no effect in the child's isolated interpreter.
    """
    kept = {
        name: _clean_search_path(name, value)
        for name, value in environment.items()
        if not (is_secret(name, value) or name in _HIJACKING or name.startswith("PYTHON"))
    }
    return kept | _NO_REPORTS


def import_path(*, plugins: bool) -> list[str]:
    """Return the folders that a child may import from: this process's, without the working folder.

    Args:
        plugins: Whether to include `PYTHONPATH`, where operators may have engines.
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


def _clean_search_path(name: str, value: str) -> str:
    """Return a search path without empty and relative entries, which mean the working folder."""
    if name not in _SEARCH_PATHS:
        return value
    return os.pathsep.join(_absolute(value.split(os.pathsep)))


def _absolute(entries: Iterable[str]) -> list[str]:
    return [entry for entry in entries if os.path.isabs(entry)]  # noqa: PTH117 - texts
