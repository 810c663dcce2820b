"""The modules of Rushes as syntax trees, parsed once for all tests of a process."""

from __future__ import annotations

import ast
import functools
import gc
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "commands", "inference")

Nodes = tuple[ast.AST, ...]


@functools.cache
def modules() -> tuple[tuple[Path, Nodes], ...]:
    """Return the path of each module, relative to `ROOT`, and all nodes of its tree."""
    gc.disable()  # it would look through half a million nodes again and again
    try:
        return tuple(
            (path.relative_to(ROOT), tuple(ast.walk(ast.parse(path.read_text("utf-8")))))
            for package in PACKAGES
            for path in sorted((ROOT / package).rglob("*.py"))
        )
    finally:
        gc.freeze()
        gc.enable()
