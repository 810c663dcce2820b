"""Trials of parts without their weights, because classes validate few values of their configs.

Networks are built on the meta device, schedulers are run and tokenizers are asked.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import nn

from inference.diffusers_pipelines.weights.bad_values import bad_value, defaults, huge_value
from inference.diffusers_pipelines.weights.bounds import check_layers
from inference.diffusers_pipelines.weights.classes import find_class
from inference.diffusers_pipelines.weights.folder import FolderError, value_error
from inference.diffusers_pipelines.weights.quantization import check_package
from inference.diffusers_pipelines.weights.tensors import compare_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.diffusers_pipelines.weights.folder import Folder, Part

_TRIAL_STEPS = 4
_TRIAL_TOKENS = 8
_TRIAL_LATENTS = 2
"""Frames of latents that a decoder is tried with."""
_TRIAL_SIDE = 4
"""Width and height of them."""
_COLOURS = 3
_ROUNDING = 1e-5
"""What a level of noise may be off by rounding: some shifts lead to slightly more than one."""


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
        model = _build_on_meta(part, kind, part.config)
    except Exception as error:
        damaged = FolderError("folder.unreadable", file=part.config_file)
        raise bad_value(part, kind) or _culprit(part, kind) or damaged from error
    try:
        compare_tensors(part, model)
    except FolderError as error:
        known = bad_value(part, kind) if error.code == "folder.mismatch" else None
        raise known or error from None


def _build_on_meta(part: Part, kind: Any, config: Mapping[str, Any]) -> nn.Module:
    """Return a network on the meta device, where it takes no memory; decoders are tried there."""
    with torch.device("meta"):
        if issubclass(kind, transformers.PreTrainedModel):
            model: Any = kind(kind.config_class.from_dict(dict(config)))
            model.tie_weights()
        else:
            if _strings_for_numbers(kind, config):
                raise ValueError(part.name)
            model = kind.from_config(dict(config))
    if part.name == "vae":
        with suppress(NotImplementedError):  # on this device
            _decode(model)
    found: nn.Module = model
    return found


def _decode(model: Any) -> None:
    """Decode latents on the meta device, where only shapes are computed.

    Raises:
        ValueError: What it makes are no frames.
    """
    config = model.config
    channels = config.get("z_dim", config.get("latent_channels", 1))
    given = {"temb": torch.zeros(1, device="meta")} if config.get("timestep_conditioning") else {}
    latents = torch.zeros(1, channels, _TRIAL_LATENTS, _TRIAL_SIDE, _TRIAL_SIDE, device="meta")
    with torch.no_grad():
        frames = model.decode(latents, **given, return_dict=False)[0]
    if frames.shape[1] != _COLOURS or frames.shape[-2] != frames.shape[-1]:
        raise ValueError(frames.shape)


def _culprit(part: Part, kind: Any) -> FolderError | None:
    """Return the error for the first value with whose default in its place a class works."""
    for name, usual in defaults(kind):
        if part.config.get(name, usual) == usual:
            continue
        with suppress(Exception):
            _build_on_meta(part, kind, {**part.config, name: usual})
            return value_error(part.config_file, name, part.config[name])
    return None


def check_tokenizer(part: Part, tokenizer: Any) -> None:
    """Let a tokenizer read a letter as pipelines do: padded, and cut to its longest text.

    Raises:
        FolderError: `folder.bad_value`: a token that is needed is null; `folder.unreadable`.
    """
    read = getattr(tokenizer, "tokenizer", tokenizer)  # a processor has one
    try:
        read(["a"], padding="max_length", max_length=_TRIAL_TOKENS, truncation=True)
        read(["a"], truncation=True)
    except Exception as error:
        damaged = FolderError("folder.unreadable", file=part.config_file)
        absent = (key for key in ("pad_token", "eos_token") if part.config.get(key, key) is None)
        known = next((value_error(part.config_file, key, None) for key in absent), damaged)
        raise known from error


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
        if not ((levels >= -_ROUNDING) & (levels <= 1 + _ROUNDING)).all():
            raise ValueError("levels of noise are shares")  # noqa: TRY301 - as what it raises itself
        sample = torch.zeros(1, 1, 1, 1, 1)
        for time in trial.timesteps:
            sample = trial.step(sample, time, sample, return_dict=False)[0]
    except Exception as error:
        raise damaged from error


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
