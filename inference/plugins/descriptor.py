"""Descriptor of a plugin: its interface version, config section, texts and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.plugins.problem import PluginError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from inference.store.sqlite.migrate import PackageMigrations

API = 1
"""Version of the plugin interface; it grows with a change that breaks plugins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """Declaration of a plugin: API version, config model, texts and tables.

    Named by an entry point of `rushes.plugins`, at most one for each distribution; the name of the
    entry point is also that of the section `[plugins.NAME]`. Without one, a distribution counts as
    written for version 1.
    """

    api: int
    """The version of the interface that it was written for: `API` at that time."""
    config: type[BaseModel] | None = None
    """Checks the members of `[plugins.NAME]`."""
    catalog: str | None = None
    """The import package that has `locales/<language>/LC_MESSAGES/rushes.po`."""
    tables: PackageMigrations | None = None
    """Migrations of tables whose names begin with `plugin_NAME_`."""

    def __post_init__(self) -> None:
        if not isinstance(self.api, int) or isinstance(self.api, bool):
            raise PluginError(f"its api is {type(self.api).__name__}, no whole number")
        checks = isinstance(self.config, type) and hasattr(self.config, "model_validate")
        if self.config is not None and not checks:
            raise PluginError("its config is no pydantic model")
        if self.catalog is not None and not isinstance(self.catalog, str):
            raise PluginError("its catalog is not the name of an import package")
        if self.tables is not None and not hasattr(self.tables, "steps"):
            raise PluginError("its tables are no PackageMigrations")
