"""Installed distributions with entry points for Rushes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.metadata import (
    Distribution,
    EntryPoint,
    PackageNotFoundError,
    distribution,
    distributions,
)

PLUGINS = "rushes.plugins"
"""Group whose entry points name a `Plugin`."""

GROUPS = (
    PLUGINS,
    "rushes.models",
    "rushes.commands",
    "rushes.effects",
    "rushes.platforms",
    "rushes.moderators",
    "rushes.assistants",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed distribution with entry points for Rushes."""

    name: str
    version: str
    points: tuple[EntryPoint, ...]
    """By group and name."""

    @property
    def section(self) -> str | None:
        """Name of its section `[plugins.NAME]`; None without a `Plugin`."""
        return next((point.name for point in self.points if point.group == PLUGINS), None)

    def is_named(self, names: Collection[str]) -> bool:
        """Return whether one of some names is that of the distribution or of its section."""
        folded = {_fold_name(name) for name in names}
        return _fold_name(self.name) in folded or self.section in folded


Point = tuple[str, str, str]
"""Package, group and name of an entry point."""


def find_installed_packages() -> list[Package]:
    """Return the installed distributions with entry points for Rushes, by name."""
    found: dict[str, Package] = {}
    for one in _candidates():
        points = sorted((point for point in one.entry_points if point.group in GROUPS), key=_order)
        if points:
            name = one.name or points[0].module
            found[name] = Package(name=name, version=one.version or "?", points=tuple(points))
    return sorted(found.values(), key=lambda package: _fold_name(package.name))


def _candidates() -> Iterator[Distribution]:
    """Yield distributions that may have entry points; of two with one name, the first on the path.

    Nothing of the others is parsed: a machine with torch has a hundred, and every command looks.
    """
    for one in distributions():
        if "rushes." in (one.read_text("entry_points.txt") or ""):
            yield _first(one)


def _first(one: Distribution) -> Distribution:
    """Return the first on the path with the name of `one`."""
    try:
        return distribution(one.name) if one.name else one
    except PackageNotFoundError:  # its folder has another name, as an upgrade of pip leaves one
        return one


def _order(point: EntryPoint) -> tuple[int, str]:
    return GROUPS.index(point.group), point.name


def _fold_name(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").casefold()
