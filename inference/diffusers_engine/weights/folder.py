"""Inspection of folders in Diffusers layout, without torch.

A folder has `model_index.json`, which names the pipeline class and its parts, and a folder for each
part with a config and, for networks, weights in safetensors files.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from inference.diffusers_engine.families import family_of
from inference.diffusers_engine.weights.headers import HeaderError, Tensor, read_gguf, read_header
from inference.opensora.files import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.diffusers_engine.traits import Family

GGUF = ".gguf"
INDEX_NAME = "model_index.json"
MODULAR_NAMES = ("modular_model_index.json", "modular_config.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.msgpack", "*.h5")
_STEM, _TRANSFORMERS_STEM = "diffusion_pytorch_model", "model"
_WITHOUT_WEIGHTS = re.compile(
    r"(Tokenizer(Fast)?|Processor(Pil|Fast)?|Extractor|Scheduler|Guidance|Guider)$"
)
_LIBRARIES = frozenset({"diffusers", "transformers", "tokenizers"})
_TOKENIZER = re.compile(r"(?<!ByT5)Tokenizer(Fast)?$")
"""With a vocabulary in a file; without, one that knows no word is made, without an error."""
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")
_CONFIGS = {"Scheduler": "scheduler_config.json", "Guidance": "guider_config.json"}


class FolderError(CheckpointError):
    """A folder cannot be used as a video model.

    Codes: `folder.missing`, `folder.no_index`, `folder.unreadable`, `folder.modular`,
    `folder.custom_code`, `folder.unknown_class`, `folder.part_missing`, `folder.pickle`,
    `folder.truncated`, `folder.mismatch`, `folder.no_permission`, `folder.no_torchvision`;
    `gguf.*` for files of that kind, `lora.*` for LoRAs. `file` is relative to the folder.
    """


@dataclass(frozen=True)
class Part:
    """A part of a pipeline: a network, a tokenizer, a scheduler."""

    name: str
    library: str
    class_name: str
    path: Path
    files: tuple[Path, ...]
    """With its weights; none for parts that are no networks."""

    @property
    def is_network(self) -> bool:
        """Whether it has weights."""
        return bool(self.files)

    @property
    def is_quantized(self) -> bool:
        """Whether its weights come from a GGUF file."""
        return any(file.suffix == GGUF for file in self.files)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its config; empty for parts without one."""
        path = self.path / "config.json"
        return _read_json(path) if path.is_file() else {}

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Its tensors, from the headers of its files.

        Raises:
            FolderError: `folder.truncated` or `folder.no_permission`.
        """
        if self.is_quantized:
            return read_quantized(self.files[0])
        found: dict[str, Tensor] = {}
        for file in self.files:
            try:
                found |= read_header(file)
            except HeaderError as error:
                name = f"{self.name}/{file.name}"
                raise FolderError("folder.truncated", part=self.name, file=name) from error
            except OSError as error:
                raise FolderError("folder.no_permission", path=str(file)) from error
        return found

    @cached_property
    def numbers(self) -> int:
        """How many numbers its weights have."""
        return sum(tensor.numbers for tensor in self.tensors.values())

    @cached_property
    def size_bytes(self) -> int:
        """Size of its weight files."""
        return sum(file.stat().st_size for file in self.files)


@dataclass(frozen=True)
class Folder:
    """A folder that holds a video pipeline, all of it."""

    path: Path
    pipeline_class: str
    family: Family
    parts: Mapping[str, Part]
    """Those that are there, by name."""
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
        """Whether it is the one of its family that makes clips from words and images: TI2V-5B."""
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
        """Whether a clip can end with a given frame.

        Wan's TI2V-5B ignores it. Of Wan 2.1, whose transformers look at pictures through an encoder
        of their own, only FLF2V has room for two.
        """
        one_picture = self._looks_at_pictures and not self.needs_last
        return self.family.ends in self.classes and not self.serves_all and not one_picture

    @property
    def needs_last(self) -> bool:
        """Whether no clip can do without a last frame: Wan 2.1 FLF2V."""
        return self._looks_at_pictures and self._transformer.get("pos_embed_seq_len") is not None

    @property
    def later_cog(self) -> bool:
        """Whether it is CogVideoX-1.5, which has patches in time."""
        return self.family.name == "cogvideox" and self._transformer.get("patch_size_t") is not None

    @property
    def _looks_at_pictures(self) -> bool:
        return self._transformer.get("image_dim") is not None

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
        """Sides of clips are multiples of it."""
        own = self.pixels_per_latent != self.family.pixels_per_latent
        return 2 * self.pixels_per_latent if own else self.family.multiple

    @property
    def sound(self) -> bool:
        """Whether its clips have sound."""
        return self.family.sound and {"audio_vae", "vocoder"} <= self.parts.keys()

    @property
    def size_bytes(self) -> int:
        """Size of all weight files."""
        return sum(part.size_bytes for part in self.parts.values())


def read_quantized(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a GGUF file, from its header.

    Raises:
        FolderError: `gguf.missing`, `gguf.unreadable`, `gguf.no_package`, `folder.no_permission`.
    """
    if not path.is_file():
        raise FolderError("gguf.missing", file=str(path))
    try:
        return read_gguf(path)
    except ImportError as error:
        raise FolderError("gguf.no_package") from error
    except HeaderError as error:
        raise FolderError("gguf.unreadable", file=str(path)) from error
    except OSError as error:
        raise FolderError("folder.no_permission", path=str(path)) from error


def inspect_folder(path: Path, gguf: Mapping[str, Path] = MappingProxyType({})) -> Folder:
    """Read what a folder holds, and check that it is all there.

    Args:
        path: The folder.
        gguf: Files that hold the weights of parts instead, by part.

    Raises:
        FolderError: What is wrong with it.
    """
    try:
        return _inspected(path, gguf)
    except PermissionError as error:
        raise FolderError("folder.no_permission", path=str(error.filename or path)) from error


def _inspected(path: Path, gguf: Mapping[str, Path]) -> Folder:
    if not path.is_dir():
        raise FolderError("folder.missing", path=str(path))
    if not (path / INDEX_NAME).is_file():
        if any((path / name).is_file() for name in MODULAR_NAMES):
            raise FolderError("folder.modular", path=str(path))
        raise FolderError("folder.no_index", path=str(path))
    index = _read_json(path / INDEX_NAME)
    name, family = _pipeline_class(path, index)
    parts: dict[str, Part] = {}
    settings: dict[str, Any] = {}
    for key, value in index.items():
        if key.startswith("_"):
            continue
        if not key.isidentifier():  # it names a folder, and an argument of a class
            raise FolderError("folder.unreadable", file=INDEX_NAME)
        if not isinstance(value, list):
            settings[key] = value
        elif len(value) != 2 or value[0] is not None:  # noqa: PLR2004 - library and class
            parts[key] = _part(path, key, value, gguf.get(key))
    found = Folder(path, name, family, parts, settings)
    _check_parts(found)
    _check_gguf(found, gguf)
    return found


def _pipeline_class(path: Path, index: Mapping[str, Any]) -> tuple[str, Family]:
    name = index.get("_class_name")
    if isinstance(name, list):
        raise FolderError("folder.custom_code", path=str(path))
    if not isinstance(name, str):
        raise FolderError("folder.unreadable", file=INDEX_NAME)
    if name.endswith(("ModularPipeline", "Blocks")) or "_blocks_class_name" in index:
        raise FolderError("folder.modular", path=str(path))
    family = family_of(name)
    if family is None:
        raise FolderError("folder.unknown_class", name=name)
    return name, family


def _part(folder: Path, name: str, entry: list[Any], gguf: Path | None) -> Part:
    """Return a part that is there.

    Raises:
        FolderError: It is not, or not all of it; or it is code that comes with the folder.
    """
    if len(entry) != 2 or not all(isinstance(value, str) for value in entry):  # noqa: PLR2004 - library and class
        raise FolderError("folder.unreadable", file=INDEX_NAME)
    library, class_name = entry
    if library not in _LIBRARIES and not _of_diffusers(library):
        raise FolderError("folder.custom_code", path=str(folder))
    place = folder / name
    if not place.is_dir():
        raise FolderError("folder.part_missing", part=name, file=f"{name}/")
    if _WITHOUT_WEIGHTS.search(class_name):
        config = next((file for end, file in _CONFIGS.items() if class_name.endswith(end)), None)
        if (config is not None and not (place / config).is_file()) or not any(place.iterdir()):
            raise FolderError("folder.part_missing", part=name, file=f"{name}/{config or ''}")
        if config is not None:
            _read_json(place / config)
        if _TOKENIZER.search(class_name) and not _has_vocabulary(place):
            raise FolderError("folder.part_missing", part=name, file=f"{name}/tokenizer.json")
        return Part(name, library, class_name, place, ())
    if not (place / "config.json").is_file():
        raise FolderError("folder.part_missing", part=name, file=f"{name}/config.json")
    files = _weight_files(place, library) if gguf is None else (gguf,)
    part = Part(name, library, class_name, place, files)
    _ = part.config, part.tensors  # both raise where a file is damaged
    return part


def _has_vocabulary(place: Path) -> bool:
    return any(next(place.glob(pattern), None) for pattern in _VOCABULARIES)


def _of_diffusers(library: str) -> bool:
    """Return whether a library is one of the pipeline packages of diffusers itself."""
    spec = find_spec("diffusers")
    if spec is None or spec.origin is None or not library.isidentifier():
        return False
    return (Path(spec.origin).parent / "pipelines" / library).is_dir()


def _weight_files(place: Path, library: str) -> tuple[Path, ...]:
    """Return the files with a part's weights.

    Raises:
        FolderError: `folder.part_missing`, `folder.pickle` or `folder.unreadable`.
    """
    stem = _TRANSFORMERS_STEM if library == "transformers" else _STEM
    single, index = place / f"{stem}.safetensors", place / f"{stem}.safetensors.index.json"
    if single.is_file():
        return (single,)
    if index.is_file():
        shards = _read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise FolderError("folder.unreadable", file=f"{place.name}/{index.name}")
        names = sorted({str(shard) for shard in shards.values()})
        for name in names:
            # A path would lead out of the folder.
            if Path(name).name != name or not (place / name).is_file():
                raise FolderError(
                    "folder.part_missing", part=place.name, file=f"{place.name}/{name}"
                )
        return tuple(place / name for name in names)
    if any(next(place.glob(pattern), None) for pattern in _PICKLES):
        raise FolderError("folder.pickle", part=place.name)
    raise FolderError("folder.part_missing", part=place.name, file=f"{place.name}/{single.name}")


def _check_parts(folder: Folder) -> None:
    for name in ("vae", "scheduler", "tokenizer", "text_encoder"):
        if name not in folder.parts:
            raise FolderError("folder.part_missing", part=name, file=f"{name}/")
    if not {"transformer", "transformer_2"} & folder.parts.keys():
        raise FolderError("folder.part_missing", part="transformer", file="transformer/")
    wanted = {"transformer": folder.family.transformer, "transformer_2": folder.family.transformer}
    if any(
        part.class_name != wanted.get(name, part.class_name) for name, part in folder.parts.items()
    ):
        raise FolderError("folder.unreadable", file=INDEX_NAME)  # parts of another family
    _check_vae(folder.parts["vae"].config)
    boundary = folder.settings.get("boundary_ratio")
    if not (boundary is None or isinstance(boundary, int | float)):
        raise FolderError("folder.unreadable", file=INDEX_NAME)
    if boundary is not None:
        for name in ("transformer", "transformer_2"):
            if name not in folder.parts:
                raise FolderError("folder.part_missing", part=name, file=f"{name}/")


def _check_vae(vae: Mapping[str, Any]) -> None:
    channels = vae.get("z_dim", vae.get("latent_channels"))
    for name in ("latents_mean", "latents_std"):
        values = vae.get(name)
        if values is not None and not (isinstance(values, list) and len(values) == channels):
            raise FolderError("folder.unreadable", file="vae/config.json")
    factor = vae.get("scale_factor_spatial")
    if not (factor is None or (isinstance(factor, int) and factor > 0)):
        raise FolderError("folder.unreadable", file="vae/config.json")


def _check_gguf(folder: Folder, files: Mapping[str, Path]) -> None:
    for name, file in files.items():
        if name not in folder.parts:
            raise FolderError("gguf.no_part", file=file.name)
        if not folder.family.gguf:
            raise FolderError("gguf.not_supported", name=folder.pipeline_class)


def _read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises:
        FolderError: `folder.unreadable`.
    """
    name = path.name if path.name == INDEX_NAME else f"{path.parent.name}/{path.name}"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError("folder.unreadable", file=name) from error
    if not isinstance(found, dict):
        raise FolderError("folder.unreadable", file=name)
    return found
