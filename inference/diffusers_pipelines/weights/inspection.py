"""Inspection of folders in Diffusers layout: checks that a model is complete. No torch."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import structlog

from inference.bug_report import log_bug
from inference.diffusers_pipelines.families import family_of
from inference.diffusers_pipelines.weights.folder import (
    GGUF_KEYS,
    INDEX_NAME,
    PART_NAMES,
    Folder,
    FolderError,
    Part,
    read_json,
    read_tensors,
    value_error,
)
from inference.diffusers_pipelines.weights.match import check_match
from inference.diffusers_pipelines.weights.quantization import method_of
from inference.diffusers_pipelines.weights.variants import best_variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.diffusers_pipelines.traits import Family

_log = structlog.get_logger(__name__)

MODULAR_NAMES = ("modular_model_index.json", "modular_config.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.msgpack", "*.h5")
_STEM, _TRANSFORMERS_STEM = "diffusion_pytorch_model", "model"
_WITHOUT_WEIGHTS = re.compile(
    r"(Tokenizer(Fast)?|Processor(Pil|Fast)?|Extractor|Scheduler|Guidance|Guider)$"
)
_LIBRARIES = frozenset({"diffusers", "transformers", "tokenizers"})
_TOKENIZER = re.compile(r"(?<!ByT5)Tokenizer(Fast)?$")
"""Classes of tokenizers that need a vocabulary file; without it transformers silently creates an
empty one."""
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")
_REQUIRED = frozenset({"scheduler_config.json", "guider_config.json"})
"""Configs without which a part that has no weights cannot be made."""


def inspect_folder(path: Path, gguf: Mapping[str, Path] = MappingProxyType({})) -> Folder:
    """Read the description of a folder, and check that it is complete.

    Args:
        path: The folder.
        gguf: GGUF files that replace the weights of parts, by part.

    Raises:
        FolderError: The folder cannot be used; see its codes.
    """
    try:
        return _inspect(path, gguf)
    except PermissionError as error:
        raise FolderError("folder.no_permission", path=str(error.filename or path)) from error
    except FolderError:
        raise
    except Exception as error:  # a folder may hold anything, and must not stop other models
        bug_id = log_bug(_log, "folder.bug", error)
        raise FolderError("folder.bug", path=str(path), bug_id=bug_id) from error


def _inspect(path: Path, gguf: Mapping[str, Path]) -> Folder:
    if not path.is_dir():
        raise FolderError("folder.missing", path=str(path))
    if not (path / INDEX_NAME).is_file():
        if any((path / name).is_file() for name in MODULAR_NAMES):
            raise FolderError("folder.modular", path=str(path))
        raise FolderError("folder.no_index", path=str(path))
    index = read_json(path / INDEX_NAME)
    name, family = _pipeline_class(path, index)
    if gguf and not family.gguf:  # first, as no other file would do
        raise FolderError("gguf.not_supported", name=name, key=GGUF_KEYS[next(iter(gguf))])
    parts, settings = _entries(path, index, gguf)
    found = Folder(path, name, family, parts, settings)
    check_match(found, gguf)
    return found


def _entries(
    path: Path, index: Mapping[str, Any], gguf: Mapping[str, Path]
) -> tuple[dict[str, Part], dict[str, Any]]:
    """Return the parts that an index names, and the settings of the pipeline.

    Raises:
        FolderError: A part is missing or incomplete, or the index is damaged.
    """
    parts: dict[str, Part] = {}
    settings: dict[str, Any] = {}
    for key, value in index.items():
        if key.startswith("_"):
            continue
        if not key.isidentifier():  # used as a folder name and a keyword argument
            raise FolderError("folder.unreadable", file=INDEX_NAME)
        if not isinstance(value, list):
            if key in PART_NAMES and value is not None:
                raise value_error(INDEX_NAME, key, value)
            settings[key] = value
        elif key not in PART_NAMES:
            continue  # of another pipeline: LTX-2.5 comes with a second decoder
        elif len(value) != 2 or value[0] is not None:  # noqa: PLR2004 - library and class
            parts[key] = _part(path, key, value, gguf.get(key))
    return parts, settings


def _pipeline_class(path: Path, index: Mapping[str, Any]) -> tuple[str, Family]:
    name = index.get("_class_name")
    if isinstance(name, list):
        raise FolderError("folder.custom_code", path=str(path))
    if not (isinstance(name, str) and name):
        raise value_error(INDEX_NAME, "_class_name", name)
    if name.endswith(("ModularPipeline", "Blocks")) or "_blocks_class_name" in index:
        raise FolderError("folder.modular", path=str(path))
    family = family_of(name)
    if family is None:
        raise FolderError("folder.unknown_class", name=name)
    return name, family


def _part(folder: Path, name: str, entry: list[Any], gguf: Path | None) -> Part:
    """Return a part of the folder.

    Raises:
        FolderError: It is missing or incomplete, or its code comes with the folder.
    """
    if len(entry) != 2 or not all(isinstance(value, str) for value in entry):  # noqa: PLR2004 - library and class
        raise value_error(INDEX_NAME, name, entry)
    library, class_name = entry
    if library not in _LIBRARIES and not _of_diffusers(library):
        raise FolderError("folder.custom_code", path=str(folder))
    place = folder / name
    if not place.is_dir():
        raise FolderError("folder.part_missing", part=name, file=f"{name}/")
    if _WITHOUT_WEIGHTS.search(class_name):
        part = Part(name, library, class_name, place, ())
        if part.config_name in _REQUIRED and not (place / part.config_name).is_file():
            raise FolderError("folder.part_missing", part=name, file=part.config_file)
        if not any(place.iterdir()):
            raise FolderError("folder.part_missing", part=name, file=f"{name}/")
        if part.config_name in _REQUIRED:
            _ = part.config  # raises if the file is damaged
        if _TOKENIZER.search(class_name) and not _has_vocabulary(place):
            raise FolderError("folder.part_missing", part=name, file=f"{name}/tokenizer.json")
        return part
    return _network(Part(name, library, class_name, place, ()), gguf)


def _network(part: Part, gguf: Path | None) -> Part:
    """Return a part with its weight files, which are read as far as their headers.

    Raises:
        FolderError: It is incomplete, or a file is damaged.
    """
    name, place = part.name, part.path
    if not (place / "config.json").is_file():
        raise FolderError("folder.part_missing", part=name, file=f"{name}/config.json")
    if gguf is not None:
        part = replace(part, files=(gguf,), is_quantized=True)
    else:
        files, variant = _weight_files(place, part.library)
        part = replace(part, files=files, variant=variant)
    _ = part.config, part.tensors, method_of(part)  # all raise if a file is damaged
    return part


def _has_vocabulary(place: Path) -> bool:
    return any(next(place.glob(pattern), None) for pattern in _VOCABULARIES)


def _of_diffusers(library: str) -> bool:
    """Return whether a library is a pipeline package inside diffusers.

    Without diffusers, which is not installed where only the bot runs, any may be one: a class is
    never imported from elsewhere.
    """
    spec = find_spec("diffusers")
    if spec is None or spec.origin is None:
        return library.isidentifier()
    return library.isidentifier() and (Path(spec.origin).parent / "pipelines" / library).is_dir()


def _weight_files(place: Path, library: str) -> tuple[tuple[Path, ...], str | None]:
    """Return the weight files of a part, and their variant if there are no others.

    Raises:
        FolderError: `folder.part_missing`, `folder.pickle` or `folder.unreadable`.
    """
    of_transformers = library == "transformers"
    stem = _TRANSFORMERS_STEM if of_transformers else _STEM
    for variant in (None, *best_variants(file.name for file in place.glob(f"{stem}*"))):
        dotted = "" if variant is None else f".{variant}"
        single = place / f"{stem}{dotted}.safetensors"
        index = place / f"{stem}.safetensors.index{dotted}.json"
        # If both exist, transformers reads the single file, and diffusers the files of the index.
        if single.is_file() and (of_transformers or not index.is_file()):
            return (single,), variant
        if index.is_file():
            return _shards(place, index, library), variant
    if any(next(place.glob(pattern), None) for pattern in _PICKLES):
        raise FolderError("folder.pickle", part=place.name)
    raise FolderError(
        "folder.part_missing", part=place.name, file=f"{place.name}/{stem}.safetensors"
    )


def _shards(place: Path, index: Path, library: str) -> tuple[Path, ...]:
    """Return the files that an index names.

    Raises:
        FolderError: `folder.part_missing` or `folder.unreadable`.
    """
    found = read_json(index)
    shards = found.get("weight_map")
    # Both libraries require the metadata.
    if not (isinstance(shards, dict) and shards and isinstance(found.get("metadata"), dict)):
        raise FolderError("folder.unreadable", file=f"{place.name}/{index.name}")
    names = sorted({str(shard) for shard in shards.values()})
    if any(Path(name).match(pickle) for name in names for pickle in _PICKLES):
        raise FolderError("folder.pickle", part=place.name)
    for name in names:
        # No paths, which could lead out of the folder.
        if Path(name).name != name or not (place / name).is_file():
            raise FolderError("folder.part_missing", part=place.name, file=f"{place.name}/{name}")
    files = tuple(place / name for name in names)
    # diffusers goes by the names of tensors in the index, transformers by those in the files.
    if library != "transformers" and shards.keys() != read_tensors(place.name, files).keys():
        raise FolderError("folder.unreadable", file=f"{place.name}/{index.name}")
    return files
