"""Repositories on the hub in Diffusers layout: selection, download and verification of files."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.diffusers_pipelines.weights.classes import package_error
from inference.diffusers_pipelines.weights.folder import INDEX_NAME, PART_NAMES, Folder, FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.diffusers_pipelines.weights.variants import twins
from inference.diffusers_pipelines.weights.vocabularies import check_vocabularies
from inference.hub.download import (
    COMMIT,
    Offer,
    Selection,
    describe,
    discard,
    download,
    is_as_downloaded,
    read_commit,
    verify_checksums,
)
from inference.opensora.files import ANY_MODEL, CheckpointError, find_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENDINGS = ("json", "safetensors", "txt", "model", "jinja")
"""Suffixes of a part's files; no pickles and no code."""
_ABOUT = (INDEX_NAME, "README.md", "LICENSE*")
_DAMAGED = frozenset({"folder.bad_value", "folder.truncated", "folder.unreadable"})
_INCOMPLETE = frozenset({"folder.missing", "folder.no_index", "folder.part_missing"})


def offer(source: str, directory: Path | None, revision: str | None = None) -> Offer:
    """Return the size and licence of a download; downloads only the index, which lists the parts.

    Raises:
        CheckpointError: The hub did not return them.
        FolderError: `folder.no_index`, `folder.unreadable`.
    """
    path = download(source, directory, _index(revision))
    return describe(source, _selection(_part_names(path), revision))


def pull(source: str, directory: Path | None, revision: str | None = None) -> Path:
    """Download the parts that a repository's index names, and return the folder.

    Other files, such as other precisions, are left out. A damaged local file, which the hub's
    client does not notice, is downloaded again once.

    Raises:
        CheckpointError: It cannot be downloaded; codes are those of `inference.hub`. Or the hub's
            own file cannot be used: `checkpoint.bad_value`, `checkpoint.bad_file`.
        FolderError: The folder cannot be used.
    """
    renewed: set[str] = set()
    while True:
        path = download(source, directory, _index(revision))
        try:
            path = download(source, directory, _selection(_part_names(path), revision))
            verify_vocabularies(path)
        except CheckpointError as error:
            file = str(error.params.get("file"))
            if error.code not in {*_DAMAGED, "checkpoint.checksum"} or file in renewed:
                raise
            if isinstance(error, FolderError) and _is_of_hub(path, error):
                raise _hub_error(source, error) from error
            renewed.add(file)
            discard(path, path / file)
        else:
            return path


def find(source: str, directory: Path | None, revision: str | None = None) -> Path:
    """Return the folder of a repository that is completely on this machine.

    Raises:
        CheckpointError: `checkpoint.missing`, `checkpoint.damaged`, `checkpoint.bad_value`,
            `checkpoint.bad_file`, `checkpoint.other_revision`.
        FolderError: The folder cannot be used.
    """
    path = find_folder(source, directory, revision)
    try:
        _check_revision(source, inspect_folder(path), revision)
    except FolderError as error:
        if error.code in _INCOMPLETE:
            raise CheckpointError("checkpoint.missing", source=source) from error
        if error.code in _DAMAGED:
            if _is_of_hub(path, error):
                raise _hub_error(source, error) from error
            file = error.params["file"]
            raise CheckpointError(
                "checkpoint.damaged", source=source, file=file, model=ANY_MODEL
            ) from error
        raise
    return path


def _is_of_hub(path: Path, error: FolderError) -> bool:
    """Return whether a config that cannot be used is known to be what the hub has."""
    small = error.code in {"folder.bad_value", "folder.unreadable"}
    return small and is_as_downloaded(path, path / str(error.params["file"])) is True


def _hub_error(source: str, error: FolderError) -> CheckpointError:
    """Return the error for a file that would be no better if it were downloaded again."""
    if error.code == "folder.bad_value":
        return CheckpointError("checkpoint.bad_value", source=source, **error.params)
    return CheckpointError("checkpoint.bad_file", source=source, **error.params)


def _check_revision(source: str, folder: Folder, revision: str | None) -> None:
    """Check that no file of a folder is known to be of another commit than the config names.

    The hub's client notes commits only, so tags and branches are not checked.

    Raises:
        CheckpointError: `checkpoint.other_revision`.
    """
    if revision is None or not COMMIT.fullmatch(revision):
        return
    files = [folder.path / INDEX_NAME]
    for part in folder.parts.values():
        files += [part.path / part.config_name, *part.files]
    for file in files:
        found = read_commit(folder.path, file) if file.is_file() else None
        if found not in {None, revision}:
            raise CheckpointError(
                "checkpoint.other_revision",
                source=source,
                found=found,
                wanted=revision,
                model=ANY_MODEL,
            )


def has_parts(path: Path) -> bool:
    """Return whether a folder has an index and the files of all parts, judged by file names."""
    try:
        return all((path / name).is_dir() for name in _part_names(path))
    except FolderError:
        return False


def verify(source: str, path: Path) -> Folder:
    """Verify a folder's checksums, and its tensors against their classes. Needs torch.

    Raises:
        CheckpointError: `checkpoint.checksum`.
        FolderError: The folder cannot be used.
    """
    folder = inspect_folder(path)
    verify_checksums(source, path, weight_files)
    verify_parts(folder)
    return folder


def verify_vocabularies(path: Path) -> None:
    """Verify that the tokenizers of a folder belong to its text encoders. No torch.

    Raises:
        FolderError: `folder.wrong_part`, or the folder cannot be used.
    """
    check_vocabularies(inspect_folder(path))


def verify_parts(folder: Folder) -> None:
    """Verify all parts of a folder as far as it is possible without their weights. Needs torch.

    Raises:
        FolderError: As `verify_tensors`; a tokenizer cannot be used.
    """
    verify_tensors(folder)
    import_module("inference.diffusers_pipelines.weights.parts").verify_tokenizers(folder)


def verify_tensors(folder: Folder) -> None:
    """Verify a folder's tensors, vocabularies and scheduler against their classes. Needs torch.

    Raises:
        FolderError: `folder.mismatch`, `folder.extra_tensors`, `folder.unreadable`,
            `folder.bad_value`, `folder.wrong_part`, `folder.unknown_class`,
            `folder.no_torchvision`, `folder.no_library`; `gguf.mismatch`.
    """
    check_vocabularies(folder)
    try:
        parts: Any = import_module("inference.diffusers_pipelines.weights.parts")  # imports torch
        trials: Any = import_module("inference.diffusers_pipelines.weights.trials")
    except (ImportError, RuntimeError) as error:
        known = package_error(error, folder.pipeline_class)
        if known is None:
            raise
        raise known from error
    parts.verify_scheduler(folder)
    for part in folder.parts.values():
        if part.is_quantized:
            parts.check_quantized(part)
        elif part.is_network:
            trials.check_tensors(part)


def weight_files(path: Path) -> list[Path]:
    """Return the weight files of all parts."""
    return sorted(path.glob("*/*.safetensors"))


def _part_names(path: Path) -> list[str]:
    """Return the parts that an index names, without those of other pipelines.

    Raises:
        FolderError: `folder.no_index`, `folder.unreadable`.
    """
    try:
        index = json.loads((path / INDEX_NAME).read_text(encoding="utf-8"))
        entries = dict(index).items()
    except FileNotFoundError as error:
        raise FolderError("folder.no_index", path=str(path)) from error
    except (OSError, ValueError, TypeError) as error:
        raise FolderError("folder.unreadable", file=INDEX_NAME) from error
    return [
        name
        for name, value in entries
        if isinstance(value, list) and value and value[0] is not None and name in PART_NAMES
    ]


def _index(revision: str | None) -> Selection:
    """Return the selection of a repository's index alone."""
    return Selection(patterns=_ABOUT, revision=revision, weights=lambda _folder: [])


def _selection(parts: Iterable[str], revision: str | None) -> Selection:
    patterns = [f"{folder}/*.{ending}" for folder in parts for ending in _ENDINGS]
    return Selection(
        patterns=(*_ABOUT, *patterns), left_out=twins, revision=revision, weights=weight_files
    )
