"""Removal of wrong values from the tables of a config, so that the rest can be used."""

from __future__ import annotations

from typing import Any

from bot.config.sections import Config
from bot.config.validation_errors import Location


def drop_wrong(variables: dict[str, Any], tables: dict[str, Any], location: Location) -> bool:
    """Delete a wrong value where it was set; a file's value that a variable overrode counts again.

    Args:
        variables: Tables of the environment.
        tables: Those of the file, below them.
        location: Of the value.

    Returns:
        Whether there was anything to delete.
    """
    if _sets(variables, location):
        return _drop(variables, location)
    return _drop(tables, location) or _drop(variables, location)


def _sets(tables: dict[str, Any], location: Location) -> bool:
    """Return whether the value at a location comes from these tables, alone or within another."""
    inside: Any = tables
    for part in location:
        if not isinstance(inside, dict):
            break
        if part not in inside:
            return False
        inside = inside[part]
    return True


def _drop(tables: dict[str, Any], location: Location) -> bool:
    """Delete a value, or the innermost table on the way to it; return whether there was one."""
    table, name = tables, None
    for part in location:
        below = table if name is None else table[name]
        if not isinstance(below, dict) or part not in below:
            break
        table, name = below, str(part)
    if name is None:
        return False
    if table is tables and name in Config.model_fields and isinstance(table[name], dict):
        return False  # nothing of the section is wrong here: the value came from elsewhere
    del table[name]
    return True
