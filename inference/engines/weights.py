"""Checkpoints of models as data: download, location, verification. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path

from inference.diffusers_pipelines.weights import repository
from inference.diffusers_pipelines.weights.folder import INDEX_NAME
from inference.hub.download import Selection, describe, download, verify_checksums
from inference.opensora.files import (
    CONFIG_NAME,
    CheckpointError,
    find_checkpoint,
    find_folder,
    is_complete,
    weight_files,
)


class CheckpointKind(StrEnum):
    """Kind of a checkpoint."""

    TRANSFORMER = "transformer"
    VAE = "vae"
    TEXT_ENCODER = "text_encoder"
    PIPELINE = "pipeline"
    """A repository in Diffusers layout, with all networks."""
    LORAS = "loras"
    """LoRA files of a repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A downloadable checkpoint."""

    source: str
    """Id on the Hugging Face hub."""
    kind: CheckpointKind
    parameters: int
    """Number of parameters of the network, or of all networks of a pipeline."""
    revision: str | None = None
    """Commit or tag; None is the newest."""
    files: tuple[str, ...] = ()
    """Files of the repository, for `Kind.LORAS`."""
    download_bytes: int | None = None
    """Approximate download size; None if it is the size of the weights in memory."""
    licence: str | None = None
    """One line about the licence, if the repository's licence field is not complete."""


_TRANSFORMER_PARAMETERS = 1_209_188_492

T2V_360P = Checkpoint(
    source="hpcai-tech/OpenSora-STDiT-v4-360p",
    kind=CheckpointKind.TRANSFORMER,
    parameters=_TRANSFORMER_PARAMETERS,
)
T2V_720P = Checkpoint(
    source="hpcai-tech/OpenSora-STDiT-v4",
    kind=CheckpointKind.TRANSFORMER,
    parameters=_TRANSFORMER_PARAMETERS,
)
I2V = Checkpoint(
    source="hpcai-tech/OpenSora-STDiT-v4-i2v",
    kind=CheckpointKind.TRANSFORMER,
    parameters=_TRANSFORMER_PARAMETERS,
)
VAE = Checkpoint(
    source="hpcai-tech/OpenSora-VAE-v1.3", kind=CheckpointKind.VAE, parameters=259_163_811
)
TEXT_ENCODER = Checkpoint(
    source="DeepFloyd/t5-v1_1-xxl", kind=CheckpointKind.TEXT_ENCODER, parameters=4_762_310_656
)

OPENSORA = (T2V_360P, T2V_720P, I2V, VAE, TEXT_ENCODER)


def pull(checkpoint: Checkpoint, directory: Path | None) -> Path:
    """Download the missing files of a checkpoint and return its folder.

    Raises:
        CheckpointError: It cannot be downloaded; codes are those of `inference.hub`.
    """
    if checkpoint.kind is CheckpointKind.PIPELINE:
        return repository.pull(checkpoint.source, directory, checkpoint.revision)
    if checkpoint.kind is CheckpointKind.LORAS:
        return download(checkpoint.source, directory, _selection(checkpoint))
    path = download(checkpoint.source, directory)
    if not is_complete(path):
        raise CheckpointError("checkpoint.cut_off", source=checkpoint.source)
    return path


def offer(checkpoint: Checkpoint, directory: Path | None) -> tuple[int, str | None]:
    """Return the size in bytes and the licence of a download, before it starts.

    Raises:
        CheckpointError: The hub did not return them.
    """
    if checkpoint.kind is CheckpointKind.LORAS:
        found = describe(checkpoint.source, _selection(checkpoint))
        return found.size_bytes, checkpoint.licence or found.licence
    if checkpoint.kind is not CheckpointKind.PIPELINE:
        return 2 * checkpoint.parameters, checkpoint.licence
    found = repository.offer(checkpoint.source, directory, checkpoint.revision)
    return found.size_bytes, checkpoint.licence or found.licence


def folder(checkpoint: Checkpoint, directory: Path | None) -> Path:
    """Return the folder of a complete checkpoint.

    Raises:
        CheckpointError: `checkpoint.missing` or `checkpoint.unreadable`.
    """
    if checkpoint.kind is CheckpointKind.PIPELINE:
        return repository.find(checkpoint.source, directory, checkpoint.revision)
    if checkpoint.kind is CheckpointKind.LORAS:
        path = find_folder(checkpoint.source, directory)
        if absent := [name for name in checkpoint.files if not (path / name).is_file()]:
            raise CheckpointError("checkpoint.missing", source=checkpoint.source, files=absent)
        return path
    return find_checkpoint(checkpoint.source, directory)


def is_installed(path: Path) -> bool:
    """Return whether a folder still has the files of a complete checkpoint."""
    if (path / INDEX_NAME).is_file():
        return repository.has_parts(path)
    return _holds_loras(path) or is_complete(path)


def _holds_loras(path: Path) -> bool:
    """Return whether a folder has weights only in its subfolders."""
    return not (path / CONFIG_NAME).is_file() and any(path.glob("*/*.safetensors"))


def _selection(checkpoint: Checkpoint) -> Selection:
    """Return the selection of a repository's files to download for LoRAs."""
    return Selection(
        patterns=(*checkpoint.files, "README.md", "LICENSE*"),
        revision=checkpoint.revision,
        weights=lambda path: [path / name for name in checkpoint.files],
    )


def size_bytes(path: Path) -> int:
    """Return the size of a folder's weights, in bytes.

    Raises:
        CheckpointError: `checkpoint.missing` or `checkpoint.unreadable`.
    """
    nested = (path / INDEX_NAME).is_file() or _holds_loras(path)
    files = repository.weight_files(path) if nested else weight_files(path)
    return sum(path.stat().st_size for path in files)


def licence(path: Path) -> str | None:
    """Return the licence that a checkpoint's README names, if any."""
    try:
        lines = (path / "README.md").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    if not lines or lines[0].strip() != "---":
        return None
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name == "license":
            return value.strip() or None
        if line.strip() == "---":
            break
    return None


def verify_files(checkpoint: Checkpoint, path: Path) -> int:
    """Compare the files of a checkpoint with the hub's checksums. No torch.

    Returns:
        How many files have no checksum, because they did not come from the hub.

    Raises:
        CheckpointError: `checkpoint.checksum`, `checkpoint.missing`, `checkpoint.unreadable`;
            `folder.*` for a pipeline whose parts do not fit each other.
    """
    files: Callable[[Path], list[Path]] = weight_files
    if checkpoint.kind is CheckpointKind.PIPELINE:
        files = repository.weight_files
        repository.verify_vocabularies(path)
    elif checkpoint.kind is CheckpointKind.LORAS:
        files = _selection(checkpoint).weights
    return verify_checksums(checkpoint.source, path, files)


def verify(checkpoint: Checkpoint, path: Path) -> None:
    """Verify checksums, keys, shapes and file lengths of a checkpoint. Imports torch.

    Raises:
        CheckpointError: A check failed; see its codes.
    """
    if checkpoint.kind is CheckpointKind.PIPELINE:
        repository.verify(checkpoint.source, path)
        return
    verify_files(checkpoint, path)
    if checkpoint.kind is CheckpointKind.LORAS:
        return
    loading = import_module("inference.opensora.checkpoint")
    match checkpoint.kind:
        case CheckpointKind.TRANSFORMER:
            loading.verify_transformer(path)
        case CheckpointKind.VAE:
            loading.verify_vae(path)
        case CheckpointKind.TEXT_ENCODER:
            loading.verify_text_encoder(path)
