"""Model registry: every model that can be made here, by name.

Models are built in, brought by plugins, or entries of the config:

    [models.quick]          # a model named "quick", once its name is in `[models] installed`
    engine = "testcard"     # made as this one is; the other keys are that engine's
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
from inference.engines.options import LengthRule, ModelTable
from inference.plugins.problem import PluginError
from inference.plugins.registry import Plugins

if TYPE_CHECKING:
    from pathlib import Path

    from inference.engines.base import Engine
    from inference.engines.weights import Checkpoint

__all__ = ["ENGINE", "GROUP", "ModelEntry", "ModelOptions", "Models"]

GROUP = "rushes.models"
"""Entry points of plugins."""

ENGINE = "engine"
"""Key of `[models.<name>]` that names the model which the entry is made like."""

WEIGHTS_CODES = ("folder.", "gguf.", "lora.", "checkpoint.")
"""How the codes of errors begin that say what is wrong with weights."""

_log = structlog.get_logger(__name__)


class Models:
    """The models of a config, beside those that ship and those of plugins.

    Bot and worker each make one from the same tables. Plugins are imported when they are asked
    for; one that fails is noted in `plugins`.

    Args:
        tables: The members of `[models.<name>]` by name.
        directory: Where downloaded weights live.
        plugins: Notes which plugins cannot be used.
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
        """What is wrong with folders that the config names, by model."""

    def names(self) -> tuple[str, ...]:
        """Return all known models: those that ship, entries of the config, those of plugins."""
        ours = [name for name, table in self.tables.items() if ENGINE in table]
        return tuple(dict.fromkeys([*built_in.ENTRIES, *ours, *self._named]))

    def entry(self, name: str) -> ModelEntry:
        """Return a model's entry, as its table configures it.

        Raises:
            UserError: `model.unknown`, `model.unknown_engine`, `model.taken` or `plugin.broken`.
            ValidationError: A member of its table is unknown or has a wrong value.
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
        """Return the entries of models; a broken plugin or folder is noted and left out."""
        found = []
        for name in names:
            try:
                found.append(self.entry(name))
            except UserError as error:
                if error.code.startswith(WEIGHTS_CODES):
                    self._note(name, error)
                elif error.code != "plugin.broken":  # `plugins` has noted it
                    raise
        return found

    def stand_in(self, name: str) -> ModelEntry:
        """Return the entry of a model whose folder is broken, as if it had none of its own.

        It can be named where models are chosen; whoever asks for it is told its problem.

        Raises:
            UserError: As `entry` does of its name.
        """
        base = self._base(name).named(name)
        return replace(base, capabilities=replace(base.capabilities, title=name), checkpoints=())

    def problem(self, name: str) -> UserError | None:
        """Return what is wrong with a model that was broken at the start, as its folder is now.

        One that was mended meanwhile has to wait for a restart: what it can do is part of every
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
        """Make a model's engine; its weights are read by `load`, not yet here.

        Raises:
            UserError: `model.unknown`.
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
        """Return the legal members of `[models.<name>]`, or of a table in it, as far as known."""
        if within[-1:] == ("lengths",):
            return sorted(LengthRule.model_fields)
        table = self._base(name).options
        return [ENGINE] if table is None else [ENGINE, *sorted(table.model_fields)]

    def _configured(self, name: str) -> ModelEntry:
        base = self._base(name).named(name)
        members = {key: value for key, value in self.tables.get(name, {}).items() if key != ENGINE}
        if base.options is None:
            return replace(base, values=members)
        table = base.options.model_validate(members)
        entry = base if base.configure is None else base.configure(base, table)
        if isinstance(table, ModelTable):
            members |= table.model_dump(include=set(table.FILES), exclude_unset=True)
        return replace(entry, values=members)

    def _base(self, name: str) -> ModelEntry:
        """Return what a model is made like; of two models of one name, ours is the one."""
        named = ENGINE in self.tables.get(name, {})
        engine = str(self.tables[name][ENGINE]) if named else name
        made = built_in.ENGINES.get(engine) if named else built_in.ENTRIES.get(name)
        if made is None and engine not in self._named:
            if not named:
                raise UserError("model.unknown", name=name, known=list(self.names()))
            known = [*built_in.ENGINES, *self._named]
            raise UserError("model.unknown_engine", name=engine, known=known)
        ships = built_in.ENTRIES.get(name)
        if ships is not None and engine != name and (made is None or made.options != ships.options):
            raise UserError("model.taken", name=name)
        if name in self._named and (made is not None or engine != name):
            self.plugins.reject(GROUP, name, PluginError(f"there is another model {name}"))
        return self._plugin(engine) if made is None else made

    def reject(self, name: str, error: BaseException) -> UserError:
        """Note that the plugin that makes a model cannot be used, and return the reason."""
        return self.plugins.reject(GROUP, str(self.tables.get(name, {}).get(ENGINE, name)), error)

    def _plugin(self, name: str) -> ModelEntry:
        return self.plugins.check(GROUP, name, ModelEntry).named(name)
