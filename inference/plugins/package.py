"""Installed distributions with entry points for Rushes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

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
        folded = {_folded(name) for name in names}
        return _folded(self.name) in folded or self.section in folded


Point = tuple[str, str, str]
"""Package, group and name of an entry point."""


def installed_packages() -> list[Package]:
    """Return the installed distributions with entry points for Rushes, by name."""
    points: dict[str, list[EntryPoint]] = {}
    versions: dict[str, str] = {}
    found = entry_points()
    for group in GROUPS:
        for point in found.select(group=group):
            if point.dist is None:
                continue
            name = point.dist.name or point.module
            versions[name] = point.dist.version or "?"
            points.setdefault(name, []).append(point)
    return [
        Package(name=name, version=versions[name], points=tuple(sorted(points[name], key=_order)))
        for name in sorted(points, key=_folded)
    ]


def _order(point: EntryPoint) -> tuple[int, str]:
    return GROUPS.index(point.group), point.name


def _folded(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").casefold()
