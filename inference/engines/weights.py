"""Checkpoints of models as data, and their location. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path

from inference.opensora.files import CheckpointError, find_checkpoint, is_complete, weight_files
from inference.opensora.hub import download, verify_checksums


class Kind(StrEnum):
    """Network type of a checkpoint."""

    TRANSFORMER = "transformer"
    VAE = "vae"
    TEXT_ENCODER = "text_encoder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A downloadable checkpoint."""

    source: str
    """Id on the Hugging Face hub."""
    kind: Kind
    parameters: int
    """Numbers in the network."""


_TRANSFORMER_PARAMETERS = 1_209_188_492

T2V_360P = Checkpoint(
    source="hpcai-tech/OpenSora-STDiT-v4-360p",
    kind=Kind.TRANSFORMER,
    parameters=_TRANSFORMER_PARAMETERS,
)
T2V_720P = Checkpoint(
    source="hpcai-tech/OpenSora-STDiT-v4",
    kind=Kind.TRANSFORMER,
    parameters=_TRANSFORMER_PARAMETERS,
)
I2V = Checkpoint(
    source="hpcai-tech/OpenSora-STDiT-v4-i2v",
    kind=Kind.TRANSFORMER,
    parameters=_TRANSFORMER_PARAMETERS,
)
VAE = Checkpoint(source="hpcai-tech/OpenSora-VAE-v1.3", kind=Kind.VAE, parameters=259_163_811)
TEXT_ENCODER = Checkpoint(
    source="DeepFloyd/t5-v1_1-xxl", kind=Kind.TEXT_ENCODER, parameters=4_762_310_656
)

OPENSORA = (T2V_360P, T2V_720P, I2V, VAE, TEXT_ENCODER)


def pull(checkpoint: Checkpoint, directory: Path | None) -> Path:
    """Download the missing files of a checkpoint and return its folder.

    Raises:
        CheckpointError: Why it cannot be downloaded; see `hub`.
    """
    place = download(checkpoint.source, directory)
    if not is_complete(place):
        raise CheckpointError("checkpoint.cut_off", source=checkpoint.source)
    return place


def folder(checkpoint: Checkpoint, directory: Path | None) -> Path:
    """Return the folder of a complete checkpoint.

    Raises:
        CheckpointError: `checkpoint.missing` or `checkpoint.unreadable`.
    """
    return find_checkpoint(checkpoint.source, directory)


def size_bytes(place: Path) -> int:
    """Return the size of a folder's weights.

    Raises:
        CheckpointError: `checkpoint.missing` or `checkpoint.unreadable`.
    """
    return sum(path.stat().st_size for path in weight_files(place))


def licence(place: Path) -> str | None:
    """Return the licence that a checkpoint's README names, if any."""
    try:
        lines = (place / "README.md").read_text(encoding="utf-8").splitlines()
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


def verify(checkpoint: Checkpoint, place: Path) -> None:
    """Compare checksums, keys, shapes and file lengths with what they should be. Imports torch.

    Raises:
        CheckpointError: What is wrong.
    """
    verify_checksums(checkpoint.source, place)
    loading = import_module("inference.opensora.checkpoint")
    match checkpoint.kind:
        case Kind.TRANSFORMER:
            loading.verify_transformer(place)
        case Kind.VAE:
            loading.verify_vae(place)
        case Kind.TEXT_ENCODER:
            loading.verify_text_encoder(place)
