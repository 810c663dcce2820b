"""The data directory, read without the rest of the config so that commands start faster."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_VARIABLES = "RUSHES_BOT"
"""What variables of the section begin with."""

_PLAIN = re.compile(r"[\w./-]+")
"""A value that every reader of the config takes as it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLocation:
    """Where the running process is (its data directory), and the language of its config."""

    data_directory: Path
    language: str


def find_location(path: Path | None, data_directory: Path | None) -> ProcessLocation | None:
    """Return the location if the config states it plainly; None if all of it must be read.

    Whether the rest of the config is right is judged by the process that serves.

    Args:
        path: The file; None is `config.toml` here, if there is one.
        data_directory: What the command line says, which wins.
    """
    if any(name.upper().startswith(_VARIABLES) for name in os.environ):
        return None
    file = path or Path("config.toml")
    section: object = {}
    if path is not None or file.exists():
        try:
            section = tomllib.loads(file.read_text(encoding="utf-8")).get("bot", {})
        except (OSError, ValueError):
            return None
    if not isinstance(section, dict):
        return None
    named = section.get("data_dir", "data") if data_directory is None else str(data_directory)
    language = section.get("language", "en")
    if not all(isinstance(value, str) and _PLAIN.fullmatch(value) for value in (named, language)):
        return None
    return ProcessLocation(data_directory=Path(named), language=language)
