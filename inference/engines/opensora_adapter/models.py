"""Factories of Open-Sora engines: the bundled nano model, and the official checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import structlog
import torch

from inference.domain.capabilities import Capabilities
from inference.domain.spec import Resolution, Spec
from inference.engines.entry import ModelOptions
from inference.engines.opensora_adapter.engine import OpenSoraEngine
from inference.engines.opensora_adapter.stages import Loaded, ModelVariant
from inference.engines.weights import I2V, T2V_360P, T2V_720P, TEXT_ENCODER, VAE, Checkpoint
from inference.engines.weights import folder as folder_of
from inference.opensora import checkpoint
from inference.opensora.checkpoint import LoadProgress, Placement
from inference.opensora.geometry import nano_size, official_size
from inference.opensora.graphs import CudaRecorder, GraphCache
from inference.opensora.networks.backends import choose_kernels, require_fused_attention
from inference.opensora.pipeline import OpenSoraPipeline
from inference.opensora.preview import LatentPreview
from inference.opensora.weight_swap import ONLY, Resident

_log = structlog.get_logger(__name__)

_ATTENTION_ROWS = 1024
"""Queries of the VAE's attention at a time on a GPU, whose fused kernels lack such wide heads."""


def nano(options: ModelOptions) -> OpenSoraEngine:
    """Create the engine of the bundled nano model."""
    shipped = Path(str(resources.files("inference").joinpath("weights", "nano")))
    return nano_from(shipped, options.capabilities)


def nano_from(folder: Path, capabilities: Capabilities) -> OpenSoraEngine:
    """Create a CPU engine from a folder with nano's three networks."""

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
            capabilities=capabilities,
            plans_memory=False,
            load=load,
            size=lambda spec: nano_size(spec.aspect),
            weights=lambda _spec, _references: ONLY,
        )
    )


def official(options: ModelOptions) -> OpenSoraEngine:
    """Create the engine of Open-Sora v1.3 from the official checkpoints.

    `options.values` may hold `attention_rows`; see `OpensoraTable`.
    """
    return OpenSoraEngine(
        ModelVariant(
            capabilities=options.capabilities,
            load=partial(_load_official, options.directory, options.values),
            size=lambda spec: official_size(spec.resolution, spec.aspect),
            weights=_official_set,
        )
    )


def _log_refused(error: RuntimeError) -> None:
    _log.warning("graph.not_recorded", error=type(error).__name__)


def _official_set(spec: Spec, references: bool) -> str:  # noqa: FBT001 - the variant's signature
    if references:
        return I2V.source
    return (T2V_720P if spec.resolution is Resolution.P720 else T2V_360P).source


def _load_official(
    directory: Path | None, values: Mapping[str, Any], on_progress: LoadProgress
) -> Loaded:
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    placement = Placement(dtype=torch.bfloat16 if on_gpu else torch.float32)
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
    records = on_gpu and torch.backends.cuda.is_built()  # type: ignore[no-untyped-call]  # a dry run has no GPU
    if on_gpu:
        choose_kernels(device, first.config)
        require_fused_attention(device, first.config)
    rows = values.get("attention_rows", _ATTENTION_ROWS if on_gpu else 0)
    return Loaded(
        pipeline=OpenSoraPipeline(
            transformer=first,
            vae=vae,
            text_encoder=text_encoder,
            graphs=GraphCache(CudaRecorder(), on_refused=_log_refused) if records else None,
        ),
        text=Resident(text_encoder.model, device),
        transformer=transformer,
        vae=Resident(vae, device),
        attention_rows=rows or None,
    )
