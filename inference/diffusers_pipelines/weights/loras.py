"""LoRAs (arXiv:2106.09685): low-rank weight changes, merged into transformers while loading."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from inference.device_errors import is_out_of_memory
from inference.diffusers_pipelines.weights.folder import GGUF_KEYS, LORA_KEYS, Folder, FolderError
from inference.diffusers_pipelines.weights.parts import make_pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SUFFIX = ".safetensors"
_HALVES = {"lora_A": "lora_B", "lora_down": "lora_up", "lora.down": "lora.up"}
"""Name of the second factor of a low-rank change, by that of the first."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA file with its merge weight."""

    path: Path
    weight: float = 1.0


def merge_loras(
    folder: Folder, parts: Mapping[str, Any], loras: Mapping[str, tuple[LoraFile, ...]]
) -> None:
    """Merge LoRAs into the transformers of a model, so that they cost no time in renders.

    Args:
        folder: The model's folder.
        parts: The model's networks, which are changed in place.
        loras: LoRAs by part.

    Raises:
        FolderError: `lora.missing`, `lora.unreadable`, `lora.no_part`,
            `lora.not_supported`, `lora.no_peft`, `lora.gguf`, `lora.quantized`.
    """
    for name, files in loras.items():
        for file in files:
            _merge(folder, parts, name, file)


def _merge(folder: Folder, parts: Mapping[str, Any], name: str, lora: LoraFile) -> None:
    file, key = lora.path, LORA_KEYS[name]
    if name not in parts:
        raise FolderError("lora.no_part", file=file.name, key=key)
    if folder.parts[name].is_quantized:
        raise FolderError("lora.gguf", file=file.name, key=key, gguf=GGUF_KEYS[name])
    if folder.parts[name].is_compressed:
        raise FolderError("lora.quantized", file=file.name, key=key)
    if find_spec("peft") is None:
        raise FolderError("lora.no_peft")
    # The pipeline's loader translates the names of other programs.
    pipeline = make_pipeline(folder, parts, folder.pipeline_class)
    if not hasattr(pipeline, "load_lora_weights"):
        raise FolderError("lora.not_supported", name=folder.pipeline_class, key=key)
    _check_file(file, key)
    try:
        _check_halves(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise FolderError("lora.unreadable", file=str(file), key=key) from error
    second = {"load_into_transformer_2": True} if name == "transformer_2" else {}
    try:
        pipeline.load_lora_weights(
            str(file), adapter_name="merged", local_files_only=True, use_safetensors=True, **second
        )
        adapters = pipeline.get_list_adapters()
        if not adapters.get(name):
            raise ValueError(name)  # noqa: TRY301 - the file has nothing for this transformer
        pipeline.fuse_lora(components=[name], adapter_names=["merged"], lora_scale=lora.weight)
        pipeline.unload_lora_weights()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise FolderError("lora.unreadable", file=str(file), key=key) from error


def _check_file(file: Path, key: str) -> None:
    if not file.is_file():  # no downloads
        raise FolderError("lora.missing", file=str(file), key=key)
    if file.suffix != _SUFFIX:  # no pickles
        raise FolderError("lora.unreadable", file=str(file), key=key)


def _check_halves(file: Path) -> None:
    """Check that both factors of each change exist and are finite.

    Otherwise every clip would be NaN, which looks like a broken GPU.

    Raises:
        OSError: The file cannot be read.
        SafetensorError: The file is damaged.
        ValueError: A factor is missing or not finite.
    """
    pairs = [*_HALVES.items(), *((up, down) for down, up in _HALVES.items())]
    with safe_open(str(file), "pt") as opened:
        names = set(opened.keys())
        for name in names:
            if any(one in name and name.replace(one, other) not in names for one, other in pairs):
                raise ValueError(name)
            if not opened.get_tensor(name).isfinite().all():
                raise ValueError(name)
