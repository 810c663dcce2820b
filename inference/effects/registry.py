"""Effect registry: every effect that plugins bring, by name, in the order of application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.domain.errors import UserError
from inference.effects.base import EffectEntry
from inference.plugins.problem import PluginError

if TYPE_CHECKING:
    from inference.plugins.registry import Plugins

GROUP = "rushes.effects"
"""Entry points of plugins; each names an `EffectEntry` of the same name."""


class Effects:
    """The effects of plugins; bot and worker each make one.

    Args:
        plugins: Loads them, and notes which cannot be used.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._entries: dict[str, EffectEntry] | None = None

    def __iter__(self) -> Iterator[EffectEntry]:
        """Yield the usable ones in the order in which they are applied."""
        yield from sorted(self._loaded.values(), key=lambda entry: (entry.order, entry.name))

    def entry(self, name: str) -> EffectEntry | None:
        """Return the effect of a name; None where it is not installed or cannot be used."""
        return self._loaded.get(name)

    def reject(self, name: str, error: BaseException) -> None:
        """Note that an effect cannot be used."""
        self._plugins.reject(GROUP, name, error)
        self._loaded.pop(name, None)

    @property
    def _loaded(self) -> dict[str, EffectEntry]:
        if self._entries is None:
            self._entries = {}
            for name in self._plugins.names(GROUP):
                try:
                    self._entries[name] = self._load(name)
                except UserError:
                    continue  # it is among the problems
        return self._entries

    def _load(self, name: str) -> EffectEntry:
        found = self._plugins.check(GROUP, name, EffectEntry)
        if found.name != name:
            wrong = PluginError(f"the effect is named {found.name}, its entry point {name}")
            raise self._plugins.reject(GROUP, name, wrong)
        package = self._plugins.package_of(GROUP, name)
        try:
            config = self._plugins.config_of(package)
        except ValueError as error:
            raise self._plugins.reject(GROUP, name, error) from error
        return replace(found, package=package.name, version=package.version, config=config)
