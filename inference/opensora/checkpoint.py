"""Loading of weights from a folder or the Hugging Face cache.

Networks are built without memory (on the meta device) and take the file's tensors one by one, so
that loading needs the memory of the weights once. Every key and shape is compared with the network
before anything is read.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from inference.device_errors import is_out_of_memory
from inference.opensora.config import TransformerConfig, VaeConfig
from inference.opensora.files import CONFIG_NAME, TOKENIZER_NAMES, CheckpointError, weight_files
from inference.opensora.networks.transformer import STDiT3
from inference.opensora.networks.vae import VideoVae
from inference.opensora.text import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, T5EncoderModel

LoadProgress = Callable[[int, int, str], None]
"""Called with (bytes read, bytes in all, name of the part) after every tensor."""

Config = TypeVar("Config")

_SHOWN_DIFFERENCES = 5
_FIXED_PRECISION = frozenset({"rope.freqs"})
"""Buffers that stay fp32 whatever the weights are: rounding them moves every position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Device and precision of loaded weights."""

    device: str = "cpu"
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Allowed differences between a folder's keys and a network's."""

    zero_if_missing: tuple[str, ...] = ()
    """Prefixes of keys that may be absent; their tensors are zero then."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Keys that may be absent because another key holds the same tensor."""
    ignore: tuple[str, ...] = ()
    """Prefixes of extra keys in the folder that are not loaded."""


_TRANSFORMER_TOLERANCE = Tolerance(zero_if_missing=("x_embedder_cond.", "x_embedder_cond_mask."))
_TEXT_TOLERANCE = Tolerance(
    aliases={"encoder.embed_tokens.weight": "shared.weight"}, ignore=("decoder.", "lm_head.")
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor of a checkpoint, not read yet."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    @classmethod
    def zero(cls, shape: tuple[int, ...]) -> _Entry:
        return cls(shape, lambda: torch.zeros(shape))


def load_transformer(
    folder: Path, placement: Placement | None = None, on_progress: LoadProgress | None = None
) -> STDiT3:
    """Load an STDiT3 checkpoint.

    Text-to-video files may lack the reference embedding, which they do not use; it is zero then.

    Raises:
        CheckpointError: The checkpoint cannot be used; see its codes.
    """
    model = _empty_transformer(folder)
    fill(model, folder, placement or Placement(), on_progress, _TRANSFORMER_TOLERANCE)
    return model


def load_vae(
    folder: Path, placement: Placement | None = None, on_progress: LoadProgress | None = None
) -> VideoVae:
    """Load a v1.3 VAE checkpoint.

    Raises:
        CheckpointError: The checkpoint cannot be used; see its codes.
    """
    model = _empty_vae(folder)
    fill(model, folder, placement or Placement(), on_progress)
    for module in model.modules():
        # convolution kernels prefer this layout, on CPUs and GPUs
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.contiguous(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.contiguous(memory_format=torch.channels_last)
    return model


def load_text_encoder(
    folder: Path, placement: Placement | None = None, on_progress: LoadProgress | None = None
) -> TextEncoder:
    """Load a T5 encoder (or the encoder half of a full T5) and the tokenizer beside it.

    Raises:
        CheckpointError: The checkpoint cannot be used; see its codes.
    """
    model = _empty_text_encoder(folder)
    fill(model, folder, placement or Placement(), on_progress, _TEXT_TOLERANCE)
    # Both names are one embedding table. Where a file has two different ones, the encoder's counts:
    # nano was trained with it.
    model.shared = model.encoder.embed_tokens
    return TextEncoder(model, _tokenizer(folder))


def verify_transformer(folder: Path) -> None:
    """Compare a transformer folder's keys, shapes and file lengths with the network.

    No weights are read.

    Raises:
        CheckpointError: The checkpoint cannot be used; see its codes.
    """
    _verify(_empty_transformer(folder), folder, _TRANSFORMER_TOLERANCE)


def verify_vae(folder: Path) -> None:
    """Compare a VAE folder's keys, shapes and file lengths with the network.

    Raises:
        CheckpointError: The checkpoint cannot be used; see its codes.
    """
    _verify(_empty_vae(folder), folder, Tolerance())


def verify_text_encoder(folder: Path) -> None:
    """Compare a text encoder folder's keys, shapes and file lengths; load its tokenizer.

    Raises:
        CheckpointError: The checkpoint cannot be used; see its codes.
    """
    _verify(_empty_text_encoder(folder), folder, _TEXT_TOLERANCE)
    _tokenizer(folder)


def _empty_transformer(folder: Path) -> STDiT3:
    config = read_config(folder, TransformerConfig.from_dict)
    with torch.device("meta"):
        return STDiT3(config)


def _empty_vae(folder: Path) -> VideoVae:
    config = read_config(folder, VaeConfig.from_dict)
    with torch.device("meta"):
        return VideoVae(config)


def _empty_text_encoder(folder: Path) -> T5EncoderModel:
    from transformers import T5Config, T5EncoderModel  # noqa: PLC0415 - takes seconds

    config = read_config(folder, T5Config.from_dict)
    with torch.device("meta"):
        return T5EncoderModel(config)


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds

    # without these files transformers silently builds an empty tokenizer
    if not any((folder / name).is_file() for name in TOKENIZER_NAMES):
        raise CheckpointError("checkpoint.missing", source=str(folder), files=list(TOKENIZER_NAMES))
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
    except (OSError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            "checkpoint.unreadable", source=str(folder), file="tokenizer", reason=str(error)
        ) from error
    return tokenizer


def read_config(folder: Path, parse: Callable[[dict[str, Any]], Config]) -> Config:
    """Read a folder's `config.json`.

    Raises:
        CheckpointError: `checkpoint.missing` or `checkpoint.unreadable`.
    """
    path = folder / CONFIG_NAME
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CheckpointError("checkpoint.missing", source=str(path)) from error
    except PermissionError as error:
        raise CheckpointError(
            "checkpoint.no_permission", source=folder.name, path=str(path)
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            "checkpoint.unreadable", source=str(path), reason=str(error)
        ) from error


def fill(
    model: nn.Module,
    folder: Path,
    placement: Placement,
    on_progress: LoadProgress | None = None,
    tolerance: Tolerance | None = None,
) -> None:
    """Load a folder's weights into a network on the meta device, and freeze it for inference.

    Args:
        model: Built under `torch.device("meta")`; all its tensors are in its state dict.
        folder: Holds `model.safetensors` or `pytorch_model.bin`, whole or in shards with an index.
        placement: Device and precision of the weights.
        on_progress: Called after every tensor.
        tolerance: Allowed differences between the folder and the network.

    Raises:
        CheckpointError: The checkpoint cannot be used; see its codes.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    with _opened(folder) as stored:
        entries = _match_entries(folder, shapes, stored, tolerance or Tolerance())
        sizes = {name: entry_bytes(shape, placement.dtype) for name, shape in shapes.items()}
        state: dict[str, Tensor] = {}
        done, total = 0, sum(sizes.values())
        for name in shapes:
            state[name] = _place(folder, name, entries[name], placement)
            done += sizes[name]
            if on_progress is not None:
                on_progress(done, total, name)
    model.load_state_dict(state, assign=True)
    if left := [name for name, tensor in _tensors(model) if tensor.is_meta]:
        raise CheckpointError("checkpoint.mismatch", source=str(folder), missing=left)
    model.requires_grad_(requires_grad=False).eval()


def _verify(model: nn.Module, folder: Path, tolerance: Tolerance) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    with _opened(folder) as stored:
        _match_entries(folder, shapes, stored, tolerance)


def _match_entries(
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, _Entry],
    tolerance: Tolerance,
) -> dict[str, _Entry]:
    """Return the checkpoint entry for each tensor of the network.

    Raises:
        CheckpointError: `checkpoint.mismatch`.
    """
    entries = {key: entry for key, entry in stored.items() if not key.startswith(tolerance.ignore)}
    for name, other in tolerance.aliases.items():
        if other in entries:
            entries.setdefault(name, entries[other])
    for name in shapes.keys() - entries.keys():
        if name.startswith(tolerance.zero_if_missing):
            entries[name] = _Entry.zero(shapes[name])
    _compare(folder, shapes, entries)
    return entries


def entry_bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Return the bytes of a tensor once it is loaded."""
    return torch.Size(shape).numel() * dtype.itemsize


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _place(folder: Path, name: str, entry: _Entry, placement: Placement) -> Tensor:
    dtype = torch.float32 if name in _FIXED_PRECISION else placement.dtype
    tensor = entry.read().to(placement.device, dtype)
    if not tensor.isfinite().all():
        raise CheckpointError("checkpoint.mismatch", source=str(folder), not_finite=name)
    return tensor


def _compare(
    folder: Path, shapes: Mapping[str, tuple[int, ...]], entries: Mapping[str, _Entry]
) -> None:
    """Raise `checkpoint.mismatch` with the first differences between a network and a folder."""
    differences = {
        "missing": [name for name in shapes if name not in entries],
        "unexpected": [name for name in entries if name not in shapes],
        "wrong_shape": [
            f"{name}: {entries[name].shape} instead of {shape}"
            for name, shape in shapes.items()
            if name in entries and entries[name].shape != shape
        ],
    }
    count = sum(len(names) for names in differences.values())
    if count:
        shown: dict[str, Any] = {
            kind: names[:_SHOWN_DIFFERENCES] for kind, names in differences.items() if names
        }
        raise CheckpointError("checkpoint.mismatch", source=str(folder), count=count, **shown)


@contextmanager
def _opened(folder: Path) -> Iterator[dict[str, _Entry]]:
    """Open all weight files of a folder, as entries by key."""
    entries: dict[str, _Entry] = {}
    with ExitStack() as stack:
        for path in weight_files(folder):
            try:
                if path.suffix == ".safetensors":
                    entries |= _safetensors_entries(path, stack)
                else:
                    entries |= _pickle_entries(path)
            except PermissionError as error:
                raise CheckpointError(
                    "checkpoint.no_permission", source=folder.name, path=str(path)
                ) from error
            except (
                OSError,
                SafetensorError,
                pickle.UnpicklingError,
                RuntimeError,
                EOFError,
            ) as error:
                if is_out_of_memory(error):  # not a damaged file
                    raise
                raise CheckpointError(
                    "checkpoint.unreadable", source=str(path), reason=str(error)
                ) from error
        yield entries


def _safetensors_entries(path: Path, stack: ExitStack) -> dict[str, _Entry]:
    file = stack.enter_context(safe_open(path, framework="pt"))
    return {
        key: _Entry(tuple(file.get_slice(key).get_shape()), partial(file.get_tensor, key))
        for key in file.keys()  # noqa: SIM118 - not a mapping
    }


def _pickle_entries(path: Path) -> dict[str, _Entry]:
    tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    return {key: _Entry(tuple(tensor.shape), tensor.clone) for key, tensor in tensors.items()}
