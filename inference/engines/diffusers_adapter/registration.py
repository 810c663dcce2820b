"""Registry entries of models that run through diffusers. No torch."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from inference.diffusers_pipelines.weights.classes import package_error
from inference.diffusers_pipelines.weights.folder import FolderError
from inference.diffusers_pipelines.weights.vocabularies import check_vocabularies
from inference.domain.errors import UserError
from inference.engines.diffusers_adapter.capabilities import capabilities_of
from inference.engines.diffusers_adapter.memory_check import check_fit
from inference.engines.diffusers_adapter.video_model import (
    DiffusersTable,
    VideoModelEntry,
    check_presence,
    checkpoints_of,
    entry_of,
    verify_path,
)
from inference.engines.entry import ModelEntry, import_when_called

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import BaseModel

    from inference.domain.device import Device
    from inference.domain.spec import Spec
    from inference.engines.base import Engine
    from inference.engines.entry import ModelOptions

ENGINE = "diffusers"
"""Value of `engine` in `[models.<name>]`."""
_FACTORY = "inference.engines.diffusers_adapter.engine:make_engine"


def preset_entry(preset: str) -> ModelEntry:
    """Return the registry entry of a preset."""
    return _register(entry_of(preset, DiffusersTable(), preset), preset)


def _register(entry: VideoModelEntry, preset: str | None) -> ModelEntry:
    capabilities = capabilities_of(entry)

    def check_memory(spec: Spec, device: Device) -> None:
        check_fit(spec, capabilities, entry, device)

    def check_files() -> None:
        with _folder_errors_for_users():
            check_presence(entry)

    def check_parts() -> None:
        with _folder_errors_for_users():
            if entry.folder is not None:
                check_vocabularies(entry.folder)

    def verify_files() -> Path | None:
        with _folder_errors_for_users():
            return verify_path(entry)

    return ModelEntry(
        capabilities=capabilities,
        factory=partial(_make_engine, preset),
        check_files=check_files,
        check_parts=check_parts,
        verify_files=verify_files,
        checkpoints=checkpoints_of(entry),
        options=DiffusersTable,
        configure=partial(_configure, preset),
        check_memory=check_memory,
        recipe=entry.recipe(),
    )


def _make_engine(preset: str | None, options: ModelOptions) -> Engine:
    """Import diffusers and create an engine.

    Raises:
        FolderError: `folder.no_torchvision`, `folder.no_library`, or the weights cannot be used.
    """
    try:
        engine: Engine = import_when_called(_FACTORY)(preset, options)
    except (ImportError, RuntimeError) as error:
        found = package_error(error, options.capabilities.title)
        if found is None:
            raise
        raise found from error
    return engine


def _configure(preset: str | None, base: ModelEntry, table: BaseModel) -> ModelEntry:
    """Return the registry entry for a table `[models.<name>]`.

    Raises:
        UserError: `model.no_preset`, `model.unknown_preset`, `folder.*`.
    """
    assert isinstance(table, DiffusersTable)  # noqa: S101 - the registry made it by `options`
    with _folder_errors_for_users():
        return _register(entry_of(base.capabilities.name, table, preset), preset)


@contextlib.contextmanager
def _folder_errors_for_users() -> Iterator[None]:
    """Convert a `FolderError` to a `UserError` with the same code.

    Raises:
        UserError: A `FolderError` was raised inside.
    """
    try:
        yield
    except FolderError as error:
        raise UserError(error.code, **error.params) from error


PATH_ENTRY = ModelEntry(
    capabilities=replace(capabilities_of(entry_of("wan", DiffusersTable(), "wan")), name=ENGINE),
    factory=partial(_make_engine, None),
    options=DiffusersTable,
    configure=partial(_configure, None),
)
"""Base of entries with `engine = "diffusers"`, whose capabilities replace these."""
