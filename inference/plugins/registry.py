"""Registry of plugins: loads what installed distributions bring, and notes what cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from inference.domain.errors import UserError
from inference.plugins.descriptor import API, Plugin
from inference.plugins.entry_import import load_entry_point
from inference.plugins.package import GROUPS, PLUGINS, Package, Point, find_installed_packages
from inference.plugins.problem import BROKEN, PluginError, Problem

if TYPE_CHECKING:
    from pydantic import BaseModel

Wanted = TypeVar("Wanted")

_log = structlog.get_logger(__name__)

Trial = Callable[[Sequence[Package]], Mapping[Point, Problem]]
"""Imports packages where that can do no harm; returns what is wrong by entry point."""


class _Known(PluginError):
    """The descriptor of a package was refused already."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.summary)
        self.problem = problem


@dataclass(slots=True)
class _Found:
    """Result of the trial imports of all packages."""

    refused: dict[Point, Problem] = field(default_factory=dict)
    """Why, by entry point."""
    descriptors: dict[str, Plugin] = field(default_factory=dict)
    """By package."""


class Plugins:
    """Loads plugins; one that fails is noted and left out.

    Nothing is imported before something is asked for; then every package is tried first.

    Of two packages with one name in a group, the first by name of the package counts; the other
    one is noted.

    Args:
        disabled: Names of distributions, or of their sections, that are not looked at.
        tables: The members of `[plugins.<name>]` by name.
        trial: Imports packages elsewhere first; without, they are trusted.
        left_out: Entry points that another process found wrong already.
    """

    def __init__(
        self,
        *,
        disabled: Collection[str] = (),
        tables: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        trial: Trial = lambda _packages: {},
        left_out: Collection[Point] = (),
    ) -> None:
        self.tables = {name: dict(table) for name, table in tables.items()}
        self._trial = trial
        self._left_out = {tuple(point) for point in left_out}
        self._problems: dict[str, UserError] = {}
        found = find_installed_packages()
        self.disabled = tuple(package for package in found if package.is_named(disabled))
        """Packages that are installed and not used."""
        self.packages = tuple(package for package in found if package not in self.disabled)
        """All others, by name."""
        self.unknown_disabled = tuple(
            name for name in disabled if not any(one.is_named([name]) for one in self.disabled)
        )
        """Names that should not be looked at, and that nothing installed has."""
        self._found: _Found | None = None
        self._objects: dict[tuple[str, str], Any] = {}

    @property
    def problems(self) -> Mapping[str, UserError]:
        """Problems of plugins, by `plugin.GROUP.NAME`."""
        return MappingProxyType(self._problems)

    @property
    def left_out(self) -> list[Point]:
        """The entry points that another process should not import."""
        gone = [
            (package.name, point.group, point.name)
            for package in self.disabled
            for point in package.points
        ]
        return [*gone, *sorted(self._tried.refused)]

    @property
    def descriptors(self) -> Mapping[str, Plugin]:
        """The `Plugin` of each package that has one and can be used."""
        return MappingProxyType(self._tried.descriptors)

    def names(self, group: str) -> tuple[str, ...]:
        """Return the names in a group, also of plugins that cannot be used; imports nothing."""
        return tuple(dict.fromkeys(point.name for _, point in self._points(group)))

    def load(self, group: str) -> Iterator[tuple[str, Any]]:
        """Yield the name and the object of each plugin of a group that can be imported."""
        for name in self.names(group):
            try:
                yield name, self.get(group, name)
            except UserError:
                continue  # it is among the problems

    def get(self, group: str, name: str) -> Any:
        """Return the object of an entry point.

        Raises:
            UserError: `plugin.broken`.
            KeyError: No package has it.
        """
        package, point = self._first(group, name)
        if (package.name, group, name) in self._tried.refused:
            raise self._problems[key_of(group, name)]
        if (group, name) in self._objects:
            return self._objects[group, name]
        try:
            self._objects[group, name] = load_entry_point(point)
        except BROKEN as error:
            raise self.reject(group, name, error) from error
        return self._objects[group, name]

    def problem_of(self, point: Point) -> Problem | None:
        """Return why an entry point is left out, or None."""
        return self._tried.refused.get(point)

    def is_refused(self, group: str, name: str) -> bool:
        """Return whether an entry point was found wrong, now or since it was loaded."""
        return (self._first(group, name)[0].name, group, name) in self._tried.refused

    def package_of(self, group: str, name: str) -> Package:
        """Return the package that counts for a name.

        Raises:
            KeyError: No package has it.
        """
        return self._first(group, name)[0]

    def list_broken(self, group: str) -> Iterator[str]:
        """Yield the names of the plugins of a group that could not be imported."""
        prefix = key_of(group, "")
        yield from (key.removeprefix(prefix) for key in self._problems if key.startswith(prefix))

    def config_of(self, package: Package) -> BaseModel | None:
        """Return the checked section of a package; None where it has none.

        Raises:
            ValidationError: A member of its table is unknown or has a wrong value.
        """
        descriptor = self._tried.descriptors.get(package.name)
        if descriptor is None or descriptor.config is None:
            return None
        return descriptor.config.model_validate(dict(self.tables.get(package.section or "", {})))

    def reject(self, group: str, name: str, error: BaseException) -> UserError:
        """Note that a plugin cannot be used, and return the reason; it is logged once."""
        try:
            package = self._first(group, name)[0].name
        except KeyError:
            package = name
        return self._refuse((package, group, name), Problem.of(error))

    def check(self, group: str, name: str, kind: type[Wanted]) -> Wanted:
        """Return the object of an entry point, which must be of a kind.

        Raises:
            UserError: `plugin.broken`.
            KeyError: No package has it.
        """
        found = self.get(group, name)
        if not isinstance(found, kind):
            value = self._first(group, name)[1].value
            wrong = PluginError(f"{value} is not {_article(kind.__name__)}")
            raise self.reject(group, name, wrong)
        return found

    def reject_package(self, package: Package, error: BaseException) -> None:
        """Note that nothing of a package can be used."""
        problem = error.problem if isinstance(error, _Known) else Problem.of(error)
        for point in package.points:
            self._refuse((package.name, point.group, point.name), problem)
        self._tried.descriptors.pop(package.name, None)

    def _refuse(self, point: Point, problem: Problem, *, second: bool = False) -> UserError:
        package, group, name = point
        key = key_of(group, name) + (f" ({package})" if second else "")
        if key not in self._problems:
            _tell(package, group, name, problem.summary)
        reason = UserError(
            "plugin.broken", package=package, group=group, name=name, problem=problem.summary
        )
        self._problems[key] = reason
        if self._found is not None:
            self._found.refused[point] = problem
        return reason

    def _points(self, group: str) -> Iterator[tuple[Package, EntryPoint]]:
        """Yield the entry points of a group by name, and those of one name by package."""
        found = [
            (package, point)
            for package in self.packages
            for point in package.points
            if point.group == group and (package.name, group, point.name) not in self._left_out
        ]
        yield from sorted(found, key=lambda each: each[1].name)

    def _first(self, group: str, name: str) -> tuple[Package, EntryPoint]:
        for package, point in self._points(group):
            if point.name == name:
                return package, point
        raise KeyError(name)

    @property
    def _tried(self) -> _Found:
        if self._found is None:
            self._found = _Found()
            self._try()
        return self._found

    def _try(self) -> None:
        """Try all packages, and read what each says of itself."""
        for point, problem in self._trial(self.packages).items():
            counts = self._first(point[1], point[2])[0].name == point[0]
            self._refuse(point, problem, second=not counts)
        for group in GROUPS:
            first: dict[str, Package] = {}
            for package, each in self._points(group):
                other = first.setdefault(each.name, package)
                if other is not package:
                    twice = PluginError(f"{other.name} has one of that name too, and counts")
                    point = (package.name, group, each.name)
                    self._refuse(point, Problem.of(twice), second=True)
        for package in self.packages:
            self._describe(package)

    def _describe(self, package: Package) -> None:
        """Read the `Plugin` of a package; without a usable one, nothing of it is used."""
        own = [point for point in package.points if point.group == PLUGINS]
        if not own:
            return
        try:
            descriptor = self._descriptor(package, own)
        except BROKEN as error:
            self.reject_package(package, error)
        else:
            self._tried.descriptors[package.name] = descriptor

    def _descriptor(self, package: Package, own: Sequence[EntryPoint]) -> Plugin:
        """Return the only one of a package, if it was written for this version."""
        if len(own) > 1:
            raise PluginError(f"it has more than one entry point of {PLUGINS}")
        point = own[0]
        if (package.name, PLUGINS, point.name) in self._tried.refused:
            raise _Known(self._tried.refused[package.name, PLUGINS, point.name])
        descriptor = load_entry_point(point)
        if not isinstance(descriptor, Plugin):
            raise PluginError(f"{point.value} is not a Plugin")
        if descriptor.api != API:
            raise PluginError(
                f"it was written for version {descriptor.api} of the plugin interface,"
                f" and this Rushes has version {API}"
            )
        return descriptor


@cache
def _tell(package: str, group: str, name: str, problem: str) -> None:
    """Log what is wrong, once in a process: a start reads its config more than once."""
    _log.error("plugin.broken", group=group, plugin=name, package=package, problem=problem)


def key_of(group: str, name: str) -> str:
    """Return the key of a plugin's problem."""
    return f"plugin.{group}.{name}"


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"
