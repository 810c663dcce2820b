"""Folders in Diffusers layout, described without torch.

`model_index.json` names the pipeline class and its parts; each part has a folder with a config and,
for networks, weights in safetensors files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.diffusers_pipelines.weights.headers import (
    GGUF_MAGIC,
    HeaderError,
    Tensor,
    read_gguf,
    read_header,
)
from inference.opensora.files import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.diffusers_pipelines.traits import Family

GGUF_KEYS = {"transformer": "gguf", "transformer_2": "gguf_low_noise"}
"""Keys of the config with GGUF files, by the part that they are for."""
LORA_KEYS = {"transformer": "loras", "transformer_2": "loras_low_noise"}
"""Keys of the config with LoRAs, by the part that they are for."""
QUANTIZATION = "quantization_config"
"""Key of a config with the method by which weights were quantized."""
INDEX_NAME = "model_index.json"
PART_NAMES = frozenset(
    {
        "audio_scheduler",
        "audio_vae",
        "connectors",
        "duration_head",
        "feature_extractor",
        "guider",
        "image_encoder",
        "image_processor",
        "processor",
        "prompt_enhancer",
        "scheduler",
        "text_encoder",
        "text_encoder_2",
        "tokenizer",
        "tokenizer_2",
        "transformer",
        "transformer_2",
        "vae",
        "vocoder",
    }
)
"""Names of all parts that the supported pipeline classes have; others are left alone."""
_CONFIG_NAMES = {
    "Scheduler": "scheduler_config.json",
    "Guidance": "guider_config.json",
    "Guider": "guider_config.json",
    "Tokenizer": "tokenizer_config.json",
    "ImageProcessor": "preprocessor_config.json",
    "Processor": "tokenizer_config.json",
}
"""Files that say what a part is like, by the first word that is in the name of its class;
config.json else."""
_LONGEST = 60
"""Characters of a value that an error shows."""


class FolderError(CheckpointError):
    """A folder cannot be used as a video model.

    Codes: `folder.missing`, `folder.no_index`, `folder.unreadable`, `folder.bad_value`,
    `folder.bug`, `folder.byte_order_mark`, `folder.modular`, `folder.custom_code`,
    `folder.unknown_class`, `folder.part_missing`, `folder.pickle`, `folder.truncated`,
    `folder.mismatch`, `folder.extra_tensors`, `folder.wrong_part`, `folder.other_preset`,
    `folder.other_model`, `folder.no_permission`, `folder.not_distilled`, `folder.no_torchvision`,
    `folder.no_package`, `folder.no_library`, `folder.no_method`, `folder.needs_gpu`; `gguf.*` for
    files of that kind, `lora.*` for LoRAs. `file` is relative to the folder.
    """


@dataclass(frozen=True)
class Part:
    """A part of a pipeline: a network, a tokenizer, a scheduler."""

    name: str
    library: str
    class_name: str
    path: Path
    files: tuple[Path, ...]
    """Weight files; none for parts that are not networks."""
    is_quantized: bool = False
    """Whether the weights come from a GGUF file."""
    variant: str | None = None
    """Variant of the weight files, such as "fp16", where there are no others."""

    @property
    def is_network(self) -> bool:
        """Whether it has weights."""
        return bool(self.files)

    @property
    def is_compressed(self) -> bool:
        """Whether the weights have fewer bits than floats, in a GGUF file or as its config says."""
        return self.is_quantized or (self.is_network and bool(self.config.get(QUANTIZATION)))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The part's config; empty without one."""
        path = self.path / self.config_name
        return read_json(path) if path.is_file() else {}

    @property
    def config_file(self) -> str:
        """The file of its config, relative to the folder of the model."""
        return f"{self.name}/{self.config_name}"

    @property
    def config_name(self) -> str:
        """Name of the part's config file."""
        found = (file for word, file in _CONFIG_NAMES.items() if word in self.class_name)
        return next(found, "config.json")

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The part's tensors, read from the headers of its files.

        Raises:
            FolderError: `folder.truncated` or `folder.no_permission`.
        """
        if self.is_quantized:
            return read_quantized(self.files[0], self.name)
        return read_tensors(self.name, self.files)

    @cached_property
    def numbers(self) -> int:
        """Number of parameters."""
        return sum(tensor.numbers for tensor in self.tensors.values())

    @cached_property
    def size_bytes(self) -> int:
        """Size of the weight files."""
        return sum(file.stat().st_size for file in self.files)


@dataclass(frozen=True)
class Folder:
    """A folder with a complete video pipeline."""

    path: Path
    pipeline_class: str
    family: Family
    parts: Mapping[str, Part]
    """Parts by name, without those that are null in the index."""
    settings: Mapping[str, Any]
    """Config values of the pipeline itself, such as `boundary_ratio`."""

    @property
    def classes(self) -> frozenset[str]:
        """Pipeline classes that these weights serve."""
        if self.family.shared or self.serves_all:
            return self.family.classes
        return frozenset({self.pipeline_class})

    @property
    def serves_all(self) -> bool:
        """Whether it makes clips from text and images, unlike the rest of its family: TI2V-5B."""
        shared_if = self.family.shared_if
        return shared_if is not None and bool(self.settings.get(shared_if))

    @property
    def makes_from_text(self) -> bool:
        """Whether it makes clips from text alone."""
        return self.family.text in self.classes

    @property
    def makes_from_image(self) -> bool:
        """Whether it makes clips from a first frame."""
        return self.family.image in self.classes

    @property
    def takes_last(self) -> bool:
        """Whether it supports a last frame.

        Wan's TI2V-5B ignores one. Of Wan 2.1, whose transformers have an image encoder, only FLF2V
        takes two pictures.
        """
        one_picture = self.looks_at_pictures and not self.needs_last
        return self.family.ends in self.classes and not self.serves_all and not one_picture

    @property
    def needs_last(self) -> bool:
        """Whether it requires a last frame: Wan 2.1 FLF2V."""
        return self.looks_at_pictures and self._transformer.get("pos_embed_seq_len") is not None

    @property
    def later_cog(self) -> bool:
        """Whether it is CogVideoX-1.5, whose patches have a size in time."""
        return self.family.name == "cogvideox" and self._transformer.get("patch_size_t") is not None

    @property
    def looks_at_pictures(self) -> bool:
        """Whether its transformer uses an image encoder: Wan 2.1."""
        return self._transformer.get("image_dim") is not None

    @property
    def transformers(self) -> frozenset[str]:
        """Names of its transformers."""
        return frozenset({"transformer", "transformer_2"} & self.parts.keys())

    @property
    def hidden(self) -> int | None:
        """Hidden size of its transformer, if the config has it as heads and their size."""
        sizes = [
            self._transformer.get(key) for key in ("num_attention_heads", "attention_head_dim")
        ]
        heads, each = (one if isinstance(one, int) else None for one in sizes)
        return None if heads is None or each is None else heads * each

    @property
    def _transformer(self) -> Mapping[str, Any]:
        return self.parts["transformer"].config if "transformer" in self.parts else {}

    @cached_property
    def pixels_per_latent(self) -> int:
        """Pixels per latent pixel, along one side."""
        vae = self.parts["vae"].config if "vae" in self.parts else {}
        named = vae.get("scale_factor_spatial") or vae.get("spatial_compression_ratio")
        return int(named or self.family.pixels_per_latent)

    @property
    def multiple(self) -> int:
        """Width and height of clips are multiples of it."""
        own = self.pixels_per_latent != self.family.pixels_per_latent
        return 2 * self.pixels_per_latent if own else self.family.multiple

    @property
    def sound(self) -> bool:
        """Whether it generates sound."""
        return self.family.sound and {"audio_vae", "vocoder"} <= self.parts.keys()

    @property
    def distilled(self) -> bool | None:
        """Whether the weights are distilled, as the scheduler tells; None if it does not."""
        if self.family.distilled_scheduler is None or "scheduler" not in self.parts:
            return None
        return self.parts["scheduler"].class_name.startswith(self.family.distilled_scheduler)

    @property
    def size_bytes(self) -> int:
        """Size of all weight files."""
        return sum(part.size_bytes for part in self.parts.values())


def read_tensors(part: str, files: Iterable[Path]) -> Mapping[str, Tensor]:
    """Return the tensors in the safetensors files of a part, from their headers.

    Raises:
        FolderError: `folder.truncated` or `folder.no_permission`.
    """
    found: dict[str, Tensor] = {}
    for file in files:
        try:
            found |= read_header(file)
        except HeaderError as error:
            name = f"{part}/{file.name}"
            raise FolderError("folder.truncated", part=part, file=name) from error
        except OSError as error:
            raise FolderError("folder.no_permission", path=str(file)) from error
    return found


def read_quantized(path: Path, part: str) -> Mapping[str, Tensor]:
    """Return the tensors of a GGUF file, from its header.

    Args:
        path: The file; its name may have any ending.
        part: The part that it is for.

    Raises:
        FolderError: `gguf.missing`, `gguf.other_kind`, `gguf.unreadable`, `gguf.no_package`,
            `folder.no_permission`.
    """
    key = GGUF_KEYS[part]
    if not path.is_file():
        raise FolderError("gguf.missing", file=str(path), key=key)
    try:
        with path.open("rb") as file:
            if file.read(len(GGUF_MAGIC)) not in {GGUF_MAGIC, b""}:
                raise FolderError("gguf.other_kind", file=str(path), key=key)
        return read_gguf(path)
    except ImportError as error:
        raise FolderError("gguf.no_package") from error
    except HeaderError as error:
        raise FolderError("gguf.unreadable", file=str(path), key=key) from error
    except OSError as error:
        raise FolderError("folder.no_permission", path=str(path)) from error


def value_error(file: str, key: str, value: Any) -> FolderError:
    """Return the error for a value of a config that cannot be used."""
    text = json.dumps(value, ensure_ascii=False)
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return FolderError("folder.bad_value", file=file, key=key, value=shown)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file with an object.

    Raises:
        FolderError: `folder.unreadable`, `folder.byte_order_mark`.
    """
    name = path.name if path.name == INDEX_NAME else f"{path.parent.name}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith("\ufeff"):  # diffusers and transformers take none either
            raise FolderError("folder.byte_order_mark", file=name)
        found = json.loads(text)
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError("folder.unreadable", file=name) from error
    if not isinstance(found, dict):
        raise FolderError("folder.unreadable", file=name)
    return found
