"""Report on plugins: what is loaded, from which distribution, and what failed and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint

from pydantic import ValidationError

from bot import factories
from bot.config.sections import Config
from bot.plugins.tables import reject_unmigratable
from bot.registry import Registry
from commands.text.messages import text
from inference.domain.errors import UserError
from inference.engines.registry import GROUP as MODELS
from inference.plugins.package import Package
from inference.plugins.registry import Plugins


class PluginState(StrEnum):
    """State of a plugin."""

    LOADED = "loaded"
    FAILED = "failed"
    """All of it or a part."""
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryReport:
    """One entry point."""

    group: str
    name: str
    problem: str | None = None
    """Why it is left out; None where it is in use. It may quote what the plugin says."""
    summary: str | None = None
    """The same without a quotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageReport:
    """One distribution."""

    package: str
    version: str
    state: PluginState
    section: str | None
    """Name of its section of the config, `[plugins.NAME]`."""
    entries: tuple[EntryReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginReport:
    """All plugins."""

    packages: tuple[PackageReport, ...]
    unknown_sections: tuple[str, ...] = ()
    """Sections of the config that belong to no installed plugin."""
    unknown_disabled: tuple[str, ...] = ()
    """Names in `[plugins] disabled` that no installed plugin has."""

    @property
    def failed(self) -> bool:
        """Whether anything is left out."""
        return any(package.state is PluginState.FAILED for package in self.packages)


def report(config: Config) -> PluginReport:
    """Use every plugin as a start would, and report on them."""
    plugins = factories.load_plugins(config)
    reject_unmigratable(plugins, config.bot.data_dir)
    registry = Registry.load(plugins)
    models = factories.models(config, plugins)
    for name in plugins.names(MODELS):
        with suppress(UserError, ValidationError):
            models.entry(name)
    with suppress(UserError, ValidationError):
        registry.commands(factories.describe_installation(config, models).options)
    return report_loaded(plugins)


def report_loaded(plugins: Plugins) -> PluginReport:
    """Return the report on the plugins that are loaded so far."""
    packages = [
        *(_package(package, plugins) for package in plugins.packages),
        *(_package(package, None) for package in plugins.disabled),
    ]
    known = {package.section for package in packages}
    return PluginReport(
        packages=tuple(sorted(packages, key=lambda each: each.package)),
        unknown_sections=tuple(name for name in plugins.tables if name not in known),
        unknown_disabled=plugins.unknown_disabled,
    )


def _package(package: Package, plugins: Plugins | None) -> PackageReport:
    entries = tuple(_entry(package, point, plugins) for point in package.points)
    failed = any(entry.problem for entry in entries)
    state = PluginState.FAILED if failed else PluginState.LOADED
    return PackageReport(
        package=package.name,
        version=package.version,
        state=PluginState.DISABLED if plugins is None else state,
        section=package.section,
        entries=entries,
    )


def _entry(package: Package, point: EntryPoint, plugins: Plugins | None) -> EntryReport:
    place = (package.name, point.group, point.name)
    problem = None if plugins is None else plugins.problem_of(place)
    if problem is None:
        return EntryReport(group=point.group, name=point.name)
    return EntryReport(
        group=point.group, name=point.name, problem=problem.text, summary=problem.summary
    )


def lines(found: PluginReport, locale: str) -> Iterator[str]:
    """Yield the report as people read it."""
    if not found.packages:
        yield text("cli.plugins.none", locale)
    for package in found.packages:
        state = text(f"cli.plugins.{package.state}", locale)
        yield f"{package.package} {package.version}  {state}"
        for entry in package.entries:
            line = f"  {entry.group}: {entry.name}"
            yield line if entry.problem is None else f"{line}  {entry.problem}"
    for name in found.unknown_sections:
        yield text("cli.plugins.unknown_section", locale, name=name)
    for name in found.unknown_disabled:
        yield text("cli.plugins.unknown_disabled", locale, name=name)
