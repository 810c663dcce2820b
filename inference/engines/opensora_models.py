"""Models of the Open-Sora architecture: nano, which ships, and the official checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from inference.domain.spec import Resolution, Spec
from inference.engines.opensora import Loaded, ModelVariant, OpenSoraEngine
from inference.engines.registry import NANO, OPENSORA, ModelOptions
from inference.engines.weights import I2V, T2V_360P, T2V_720P, TEXT_ENCODER, VAE, Checkpoint
from inference.engines.weights import folder as folder_of
from inference.opensora import checkpoint
from inference.opensora.checkpoint import LoadProgress, Placement
from inference.opensora.geometry import nano_size, official_size
from inference.opensora.pipeline import OpenSoraPipeline
from inference.opensora.preview import LatentPreview
from inference.opensora.weight_swap import ONLY, Resident

_ATTENTION_ROWS = 1024
"""Of the VAE, on a GPU: its kernels take no heads as wide, or are slow with them."""


def nano(_options: ModelOptions) -> OpenSoraEngine:
    """Make the engine of the small model that ships; it has no options."""
    return nano_from(Path(str(resources.files("inference").joinpath("weights", "nano"))))


def nano_from(folder: Path) -> OpenSoraEngine:
    """Make an engine from a folder of nano's three parts. It runs on the CPU."""

    def load(on_progress: LoadProgress) -> Loaded:
        pipeline = OpenSoraPipeline.load_nano(folder, on_progress)
        device = torch.device("cpu")
        return Loaded(
            pipeline=pipeline,
            text=Resident(pipeline.text_encoder.model, device),
            transformer=Resident(pipeline.transformer, device),
            vae=Resident(pipeline.vae, device),
            preview=LatentPreview.load(folder / "vae"),
        )

    return OpenSoraEngine(
        ModelVariant(
            name=NANO,
            load=load,
            size=lambda spec: nano_size(spec.aspect),
            weights=lambda _spec, _references: ONLY,
        )
    )


def official(options: ModelOptions) -> OpenSoraEngine:
    """Make the engine of Open-Sora v1.3 from the official checkpoints.

    Options: `compile` compiles the transformer's blocks, `attention_rows` is how many queries of
    the VAE's attention are looked at at a time (0: all of them); see `OpensoraTable`.
    """
    return OpenSoraEngine(
        ModelVariant(
            name=OPENSORA,
            load=partial(_load_official, options.directory, options.values),
            size=lambda spec: official_size(spec.resolution, spec.aspect),
            weights=_official_set,
        )
    )


def _official_set(spec: Spec, references: bool) -> str:  # noqa: FBT001 - the variant's signature
    if references:
        return I2V.source
    return (T2V_720P if spec.resolution is Resolution.P720 else T2V_360P).source


def _load_official(
    directory: Path | None, values: Mapping[str, Any], on_progress: LoadProgress
) -> Loaded:
    on_card = torch.cuda.is_available()
    device = torch.device("cuda" if on_card else "cpu")
    placement = Placement(dtype=torch.bfloat16 if on_card else torch.float32)
    parts = (T2V_360P, T2V_720P, I2V, VAE, TEXT_ENCODER)
    total = sum(part.parameters for part in parts)
    before = 0

    def load(part: Checkpoint, read: Callable[..., Any]) -> Any:
        nonlocal before
        begun = before

        def report(done: int, whole: int, name: str) -> None:
            share = part.parameters * done / max(whole, 1)
            on_progress(round(begun + share), total, name)

        found = read(folder_of(part, directory), placement, report)
        before += part.parameters
        return found

    first = load(T2V_360P, checkpoint.load_transformer)
    transformer = Resident(first, device, name=T2V_360P.source)
    for part in (T2V_720P, I2V):
        transformer.add(part.source, load(part, checkpoint.load_transformer))
    vae = load(VAE, checkpoint.load_vae)
    text_encoder = load(TEXT_ENCODER, checkpoint.load_text_encoder)
    if values.get("compile", False):
        first.compile_blocks()
    rows = values.get("attention_rows", _ATTENTION_ROWS if on_card else 0)
    return Loaded(
        pipeline=OpenSoraPipeline(transformer=first, vae=vae, text_encoder=text_encoder),
        text=Resident(text_encoder.model, device),
        transformer=transformer,
        vae=Resident(vae, device),
        attention_rows=rows or None,
    )
