"""Model registry: all available models by name.

Models are built in, come from plugins, or are configured:

    [models.quick]          # a model named "quick", if `[models] installed` lists it
    engine = "testcard"     # the model that it is based on, and whose keys follow
    steps = 4

A plugin names a `ModelEntry` in the entry-point group `rushes.models`, in a module that imports
without torch:

    [project.entry-points."rushes.models"]
    mymodel = "my_package.rushes:ENTRY"

Importing this module imports no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from inference.domain.capabilities import Capabilities
from inference.domain.errors import EngineError, UserError
from inference.engines import built_in
from inference.engines.entry import ModelEntry, ModelOptions
from inference.engines.options import ModelTable
from inference.plugins.problem import PluginError
from inference.plugins.registry import Plugins

if TYPE_CHECKING:
    from pathlib import Path

    from inference.engines.base import Engine
    from inference.engines.weights import Checkpoint

__all__ = ["ENGINE", "GROUP", "ModelEntry", "ModelOptions", "Models"]

GROUP = "rushes.models"
"""Entry-point group of plugins."""

ENGINE = "engine"
"""Key of `[models.<name>]` with the name of the model that the entry is based on."""

WEIGHTS_CODES = ("folder.", "gguf.", "lora.", "checkpoint.")
"""Prefixes of error codes about weights."""

_log = structlog.get_logger(__name__)


class Models:
    """Registry of built-in models, models of plugins and configured models.

    Bot and worker each create one from the same tables. Plugins are imported on first use; those
    that fail are recorded in `plugins`.

    Args:
        tables: Tables `[models.<name>]` by name.
        directory: Directory of downloaded weights.
        plugins: Registry in which plugins that cannot be used are recorded.
    """

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        *,
        directory: Path | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        self.tables = {name: dict(table) for name, table in tables.items()}
        self.directory = directory
        self.plugins = plugins or Plugins()
        self._named = self.plugins.names(GROUP)
        self._entries: dict[str, ModelEntry] = {}
        self.problems: dict[str, UserError] = {}
        """Errors of configured folders, by model."""

    def names(self) -> tuple[str, ...]:
        """Return all known models: built-in, configured, and from plugins."""
        ours = [name for name, table in self.tables.items() if ENGINE in table]
        return tuple(dict.fromkeys([*built_in.ENTRIES, *ours, *self._named]))

    def engines(self) -> list[str]:
        """Return the allowed values of the config key `engine`."""
        return [*built_in.ENGINES, *self._named]

    def entry(self, name: str) -> ModelEntry:
        """Return a model's entry, with its table applied.

        Raises:
            UserError: `model.not_known`, `model.unknown_engine`, `model.engine_not_text`,
                `model.taken` or `plugin.broken`.
            ValidationError: A key of its table is unknown or has a wrong value.
        """
        if name not in self._entries:
            self._entries[name] = self._configured(name)
        return self._entries[name]

    def capabilities(self, name: str) -> Capabilities:
        """Return the capabilities of a model; see `entry`."""
        return self.entry(name).capabilities

    def checkpoints(self, name: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that a model needs; see `entry`."""
        return self.entry(name).checkpoints

    def usable(self, names: Iterable[str]) -> list[ModelEntry]:
        """Return the entries of models; broken plugins and folders are recorded and left out."""
        found = []
        for name in names:
            try:
                found.append(self.entry(name))
            except UserError as error:
                if error.code.startswith(WEIGHTS_CODES):
                    self._note(name, error)
                elif error.code != "plugin.broken":  # recorded in `plugins` already
                    raise
        return found

    def stand_in(self, name: str) -> ModelEntry:
        """Return a placeholder entry for a model with a broken folder, without its own table.

        The model can be chosen, and a request for it is refused with its problem.

        Raises:
            UserError: See `entry`.
        """
        base = self._base(name).with_name(name)
        return replace(base, capabilities=replace(base.capabilities, title=name), checkpoints=())

    def problem(self, name: str) -> UserError | None:
        """Return the current error of a model that was broken at the start, or None for others.

        A model that was repaired since needs a restart, because its capabilities are part of every
        command and form.
        """
        if name not in self.problems:
            return None
        try:
            self._configured(name)
        except UserError as error:
            self.problems[name] = error
            return error
        return UserError("model.restart", model=name)

    def _note(self, name: str, error: UserError) -> None:
        if name not in self.problems:
            _log.error("model.broken", model=name, error=error.code)
        self.problems[name] = error

    def create(self, name: str) -> Engine:
        """Create a model's engine, without loading its weights.

        Raises:
            UserError: `model.not_known`.
            EngineError: `model.bad_option`, or the engine's own reason.
        """
        try:
            entry = self.entry(name)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            option = ".".join(str(part) for part in first["loc"])
            raise EngineError("model.bad_option", option=option, value=first["input"]) from error
        return entry.factory(
            ModelOptions(
                capabilities=entry.capabilities, directory=self.directory, values=entry.values
            )
        )

    def table_keys(self, name: str, *within: str) -> list[str]:
        """Return the legal keys of `[models.<name>]` or of a table in it, as far as known."""
        table = self._base(name).options
        if table is None:
            return [ENGINE]
        if within and issubclass(table, ModelTable):
            inner = table.TABLES.get(within[0])
            return [] if inner is None else sorted(inner.model_fields)
        return [ENGINE, *sorted(table.model_fields)]

    def _configured(self, name: str) -> ModelEntry:
        base = self._base(name).with_name(name)
        members = {key: value for key, value in self.tables.get(name, {}).items() if key != ENGINE}
        if base.options is None:
            return replace(base, values=members)
        table = base.options.model_validate(members)
        entry = base if base.configure is None else base.configure(base, table)
        if isinstance(table, ModelTable):
            members |= table.model_dump(include=set(table.FILES), exclude_unset=True)
        return replace(entry, values=members)

    def _base(self, name: str) -> ModelEntry:
        """Return the entry that a model is based on; built-in names take precedence."""
        named = ENGINE in self.tables.get(name, {})
        engine = self.tables[name][ENGINE] if named else name
        if not isinstance(engine, str):
            raise UserError("model.engine_not_text", known=self.engines())
        made = built_in.ENGINES.get(engine) if named else built_in.ENTRIES.get(name)
        if made is None and engine not in self._named:
            if not named:
                raise UserError("model.not_known", name=name, known=list(self.names()))
            raise UserError("model.unknown_engine", name=engine, known=self.engines())
        ships = built_in.ENTRIES.get(name)
        if ships is not None and engine != name and (made is None or made.options != ships.options):
            raise UserError("model.taken", name=name)
        if name in self._named and (made is not None or engine != name):
            self.plugins.reject(GROUP, name, PluginError(f"there is another model {name}"))
        return self._plugin(engine) if made is None else made

    def reject(self, name: str, error: BaseException) -> UserError:
        """Record that a model's plugin cannot be used, and return the error."""
        return self.plugins.reject(GROUP, str(self.tables.get(name, {}).get(ENGINE, name)), error)

    def _plugin(self, name: str) -> ModelEntry:
        return self.plugins.check(GROUP, name, ModelEntry).with_name(name)
