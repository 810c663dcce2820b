"""Loading of a folder's parts, with weights checked against their classes and progress in bytes."""

from __future__ import annotations

import importlib
import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from inference.device_errors import is_out_of_memory
from inference.diffusers_pipelines.weights.bounds import check_layers
from inference.diffusers_pipelines.weights.folder import (
    GGUF_KEYS,
    Folder,
    FolderError,
    Part,
    value_error,
)
from inference.diffusers_pipelines.weights.quantization import check_package, method_of
from inference.diffusers_pipelines.weights.suspects import bad_value, huge_value
from inference.diffusers_pipelines.weights.tensors import compare_tensors, mismatch_error
from inference.diffusers_pipelines.weights.vision_package import torchvision_error
from inference.diffusers_pipelines.weights.vocabularies import check_vocabularies
from inference.domain.errors import RushesError

LoadProgress = Callable[[int, int, str], None]
"""Called as (bytes done, bytes in all, part); may raise to stop."""

_GGUF = ".gguf"
_TRIAL_STEPS = 4


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
        with _counted(report):
            parts[name] = _load_part(part, dtypes.get(name, dtypes["default"]))
        done += part.size_bytes
    check_scheduler(folder, parts["scheduler"])
    on_progress(done, total, "")
    return parts


def check_scheduler(folder: Folder, scheduler: Any) -> None:
    """Check that a scheduler fits the family, and run it once, because it validates few settings.

    Raises:
        FolderError: `folder.wrong_part`; `folder.bad_value` or `folder.unreadable` for its config.
    """
    kind, file = type(scheduler), folder.parts["scheduler"].config_file
    damaged = FolderError("folder.unreadable", file=file)
    if not kind.__name__.startswith(folder.family.schedulers):
        if "use_flow_sigmas" not in inspect.signature(kind).parameters:
            raise FolderError("folder.wrong_part", part="scheduler", name=folder.pipeline_class)
        if not scheduler.config.use_flow_sigmas:
            raise value_error(file, "use_flow_sigmas", scheduler.config.use_flow_sigmas)
    wanted = "flow_prediction" if scheduler.config.get("use_flow_sigmas") else None
    wanted = folder.family.prediction or wanted
    predicted = scheduler.config.get("prediction_type")
    if wanted is not None and predicted != wanted:
        raise value_error(file, "prediction_type", predicted)
    if _strings_for_numbers(kind, scheduler.config):
        raise damaged
    required = {
        name
        for name, parameter in inspect.signature(scheduler.step).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    if required != {"model_output", "timestep", "sample"} or "n_grid" in scheduler.config:
        return  # the schedulers CogVideoXDPM and Piflow have other step arguments
    shifts = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}
    try:
        trial = kind.from_config(scheduler.config)
        trial.set_timesteps(_TRIAL_STEPS, **shifts)
        levels = getattr(trial, "sigmas", torch.zeros(1))
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError("levels of noise are shares")  # noqa: TRY301 - as what it raises itself
        sample = torch.zeros(1, 1, 1, 1, 1)
        for time in trial.timesteps:
            sample = trial.step(sample, time, sample, return_dict=False)[0]
    except Exception as error:
        raise damaged from error


def verify_scheduler(folder: Folder) -> None:
    """Load a folder's scheduler and check it.

    Raises:
        FolderError: `folder.wrong_part`, `folder.bad_value`, `folder.unreadable`,
            `folder.unknown_class`.
    """
    silence()
    check_scheduler(folder, _load_part(folder.parts["scheduler"], torch.float32))


def _strings_for_numbers(kind: Any, config: Mapping[str, Any]) -> bool:
    """Return whether a config has strings where its class has numbers.

    Many classes use such a value only in the first clip, where it would fail.
    """
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        usual, given = parameter.default, config.get(name)
        if isinstance(usual, int | float):
            if isinstance(given, str | dict):
                return True
        elif isinstance(usual, tuple | list) and all(isinstance(one, int | float) for one in usual):
            members = given if isinstance(given, tuple | list) else [given]
            if any(isinstance(one, str | dict) for one in members):
                return True
    return False


def find_class(part: Part) -> Any:
    """Return the class of a part.

    Raises:
        FolderError: `folder.unknown_class`, `folder.no_torchvision`.
    """
    if part.library in {"diffusers", "transformers"}:
        module: Any = importlib.import_module(part.library)
    else:
        module = importlib.import_module(f"diffusers.pipelines.{part.library}")
    try:
        found = getattr(module, part.class_name)
    except (AttributeError, ImportError, RuntimeError) as error:
        name = part.class_name
        unknown = FolderError("folder.unknown_class", name=name)
        raise torchvision_error(error, name) or unknown from error
    return found


def check_tensors(part: Part) -> None:
    """Compare the tensors in a part's files with those of its class, built on the meta device.

    diffusers does not report missing tensors and leaves them uninitialised. Networks of
    transformers may have other names in files than in memory, so only their size is compared here;
    loading compares the names.

    Raises:
        FolderError: `folder.mismatch`, `folder.extra_tensors`, `folder.unreadable`,
            `folder.bad_value`, `folder.no_package`.
    """
    kind = find_class(part)
    check_package(part)
    if too_large := huge_value(part, kind):
        raise too_large
    check_layers(part)
    try:
        with torch.device("meta"):
            if issubclass(kind, transformers.PreTrainedModel):
                model = kind(kind.config_class.from_dict(dict(part.config)))
                model.tie_weights()
            else:
                if _strings_for_numbers(kind, part.config):
                    raise ValueError(part.name)  # noqa: TRY301 - as what classes raise themselves
                model = kind.from_config(dict(part.config))
    except Exception as error:
        damaged = FolderError("folder.unreadable", file=f"{part.name}/config.json")
        raise bad_value(part, kind) or damaged from error
    compare_tensors(part, model)


def _load_part(part: Part, dtype: torch.dtype) -> Any:
    kind = find_class(part)
    place = str(part.path)  # diffusers does not accept Path
    if part.is_quantized:
        return _load_quantized(part, kind, dtype)
    try:
        if not part.is_network:
            return kind.from_pretrained(place, local_files_only=True)
        check_tensors(part)
        if method_of(part) == "bitsandbytes" and not torch.cuda.is_available():
            raise FolderError("folder.needs_gpu", part=part.name)  # noqa: TRY301
        model, info = kind.from_pretrained(
            place,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except RushesError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        damaged = FolderError("folder.unreadable", file=f"{part.name}/")
        known = torchvision_error(error, part.class_name) or bad_value(part, kind)
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
def _counted(report: Callable[[float], None]) -> Iterator[None]:
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


def silence() -> None:
    """Disable progress bars and warnings of the libraries, which may quote prompts."""
    for name in ("diffusers", "transformers", "accelerate", "peft", "torch"):
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
    for name in ("transformers", "diffusers"):
        logging: Any = importlib.import_module(f"{name}.utils.logging")
        logging.disable_progress_bar()
        logging.set_verbosity_error()


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
    return kind(**given)
