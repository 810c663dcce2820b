"""Benchmark of the whole path from a request to the encoded file.

It imports PyAV and all other dependencies of Rushes, so import it only where they are installed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from benchmarks.opensora.job import ATTENTION_ROWS, TEXT_TOKENS, Case, Model, on_gpu
from inference.domain.spec import Aspect, Resolution, Size, Spec
from inference.domain.watermark import WatermarkSettings
from inference.engines.base import Inputs, Monitor
from inference.engines.built_in import NANO, OPENSORA
from inference.engines.opensora_adapter.engine import OpenSoraEngine
from inference.engines.opensora_adapter.stages import Loaded, ModelVariant
from inference.media.encode import ClipWriter
from inference.media.watermark import Stamp
from inference.opensora.pipeline import OpenSoraPipeline
from inference.opensora.text import TextEncoder
from inference.opensora.weight_swap import Resident

FPS = 24


def from_request_to_file(model: Model, case: Case) -> dict[str, Any]:
    """Render a clip with the engine and encode it, after a warm-up."""
    entry = OPENSORA if on_gpu(model) else NANO
    resolution = Resolution.P720 if on_gpu(model) else Resolution.P360
    engine = OpenSoraEngine(
        ModelVariant(
            capabilities=entry.capabilities,
            plans_memory=False,
            load=lambda _progress: _loaded(model),
            size=lambda _spec: case.size,
            weights=lambda _spec, _references: "weights",
        )
    )
    engine.load(lambda _fraction, _name: None)
    spec = Spec(
        prompt="a red ball",
        model=entry.capabilities.name,
        resolution=resolution,
        aspect=Aspect.WIDE,
        frames=case.frames,
        refine=False,
        seed=7,
        steps=model.steps,
        cfg=entry.capabilities.cfg.default,
        loops=1,
    )
    size = entry.capabilities.sizes[resolution, Aspect.WIDE]
    spec = entry.capabilities.fill_options(spec)
    _render(engine, replace(spec, steps=1), size)
    monitor = Monitor()
    begun = time.perf_counter()
    nbytes = _render(engine, spec, size, monitor)
    return {
        "seconds": time.perf_counter() - begun,
        **monitor.meter.seconds,
        "forwards": monitor.meter.forwards,
        "file bytes": nbytes,
    }


def _render(engine: OpenSoraEngine, spec: Spec, size: Size, monitor: Monitor | None = None) -> int:
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        stamp = Stamp.draw(WatermarkSettings(), size)
        with ClipWriter(path, size, {}, stamp, fps=FPS) as writer:
            for chunk in engine.render(spec, Inputs(), monitor or Monitor()):
                writer.write(chunk)
        return path.stat().st_size


def _loaded(model: Model) -> Loaded:
    device = model.transformer.device
    ids = list(range(TEXT_TOKENS))
    tokenizer: Any = lambda _text, **_how: SimpleNamespace(input_ids=ids)  # noqa: E731 - a stand-in
    return Loaded(
        pipeline=OpenSoraPipeline(
            transformer=model.transformer,
            vae=model.vae,
            text_encoder=TextEncoder(model.text, tokenizer),
            preset=model.preset,
            reference_preset=model.reference_preset,
            graphs=model.graphs,
        ),
        text=Resident(model.text, device),
        transformer=Resident(model.transformer, device),
        vae=Resident(model.vae, device),
        attention_rows=ATTENTION_ROWS if on_gpu(model) else None,
    )
