"""Takes paths of the machine out of what members are told; operators find them in the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_TYPED = frozenset({"image.not_found"})
"""Errors about a path that the person typed, on their own machine."""

_PLACES = frozenset({"path", "source", "file", "files", "folder", "directory", "place"})
"""Values that name a file."""

_WORDS = frozenset({"reason", "problem", "detail", "error"})
"""Values that a system or a library wrote, and that may quote a path."""

_PATH = re.compile(r"(?<![\w/:.~-])~?(?:/[^\s/'\"“”:;,()\[\]<>]+)+/?")


def without_paths(code: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an error's sentence as members may see them: files by name only."""
    if code in _TYPED:
        return dict(params)
    return {name: _hidden(name, value) for name, value in params.items()}


def _hidden(name: str, value: Any) -> Any:
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, (list, tuple)):
        return [_hidden(name, item) for item in value]
    if not isinstance(value, str):
        return value
    if name in _PLACES and value.startswith(("/", "~")):
        return PurePath(value).name
    if name in _WORDS:
        return _PATH.sub(lambda found: PurePath(found[0]).name, value)
    return value
