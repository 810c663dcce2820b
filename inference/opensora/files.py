"""Checkpoint files: location and completeness. No torch."""

from __future__ import annotations

import json
from pathlib import Path

from inference.domain.errors import EngineError

CONFIG_NAME = "config.json"
WEIGHT_NAMES = ("model.safetensors", "pytorch_model.bin")
TOKENIZER_NAMES = ("tokenizer.json", "spiece.model")
PATTERNS = ("*.json", "model*.safetensors", "pytorch_model*.bin", "spiece.model", "README.md")
"""Files of a hub repository that are downloaded as its checkpoint."""


ANY_MODEL = "MODEL"
"""In errors that say what to type, until the name of the model is known."""


class CheckpointError(EngineError):
    """A checkpoint cannot be used.

    Codes: `checkpoint.missing` (no such folder or file), `checkpoint.unreadable` (broken file or
    config), `checkpoint.damaged` (the same of a file that can be downloaded again),
    `checkpoint.mismatch` (keys, shapes or values are not those of the network),
    `checkpoint.other_revision` (of another commit than the config names),
    `checkpoint.bad_value` and `checkpoint.bad_file` (the hub has the same file),
    `checkpoint.no_permission`, and those of `hub` for what cannot be downloaded.
    """

    def for_model(self, name: str) -> CheckpointError:
        """Return the error with the name of the model, for sentences that say what to type."""
        return type(self)(self.code, **{**self.params, "model": name})


def weight_files(folder: Path) -> list[Path]:
    """Return a folder's weight files: one, or all shards that its index names.

    Raises:
        CheckpointError: `checkpoint.missing` or `checkpoint.unreadable`.
    """
    try:
        return _weight_files(folder)
    except PermissionError as error:
        raise CheckpointError(
            "checkpoint.no_permission", source=folder.name, path=str(error.filename or folder)
        ) from error


def _weight_files(folder: Path) -> list[Path]:
    for name in WEIGHT_NAMES:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return [folder / name]
        if index.is_file():
            try:
                shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            except PermissionError:
                raise
            except (OSError, ValueError, KeyError, AttributeError) as error:
                raise CheckpointError(
                    "checkpoint.unreadable", source=str(index), reason=str(error)
                ) from error
            paths = [folder / shard for shard in sorted(set(shards))]
            if absent := [path.name for path in paths if not path.is_file()]:
                raise CheckpointError("checkpoint.missing", source=str(folder), files=absent)
            return paths
    raise CheckpointError("checkpoint.missing", source=str(folder), files=list(WEIGHT_NAMES))


def find_checkpoint(source: str, directory: Path | None = None) -> Path:
    """Return the folder of a checkpoint that is completely on this machine.

    Args:
        source: Its id on the hub, "owner/name".
        directory: Searched first, for a folder `name`; the hub's cache is searched second.

    Raises:
        CheckpointError: `checkpoint.missing`.
    """
    folder = find_folder(source, directory)
    if not is_complete(folder):
        raise CheckpointError("checkpoint.missing", source=source)
    return folder


def find_folder(source: str, directory: Path | None, revision: str | None = None) -> Path:
    """Return the folder that a repository was downloaded to, even if incomplete.

    Args:
        source: Its id on the hub.
        directory: Where it is kept, one revision at a time; the hub's cache if None.
        revision: Commit, tag or branch; None: that of the branch main.

    Raises:
        CheckpointError: `checkpoint.missing`.
    """
    folder = None if directory is None else checkpoint_path(source, directory)
    return folder if folder is not None and folder.is_dir() else _find_cached(source, revision)


def is_complete(folder: Path) -> bool:
    """Return whether a folder has its config and all its weights."""
    try:
        weight_files(folder)
    except CheckpointError:
        return False
    return (folder / CONFIG_NAME).is_file()


def checkpoint_path(source: str, directory: Path) -> Path:
    """Return the path of a checkpoint inside a directory of weights."""
    return directory / source.rpartition("/")[2]


def cache_folder(source: str) -> Path:
    """Return the folder of a repository in the hub client's cache.

    Raises:
        ImportError: The client is not installed.
    """
    from huggingface_hub import constants, file_download  # noqa: PLC0415 - takes a while

    name = file_download.repo_folder_name(repo_id=source, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / name


def _find_cached(source: str, revision: str | None) -> Path:
    # Looks for one file: for a folder the client requires the whole repository, and only
    # `PATTERNS` of it are downloaded.
    try:
        repository = cache_folder(source)
        reference = repository / "refs" / (revision or "main")
        if revision is not None and not reference.is_file():  # a commit has none
            commit = revision
        else:
            commit = reference.read_text(encoding="ascii").strip()
    except (ImportError, OSError, ValueError) as error:
        raise CheckpointError("checkpoint.missing", source=source) from error
    found = repository / "snapshots" / commit
    if not found.is_dir():
        raise CheckpointError("checkpoint.missing", source=source)
    return found
