"""Compatibility check: a folder's parts are complete and belong to one model. No torch.

In folders that were assembled by hand, parts may be of different models. diffusers loads them, and
the first clip fails with an error of torch.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from inference.diffusers_pipelines.traits import DENOISERS
from inference.diffusers_pipelines.weights.bounds import check_bounds, is_number, is_whole
from inference.diffusers_pipelines.weights.folder import (
    GGUF_KEYS,
    INDEX_NAME,
    FolderError,
    value_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inference.diffusers_pipelines.traits import Family
    from inference.diffusers_pipelines.weights.folder import Folder, Part

_EVERYWHERE = ("vae", "scheduler", "tokenizer", "text_encoder")
_COLOURS = 3
_MOST_PIXELS = 128
"""Most pixels per latent pixel, along one side; real models have 32 at most."""
_WIDEST = 1280
"""Width of the widest clips that are offered, in pixels."""
_NAMES = ("_class_name", "model_type", "tokenizer_class")
"""Keys of configs with names of classes and models."""
_TOKENIZERS = re.compile("ByT5|T5|Gemma|Qwen2|CLIP")
"""How the names of tokenizers begin whose text encoders are known."""


def check_match(folder: Folder, gguf: Mapping[str, Path]) -> None:
    """Check the parts of a folder against its pipeline class and each other.

    Args:
        folder: Folder with all parts read.
        gguf: GGUF files that replace the weights of parts, by part.

    Raises:
        FolderError: `folder.part_missing`, `folder.wrong_part`, `folder.bad_value`, `gguf.*`.
    """
    family = folder.family
    _need(folder, *_EVERYWHERE, *family.needs.get(folder.pipeline_class, ()))
    if not any(name in folder.parts for name in DENOISERS):
        _need(folder, "transformer")
    if folder.looks_at_pictures:
        _need(folder, "image_encoder", "image_processor")
    check_bounds(folder)
    _check_settings(folder)
    _check_names(folder)
    _check_kinds(folder)
    _check_vae(folder)
    _check_patches(folder.parts["vae"])
    for name in DENOISERS:
        if name in folder.parts:
            _check_widths(folder, name)
            _check_positions(folder, folder.parts[name])
    _check_predictions(folder)
    _check_sound(folder)
    _check_gguf(folder, gguf)


def _need(folder: Folder, *names: str) -> None:
    for name in names:
        if name not in folder.parts:
            raise FolderError("folder.part_missing", part=name, file=f"{name}/")


def _wrong(folder: Folder, name: str) -> FolderError:
    return FolderError("folder.wrong_part", part=name, name=folder.pipeline_class)


def _check_names(folder: Folder) -> None:
    for part in folder.parts.values():
        for key in _NAMES:
            value = part.config.get(key)
            if not (value is None or isinstance(value, str)):
                raise value_error(part.config_file, key, value)


def _check_kinds(folder: Folder) -> None:
    """Check each part by itself: its class is one of the family's, and its files are of the class.

    Only then is it told which part is foreign where two do not fit.
    """
    family = folder.family
    classes = {**dict.fromkeys(DENOISERS, family.transformer), "vae": family.vae}
    for name in sorted(folder.parts, key=lambda name: (name not in classes, name)):
        part = folder.parts[name]
        if part.class_name != classes.get(name, part.class_name):
            raise _wrong(folder, name)
        if "Tokenizer" in part.class_name or "Processor" in part.class_name:
            fits = _is_tokenizer_of(part, family.kinds.get(name))
        elif name == "scheduler":
            fits = _is_scheduler_of(part, family)
        else:
            fits = part.class_name.startswith(family.kinds.get(name, ("",))) and _is_itself(part)
        if not fits:
            raise _wrong(folder, name)
    # Wan has two: TI2V-5B's compresses twice as much as that of all others.
    residual = folder.parts["vae"].config.get("is_residual", False)
    if family.vae == "AutoencoderKLWan" and residual is (not folder.serves_all):
        raise _wrong(folder, "vae")


def _is_itself(part: Part) -> bool:
    """Return whether a part's config is of the class that the index names for it.

    Transformers names only a type, with which the names of all classes of that model begin; that of
    a language model inside a larger one (Gemma3ForCausalLM) ends with `_text`.
    """
    config = part.config
    if part.library == "transformers":
        model_type = _plain(config.get("model_type"))
        if part.class_name.endswith("ForCausalLM"):
            model_type = model_type.removesuffix("text")
        return _plain(part.class_name).startswith(model_type)
    return config.get("_class_name") in {None, part.class_name}


def _plain(name: Any) -> str:
    return name.replace("_", "").lower() if isinstance(name, str) else ""


def _is_tokenizer_of(part: Part, kinds: tuple[str, ...] | None) -> bool:
    """Return whether a tokenizer fits a text encoder; unknown kinds are assumed to fit."""
    if kinds is None:
        return True
    names = (part.class_name, part.config.get("tokenizer_class"))
    found = [_TOKENIZERS.match(name) for name in names if isinstance(name, str)]
    return all(kind is None or kind[0] in kinds for kind in found)


def _is_scheduler_of(part: Part, family: Family) -> bool:
    """Return whether a scheduler's config is of its class, or of another one of the family."""
    config, names = part.config, family.schedulers
    own = config.get("_class_name")
    if own not in {None, part.class_name} and not any(
        str(own).startswith(name) and part.class_name.startswith(name) for name in names
    ):
        return False
    if not part.class_name.startswith(names) and not (
        "FlowMatch" in names and "use_flow_sigmas" in config
    ):
        return False
    return bool(config.get("invert_sigmas", False)) == family.inverts


def _check_predictions(folder: Folder) -> None:
    """Check that a transformer predicts as much as its scheduler takes.

    Distilled weights of Kandinsky predict several steps at once.
    """
    scheduler = folder.parts["scheduler"]
    channels = _latent_channels(folder.parts["vae"].config)
    taken = scheduler.config.get("n_grid", None if "Piflow" in scheduler.class_name else 1)
    if is_whole(channels) and is_whole(taken):
        for name in DENOISERS:
            if name in folder.parts and _differ(
                folder.parts[name].config.get("out_visual_dim"), channels * taken
            ):
                raise _wrong(folder, "scheduler")


def _check_sound(folder: Folder) -> None:
    """Check the parts for sound against the transformer, and each other.

    LTX-2 has spectrograms with a fourth of the bins, in two channels.
    """
    if not (folder.sound and "transformer" in folder.parts):
        return
    transformer, audio, vocoder = (
        folder.parts[name].config for name in ("transformer", "audio_vae", "vocoder")
    )
    bins, channels = audio.get("mel_bins"), audio.get("latent_channels")
    if not (is_whole(bins) and is_whole(channels)):
        return
    if _differ(transformer.get("audio_in_channels"), channels * bins // 4) or _differ(
        transformer.get("in_audio_dim"), channels
    ):
        raise _wrong(folder, "audio_vae")
    if _differ(vocoder.get("in_channels"), 2 * bins) or _differ(vocoder.get("num_mels"), bins):
        raise _wrong(folder, "vocoder")


def _check_settings(folder: Folder) -> None:
    """Check the pipeline's settings in the index."""
    for key in (folder.family.shared_if, "force_zeros_for_empty_prompt"):
        value = folder.settings.get(key or "")
        if not (value is None or isinstance(value, bool)):
            raise value_error(INDEX_NAME, str(key), value)
    boundary = folder.settings.get("boundary_ratio")
    damaged = value_error(INDEX_NAME, "boundary_ratio", boundary)
    if boundary is None:
        # Without a boundary, the second transformer would never be used.
        if folder.parts.keys() >= set(DENOISERS):
            raise damaged
        return
    if not (is_number(boundary) and 0 <= boundary <= 1):
        raise damaged
    _need(folder, *DENOISERS)


def _check_vae(folder: Folder) -> None:
    part = folder.parts["vae"]
    vae = part.config
    channels = _latent_channels(vae)
    for name, lowest in (("latents_mean", -math.inf), ("latents_std", 0)):
        values = vae.get(name)
        if values is None:
            continue
        if not (isinstance(values, list) and len(values) == channels):
            raise value_error(part.config_file, name, values)
        if not all(is_number(value) and lowest < value < math.inf for value in values):
            raise value_error(part.config_file, name, values)
    factor = vae.get("scaling_factor")  # latents are divided by it
    if not (factor is None or (is_number(factor) and factor > 0)):
        raise value_error(part.config_file, "scaling_factor", factor)
    for name in ("scale_factor_spatial", "spatial_compression_ratio"):
        factor = vae.get(name)
        if not (factor is None or (is_whole(factor) and 0 < factor <= _MOST_PIXELS)):
            raise value_error(part.config_file, name, factor)
    for name in ("scale_factor_temporal", "temporal_compression_ratio"):
        factor = vae.get(name)
        if not (factor is None or factor == folder.family.frames_per_latent):
            raise value_error(part.config_file, name, factor)


def _check_patches(part: Part) -> None:
    """Check that a Wan VAE takes as many channels as the pixels of a patch have colours."""
    patch = part.config.get("patch_size")
    side = 1 if patch is None else patch
    if part.class_name == "AutoencoderKLWan" and not (
        is_whole(side) and part.config.get("in_channels", _COLOURS) == _COLOURS * side**2
    ):
        raise value_error(part.config_file, "patch_size", patch)


def _latent_channels(vae: Mapping[str, Any]) -> Any:
    return vae.get("z_dim", vae.get("latent_channels"))


def _check_widths(folder: Folder, name: str) -> None:
    """Check a transformer's input widths against those of the VAE and the text encoder.

    Widths that a config does not have are not checked.
    """
    family, config = folder.family, folder.parts[name].config
    own = folder.pipeline_class if not folder.serves_all else family.text
    rule = family.channels.get(own or "")
    latent = _latent_channels(folder.parts["vae"].config)
    if rule is not None and _differ(
        config.get("in_channels"), rule.times * latent + rule.plus if is_whole(latent) else None
    ):
        raise _wrong(folder, name)
    for encoder, member in family.widths_of.items():
        if encoder in folder.parts and _differ(
            config.get(member), _width(folder.parts[encoder].config)
        ):
            raise _wrong(folder, encoder)


def _check_positions(folder: Folder, part: Part) -> None:
    """Check that a transformer has a position for each latent along the widest clips."""
    most = part.config.get("rope_max_seq_len")
    if not (most is None or (is_whole(most) and most >= _WIDEST // folder.multiple)):
        raise value_error(part.config_file, "rope_max_seq_len", most)


def _width(config: Mapping[str, Any]) -> Any:
    """Return the width of a text encoder's states."""
    inner = config.get("text_config")
    own = config.get("d_model", config.get("hidden_size"))
    return inner.get("hidden_size") if own is None and isinstance(inner, dict) else own


def _differ(one: Any, other: Any) -> bool:
    return is_whole(one) and is_whole(other) and one != other


def _check_gguf(folder: Folder, files: Mapping[str, Path]) -> None:
    for name, file in files.items():
        if name not in folder.parts:
            raise FolderError("gguf.no_part", file=file.name, key=GGUF_KEYS[name])
