"""Loading of a folder's parts, with weights checked against their classes and progress in bytes."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn

from inference.device_errors import is_out_of_memory
from inference.diffusers_pipelines.weights.bad_values import bad_value
from inference.diffusers_pipelines.weights.classes import find_class, package_error, silence
from inference.diffusers_pipelines.weights.folder import GGUF_KEYS, Folder, FolderError, Part
from inference.diffusers_pipelines.weights.quantization import BITSANDBYTES, method_of
from inference.diffusers_pipelines.weights.tensors import mismatch_error
from inference.diffusers_pipelines.weights.trials import (
    check_scheduler,
    check_tensors,
    check_tokenizer,
)
from inference.diffusers_pipelines.weights.vocabularies import check_vocabularies
from inference.domain.errors import RushesError

LoadProgress = Callable[[int, int, str], None]
"""Called as (bytes done, bytes in all, part); may raise to stop."""

_GGUF = ".gguf"


def load_parts(
    folder: Folder, dtypes: Mapping[str, torch.dtype], on_progress: LoadProgress
) -> dict[str, Any]:
    """Read all parts of a folder into host memory; those of bitsandbytes go to the GPU at once.

    Args:
        folder: Folder, inspected.
        dtypes: Types by part; "default" for all others.
        on_progress: Called before each part, and within one after each of its files.

    Raises:
        FolderError: `folder.mismatch`, `folder.extra_tensors`, `folder.truncated`,
            `folder.unreadable`, `folder.bad_value`, `folder.wrong_part`, `folder.unknown_class`,
            `folder.no_torchvision`; `gguf.mismatch`.
    """
    parts: dict[str, Any] = {}
    total, done = folder.size_bytes, 0
    silence()
    check_vocabularies(folder)
    for name, part in folder.parts.items():

        def report(share: float, part: Part = part, done: int = done) -> None:
            on_progress(done + int(share * part.size_bytes), total, part.name)

        report(0.0)
        with _report_progress(report):
            parts[name] = _load_part(part, dtypes.get(name, dtypes["default"]))
        done += part.size_bytes
    check_scheduler(folder, parts["scheduler"])
    on_progress(done, total, "")
    return parts


def verify_scheduler(folder: Folder) -> None:
    """Load a folder's scheduler and check it.

    Raises:
        FolderError: `folder.wrong_part`, `folder.bad_value`, `folder.unreadable`,
            `folder.unknown_class`.
    """
    silence()
    check_scheduler(folder, _load_part(folder.parts["scheduler"], torch.float32))


def verify_tokenizers(folder: Folder) -> None:
    """Load a folder's tokenizers and try them.

    Raises:
        FolderError: `folder.bad_value`, `folder.unreadable`, `folder.unknown_class`,
            `folder.no_torchvision`.
    """
    silence()
    for name, part in folder.parts.items():
        if name.startswith("tokenizer"):
            _load_part(part, torch.float32)


def _load_part(part: Part, dtype: torch.dtype) -> Any:
    kind = find_class(part)
    place = str(part.path)  # diffusers does not accept Path
    if part.is_quantized:
        return _load_quantized(part, kind, dtype)
    try:
        if not part.is_network:
            made = kind.from_pretrained(place, local_files_only=True)
            if part.name.startswith("tokenizer"):
                check_tokenizer(part, made)
            return made
        check_tensors(part)
        if method_of(part) == BITSANDBYTES and not torch.cuda.is_available():
            raise FolderError("folder.needs_gpu", part=part.name)  # noqa: TRY301
        model, info = kind.from_pretrained(
            place,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            variant=part.variant,
            output_loading_info=True,
        )
    except RushesError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        damaged = FolderError("folder.unreadable", file=f"{part.name}/")
        known = package_error(error, part.class_name) or bad_value(part, kind)
        raise known or damaged from error
    missing = [str(name) for name in info.get("missing_keys", ())]
    wrong = [str(name[0]) for name in info.get("mismatched_keys", ())]
    if missing or wrong:
        raise mismatch_error(part, [*missing, *wrong])
    _check_tied(part, model)
    network: nn.Module = model
    return network.eval().requires_grad_(requires_grad=False)


def check_quantized(part: Part) -> None:
    """Verify a transformer in a GGUF file by loading it.

    Such files have the tensor names of other programs, which are only translated by loading.

    Raises:
        FolderError: `gguf.mismatch`, `folder.unknown_class`.
    """
    silence()
    _load_quantized(part, find_class(part), torch.bfloat16)


def _load_quantized(part: Part, kind: Any, dtype: torch.dtype) -> Any:
    """Load a transformer from a GGUF file, with the config of the folder.

    Raises:
        FolderError: `gguf.mismatch`: the file is another model's.
    """
    file = part.files[0]
    config: Any = diffusers.GGUFQuantizationConfig
    try:
        with _with_suffix(file) as known:
            network = kind.from_single_file(
                str(known),
                config=str(part.path.parent),
                subfolder=part.name,
                quantization_config=config(compute_dtype=dtype),
                dtype=dtype,
                local_files_only=True,
            )
        complete = not any(tensor.is_meta for tensor in network.state_dict().values())
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise FolderError(
            "gguf.mismatch", file=file.name, part=part.name, key=GGUF_KEYS[part.name]
        ) from error
    if not complete:
        raise FolderError("gguf.mismatch", file=file.name, part=part.name, key=GGUF_KEYS[part.name])
    found: nn.Module = network.eval().requires_grad_(requires_grad=False)
    return found


@contextmanager
def _with_suffix(file: Path) -> Iterator[Path]:
    """Yield a GGUF file under a name that diffusers takes for one: it goes by the ending."""
    if file.suffix == _GGUF:
        yield file
        return
    with tempfile.TemporaryDirectory() as place:
        link = Path(place) / f"weights{_GGUF}"
        link.symlink_to(file.resolve())
        yield link


def _check_tied(part: Part, model: Any) -> None:
    """Check that a T5's input embedding has the weights of the file.

    Early releases of transformers 5 silently left the embedding of UMT5 at random values.
    """
    shared, encoder = getattr(model, "shared", None), getattr(model, "encoder", None)
    embedding = getattr(encoder, "embed_tokens", None)
    if shared is None or embedding is None:
        return
    if embedding.weight.data_ptr() != shared.weight.data_ptr():
        raise mismatch_error(part, ["encoder.embed_tokens.weight"])


@contextmanager
def _report_progress(report: Callable[[float], None]) -> Iterator[None]:
    """Report the loaded share of a part, taken from the libraries' progress bars.

    diffusers counts files, and transformers counts tensors.
    """

    def count(iterable: Any, **_options: Any) -> Iterator[Any]:
        items = list(iterable)
        for number, item in enumerate(items):
            report(number / len(items))
            yield item

    modules: list[Any] = [
        importlib.import_module(name)
        for name in ("diffusers.utils.logging", "transformers.core_model_loading")
    ]
    bars = [(module, module.tqdm) for module in modules if hasattr(module, "tqdm")]
    for module, _ in bars:
        module.tqdm = count
    try:
        yield
    finally:
        for module, bar in bars:
            module.tqdm = bar


def make_pipeline(folder: Folder, parts: Mapping[str, Any], class_name: str) -> Any:
    """Create a pipeline of a class from loaded parts, without copies or casts.

    diffusers' `from_pipe` would cast the shared weights to fp32.
    """
    kind = getattr(diffusers, class_name)
    known = {**folder.settings, **parts}
    if class_name == folder.family.ends and folder.family.ends_scheduler:
        scheduler = parts["scheduler"]
        changes = folder.family.ends_scheduler
        known["scheduler"] = type(scheduler).from_config(scheduler.config, **changes)
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in known:
            given[name] = known[name]
        elif parameter.default is inspect.Parameter.empty:
            given[name] = None  # such as Wan's image encoder, removed in 2.2
    made = kind(**given)
    processor: Any = getattr(made, "video_processor", None)
    if hasattr(processor, "calculate_default_height_width"):
        processor.calculate_default_height_width = _own_size
    return made


def _own_size(height: int, width: int, **_options: Any) -> tuple[int, int]:
    """Return the size of a picture, which is that of the clip.

    HunyuanVideo-1.5 would make clips from images in the nearest size of a list.
    """
    return height, width
