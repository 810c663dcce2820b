"""Compatibility check: a folder's parts are complete and belong to one model. No torch.

In folders that were assembled by hand, parts may be of different models. diffusers loads them, and
the first clip fails with an error of torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inference.diffusers_engine.weights.folder import INDEX_NAME, FolderError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inference.diffusers_engine.weights.folder import Folder

TRANSFORMERS = ("transformer", "transformer_2")
_EVERYWHERE = ("vae", "scheduler", "tokenizer", "text_encoder")


def check_match(folder: Folder, gguf: Mapping[str, Path]) -> None:
    """Check the parts of a folder against its pipeline class and each other.

    Args:
        folder: Folder with all parts read.
        gguf: GGUF files that replace the weights of parts, by part.

    Raises:
        FolderError: `folder.part_missing`, `folder.wrong_part`, `folder.unreadable`, `gguf.*`.
    """
    family = folder.family
    _need(folder, *_EVERYWHERE, *family.needs.get(folder.pipeline_class, ()))
    if not any(name in folder.parts for name in TRANSFORMERS):
        _need(folder, "transformer")
    if folder.looks_at_pictures:
        _need(folder, "image_encoder", "image_processor")
    _check_settings(folder)
    classes = {"vae": family.vae, **dict.fromkeys(TRANSFORMERS, family.transformer)}
    for name, part in folder.parts.items():
        if part.class_name != classes.get(name, part.class_name):
            raise _wrong(folder, name)
    _check_vae(folder)
    for name in TRANSFORMERS:
        if name in folder.parts:
            _check_widths(folder, name)
    _check_gguf(folder, gguf)


def _need(folder: Folder, *names: str) -> None:
    for name in names:
        if name not in folder.parts:
            raise FolderError("folder.part_missing", part=name, file=f"{name}/")


def _wrong(folder: Folder, name: str) -> FolderError:
    return FolderError("folder.wrong_part", part=name, name=folder.pipeline_class)


def _check_settings(folder: Folder) -> None:
    """Check the pipeline's settings in the index."""
    shares = folder.settings.get(folder.family.shared_if or "")
    boundary = folder.settings.get("boundary_ratio")
    if not (shares is None or isinstance(shares, bool)):
        raise FolderError("folder.unreadable", file=INDEX_NAME)
    if boundary is None:
        # Without a boundary, the second transformer would never be used.
        if folder.parts.keys() >= set(TRANSFORMERS):
            raise FolderError("folder.unreadable", file=INDEX_NAME)
        return
    if not (_is_number(boundary) and 0 <= boundary <= 1):
        raise FolderError("folder.unreadable", file=INDEX_NAME)
    _need(folder, *TRANSFORMERS)


def _check_vae(folder: Folder) -> None:
    vae = folder.parts["vae"].config
    damaged = FolderError("folder.unreadable", file="vae/config.json")
    channels = _latent_channels(vae)
    for name, lowest in (("latents_mean", -math.inf), ("latents_std", 0)):
        values = vae.get(name)
        if values is None:
            continue
        if not (isinstance(values, list) and len(values) == channels):
            raise damaged
        if not all(_is_number(value) and lowest < value < math.inf for value in values):
            raise damaged
    for name in ("scale_factor_spatial", "spatial_compression_ratio"):
        factor = vae.get(name)
        if not (factor is None or (_whole(factor) and factor > 0)):
            raise damaged
    for name in ("scale_factor_temporal", "temporal_compression_ratio"):
        factor = vae.get(name)
        if not (factor is None or factor == folder.family.frames_per_latent):
            raise damaged


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
        config.get("in_channels"), rule.times * latent + rule.plus if _whole(latent) else None
    ):
        raise _wrong(folder, name)
    if family.text_width is not None and _differ(
        config.get(family.text_width), _text_width(folder.parts["text_encoder"].config)
    ):
        raise _wrong(folder, "text_encoder")


def _text_width(config: Mapping[str, Any]) -> Any:
    return config.get("d_model", config.get("hidden_size"))


def _differ(one: Any, other: Any) -> bool:
    return _whole(one) and _whole(other) and one != other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_gguf(folder: Folder, files: Mapping[str, Path]) -> None:
    for name, file in files.items():
        if name not in folder.parts:
            raise FolderError("gguf.no_part", file=file.name)
        if not folder.family.gguf:
            raise FolderError("gguf.not_supported", name=folder.pipeline_class)
