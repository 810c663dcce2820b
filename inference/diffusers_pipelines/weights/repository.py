"""Repositories on the hub in Diffusers layout: selection, download and verification of files."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from inference.diffusers_pipelines.weights.folder import INDEX_NAME, Folder, FolderError
from inference.diffusers_pipelines.weights.inspection import inspect_folder
from inference.hub.download import (
    Offer,
    Selection,
    describe,
    discard,
    download,
    verify_checksums,
)
from inference.opensora.files import CheckpointError, find_folder

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
        CheckpointError: It cannot be downloaded; codes are those of `inference.hub`.
        FolderError: The folder cannot be used.
    """
    renewed: set[str] = set()
    while True:
        path = download(source, directory, _index(revision))
        try:
            path = download(source, directory, _selection(_part_names(path), revision))
            inspect_folder(path)
        except CheckpointError as error:
            file = str(error.params.get("file"))
            if error.code not in {*_DAMAGED, "checkpoint.checksum"} or file in renewed:
                raise
            renewed.add(file)
            discard(path, path / file)
        else:
            return path


def find(source: str, directory: Path | None, revision: str | None = None) -> Path:
    """Return the folder of a repository that is completely on this machine.

    Raises:
        CheckpointError: `checkpoint.missing`, `checkpoint.damaged`.
        FolderError: The folder cannot be used.
    """
    path = find_folder(source, directory, revision)
    try:
        inspect_folder(path)
    except FolderError as error:
        if error.code in _INCOMPLETE:
            raise CheckpointError("checkpoint.missing", source=source) from error
        if error.code in _DAMAGED:
            file = error.params["file"]
            raise CheckpointError("checkpoint.damaged", source=source, file=file) from error
        raise
    return path


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
    verify_tensors(folder)
    return folder


def verify_tensors(folder: Folder) -> None:
    """Verify a folder's tensors against their classes. Needs torch.

    Raises:
        FolderError: `folder.mismatch`, `folder.extra_tensors`, `folder.unreadable`,
            `folder.bad_value`, `folder.unknown_class`, `folder.no_torchvision`; `gguf.mismatch`.
    """
    parts = import_module("inference.diffusers_pipelines.weights.parts")  # imports torch
    for part in folder.parts.values():
        if part.is_quantized:
            parts.check_quantized(part)
        elif part.is_network:
            parts.check_tensors(part)


def weight_files(path: Path) -> list[Path]:
    """Return the weight files of all parts."""
    return sorted(path.glob("*/*.safetensors"))


def _part_names(path: Path) -> list[str]:
    """Return the parts that an index names.

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
        if isinstance(value, list) and value and value[0] is not None and name.isidentifier()
    ]


def _index(revision: str | None) -> Selection:
    """Return the selection of a repository's index alone."""
    return Selection(patterns=_ABOUT, revision=revision, weights=lambda _folder: [])


def _selection(parts: Iterable[str], revision: str | None) -> Selection:
    patterns = [f"{folder}/*.{ending}" for folder in parts for ending in _ENDINGS]
    return Selection(patterns=(*_ABOUT, *patterns), revision=revision, weights=weight_files)
