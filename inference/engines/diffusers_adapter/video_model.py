"""Description of a model that runs through diffusers, before its weights are read. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from inference.diffusers_pipelines.families import PRESETS
from inference.diffusers_pipelines.traits import DENOISERS
from inference.diffusers_pipelines.weights.folder import (
    GGUF_KEYS,
    INDEX_NAME,
    LORA_KEYS,
    Folder,
    FolderError,
    read_quantized,
)
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.preset_fit import better_preset
from inference.diffusers_pipelines.weights.repository import find, verify_parts
from inference.domain.errors import UserError
from inference.engines.options import ConfiguredPath, ModelTable
from inference.engines.weights import Checkpoint, CheckpointKind
from inference.opensora.files import CheckpointError, find_folder

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from inference.diffusers_pipelines.traits import Family, Few, Lora, Preset, Repository

_LORA_PARAMETERS = 307_000_000
"""About the parameters of a LoRA of rank 64 for a 14B model."""

_LORA_LICENCE = "Apache-2.0"

_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
"""Commits, and names of tags and branches."""


class LoraTable(ModelTable):
    """Table of a LoRA with its merge weight."""

    file: ConfiguredPath
    weight: Annotated[float, Field(ge=-4, le=4, allow_inf_nan=False)] = 1.0


def _lora(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


ConfiguredLora = Annotated[LoraTable, BeforeValidator(_lora)]
"""A file name, or a table."""


class DiffusersTable(ModelTable):
    """Options of a model that runs through diffusers."""

    FILES = frozenset({"path", "loras", "loras_low_noise", "gguf", "gguf_low_noise"})
    TABLES = MappingProxyType({"loras": LoraTable, "loras_low_noise": LoraTable})

    preset: str | None = None
    """Name of a built-in preset, with the settings that a checkpoint does not hold."""
    path: ConfiguredPath | None = None
    """A folder in Diffusers layout, in place of the preset's download."""
    revision: str | None = None
    """Commit or tag of the preset's repository; None: the newest when it is pulled."""
    revision_image: str | None = None
    """The same for the repository for clips from images, where that is another one."""
    few: bool = False
    """Whether to render in few steps, with the preset's LoRAs for that."""
    loras: list[ConfiguredLora] = Field(default_factory=list)
    """Files with LoRAs (safetensors), merged into the transformer when it is loaded."""
    loras_low_noise: list[ConfiguredLora] = Field(default_factory=list)
    """LoRAs of the second transformer, which the 14B models of Wan have for low noise."""
    gguf: ConfiguredPath | None = None
    """A GGUF file with the transformer's weights, in place of the folder's."""
    gguf_low_noise: ConfiguredPath | None = None
    """A GGUF file with the second transformer's weights."""
    compile: bool = False
    """Whether to compile the transformer's blocks with `torch.compile`."""

    def group_loras(self) -> dict[str, list[LoraTable]]:
        """Return the LoRAs of the config by transformer."""
        return dict(zip(DENOISERS, (self.loras, self.loras_low_noise), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoModelEntry:
    """Configuration of a model, known before any weights are read."""

    name: str
    preset: Preset | None
    path: Path | None
    folder: Folder | None
    """The folder at `path`, if it exists."""
    table: DiffusersTable
    gguf: Mapping[str, Path] = field(default_factory=dict)
    """GGUF files with weights of transformers, by part."""

    @property
    def few(self) -> Few | None:
        """The preset's settings for few steps, if the config asks for them."""
        return self.preset.few if self.table.few and self.preset is not None else None

    def few_pairs(self) -> Mapping[str, tuple[Lora, ...]]:
        """Return the LoRAs for few steps by input ("text", "image"), or those for a folder."""
        if self.few is None or self.preset is None:
            return {}
        pairs = {
            use: self.few.loras[one.source]
            for use, one in self.preset.repositories.items()
            if one.source in self.few.loras
        }
        if self.folder is None:
            return pairs
        use = "text" if self.folder.makes_from_text else "image"
        return {use: pairs[use]}

    def recipe(self) -> Mapping[str, Any]:
        """Return the settings besides options that change clips, for recipes."""
        table = self.table
        loras = {
            name: [{"file": Path(one.file).name, "weight": one.weight} for one in files]
            for name, files in table.group_loras().items()
            if files
        }
        few = {lora for pair in self.few_pairs().values() for lora in pair}
        for one in sorted(few, key=str):
            loras.setdefault(one.transformer, []).append({"file": one.file, "weight": 1.0})
        found: dict[str, Any] = {
            "few": self.few is not None,
            "loras": loras,
            "gguf": {name: file.name for name, file in self.gguf.items()},
            "compile": table.compile and self.family.compiles,
        }
        return {name: value for name, value in found.items() if value}

    @property
    def family(self) -> Family:
        """The model's family."""
        if self.folder is not None:
            return self.folder.family
        assert self.preset is not None  # noqa: S101 - `entry_of` makes no other
        return self.preset.family

    def sources(self) -> Mapping[str, Repository]:
        """Return repositories by input ("text", "image", "any"); none for a path."""
        if self.path is not None or self.preset is None:
            return {}
        pinned = {"image": self.table.revision_image}
        return {
            use: replace(one, revision=pinned.get(use, self.table.revision) or one.revision)
            for use, one in self.preset.repositories.items()
        }


def entry_of(name: str, table: DiffusersTable, preset: str | None = None) -> VideoModelEntry:
    """Return the entry of a model from its config table.

    Args:
        name: The model's name in the config.
        table: Its options.
        preset: Default for a table without a preset.

    Raises:
        UserError: `model.unknown_preset`, `model.no_preset`, `model.no_few`,
            `model.no_revision`, `model.bad_revision`.
        FolderError: The `path` cannot be used, or `gguf` and `loras` exclude each other.
    """
    _check_revisions(name, table)
    wanted = table.preset or preset
    if wanted is not None and wanted not in PRESETS:
        raise UserError("model.unknown_preset", name=wanted, known=sorted(PRESETS))
    found = None if wanted is None else PRESETS[wanted]
    if table.few:
        if found is None or found.few is None:
            able = sorted(one.name for one in PRESETS.values() if one.few is not None)
            raise UserError("model.no_few", name=name, known=able)
        found = found.in_few_steps(found.few)
    gguf = {
        part: Path(file)
        for part, file in zip(DENOISERS, (table.gguf, table.gguf_low_noise), strict=True)
        if file is not None
    }
    if table.path is None:
        if found is None:
            raise UserError("model.no_preset", name=name, known=sorted(PRESETS))
        if table.revision_image is not None and "image" not in found.repositories:
            raise UserError("model.no_revision", key="revision_image", name=name)
        _check_gguf(found, gguf)
        entry = VideoModelEntry(
            name=name, preset=found, path=None, folder=None, table=table, gguf=gguf
        )
        _check_loras(entry, found.parameters)
        return entry
    path = Path(table.path)
    folder = inspect_folder(path, gguf)
    if found is not None and folder.family.name != found.family.name:
        raise FolderError(
            "folder.other_preset", path=str(path), name=folder.pipeline_class, preset=found.name
        )
    if found is not None and (right := better_preset(found, folder)) is not None:
        raise FolderError("folder.other_model", path=str(path), preset=found.name, right=right)
    if found is not None and found.distilled and folder.distilled is False:
        raise FolderError(
            "folder.not_distilled", path=str(path), preset=found.name, steps=found.steps
        )
    entry = VideoModelEntry(
        name=name, preset=found, path=path, folder=folder, table=table, gguf=gguf
    )
    _check_loras(entry, folder.parts)
    return entry


def _check_revisions(name: str, table: DiffusersTable) -> None:
    """Check the revisions of the config.

    Raises:
        UserError: `model.no_revision`, `model.bad_revision`.
    """
    for key in ("revision", "revision_image"):
        value = getattr(table, key)
        if value is None:
            continue
        if table.path is not None:
            raise UserError("model.no_revision", key=key, name=name)
        if not _REVISION.fullmatch(value) or ".." in value:
            raise UserError("model.bad_revision", key=key, value=value)


def check_presence(entry: VideoModelEntry) -> None:
    """Check that the configured files exist; their contents are checked when weights are loaded.

    Raises:
        FolderError: `folder.*`, `gguf.missing`, `lora.missing`.
    """
    if entry.path is not None and not (entry.path / INDEX_NAME).is_file():
        inspect_folder(entry.path)  # raises with the reason
    for part, file in entry.gguf.items():
        if not file.is_file():
            raise FolderError("gguf.missing", file=str(file), key=GGUF_KEYS[part])
    for part, loras in entry.table.group_loras().items():
        for lora in loras:
            if not Path(lora.file).is_file():
                raise FolderError("lora.missing", file=lora.file, key=LORA_KEYS[part])


def verify_path(entry: VideoModelEntry) -> Path | None:
    """Compare the tensors of a folder at `path` with the model's classes. Imports torch.

    Returns:
        The folder; None for models with downloaded weights.

    Raises:
        FolderError: The folder cannot be used.
    """
    if entry.path is not None:
        check_presence(entry)
        verify_parts(inspect_folder(entry.path, entry.gguf))
    return entry.path


def _check_loras(entry: VideoModelEntry, parts: Container[str]) -> None:
    """Check the configured LoRAs; their files are read with the weights.

    Raises:
        FolderError: `lora.no_part`, `lora.gguf`, `lora.quantized`.
    """
    files = [
        (part, Path(one.file).name)
        for part, each in entry.table.group_loras().items()
        for one in each
    ]
    pairs = entry.few_pairs().values()
    files += [(one.transformer, Path(one.file).name) for pair in pairs for one in pair]
    for part, name in files:
        if part not in parts:
            raise FolderError("lora.no_part", file=name, key=LORA_KEYS[part])
        if part in entry.gguf:
            raise FolderError("lora.gguf", file=name, key=LORA_KEYS[part], gguf=GGUF_KEYS[part])
        if entry.folder is not None and entry.folder.parts[part].is_compressed:
            raise FolderError("lora.quantized", file=name, key=LORA_KEYS[part])


def _check_gguf(preset: Preset, files: Mapping[str, Path]) -> None:
    """Check that GGUF files fit a preset's repository.

    Raises:
        FolderError: `gguf.*`.
    """
    if not files:
        return
    if len(preset.repositories) > 1:
        raise FolderError("gguf.needs_path", name=preset.name)
    if not preset.family.gguf:
        key = GGUF_KEYS[next(iter(files))]
        raise FolderError("gguf.not_supported", name=preset.family.text, key=key)
    for part, file in files.items():
        if part not in preset.parameters:
            raise FolderError("gguf.no_part", file=file.name, key=GGUF_KEYS[part])
        read_quantized(file, part)


def checkpoints_of(entry: VideoModelEntry) -> tuple[Checkpoint, ...]:
    """Return the checkpoints to download: for a path, only the LoRAs for few steps."""
    preset = entry.preset
    if preset is None:
        return ()
    loras = _lora_checkpoints(entry)
    if entry.path is not None:
        return loras
    repositories = tuple(
        Checkpoint(
            source=one.source,
            kind=CheckpointKind.PIPELINE,
            parameters=int(sum(preset.parameters.values()) * 1e9),
            revision=one.revision,
            licence=preset.licence,
            download_bytes=one.size_bytes,
        )
        for one in entry.sources().values()
    )
    return (*repositories, *loras)


def _lora_checkpoints(entry: VideoModelEntry) -> tuple[Checkpoint, ...]:
    files: dict[str, list[str]] = {}
    for lora in (each for pair in entry.few_pairs().values() for each in pair):
        files.setdefault(lora.source, []).append(lora.file)
    return tuple(
        Checkpoint(
            source=source,
            kind=CheckpointKind.LORAS,
            parameters=_LORA_PARAMETERS * len(names),
            files=tuple(names),
            licence=_LORA_LICENCE,
            download_bytes=4 * _LORA_PARAMETERS * len(names),
        )
        for source, names in files.items()
    )


def few_loras(entry: VideoModelEntry, use: str, directory: Path | None) -> dict[str, Path]:
    """Return the files of downloaded LoRAs for few steps, by transformer.

    Args:
        entry: The model's entry.
        use: Input that clips are made from: "text" or "image"; "any" for a path.
        directory: Directory of downloaded weights.

    Raises:
        CheckpointError: `checkpoint.missing`.
    """
    pairs = entry.few_pairs()
    loras = next(iter(pairs.values()), ()) if use == "any" else pairs.get(use, ())
    return {one.transformer: find_folder(one.source, directory) / one.file for one in loras}


def folders_of(entry: VideoModelEntry, directory: Path | None) -> dict[str, Path]:
    """Return the folders of a model by the input that clips are made from.

    Raises:
        CheckpointError: `checkpoint.missing`: one is not downloaded.
        FolderError: One cannot be used.
    """
    if entry.path is not None:
        return {"any": entry.path}
    try:
        return {
            use: find(one.source, directory, one.revision) for use, one in entry.sources().items()
        }
    except CheckpointError as error:
        raise error.for_model(entry.name) from error
