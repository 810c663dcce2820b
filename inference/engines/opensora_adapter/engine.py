"""Open-Sora engine, for all models of this architecture; `ModelVariant` has their differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import structlog
import torch
from PIL import Image
from torch import Tensor

from inference.domain.errors import EngineError
from inference.domain.spec import Size, Spec
from inference.engines.base import FrameChunk, Inputs, Monitor, ProgressCallback
from inference.engines.device import available, cpu, probe
from inference.engines.geometry import SIZES
from inference.engines.memory_plan import (
    RESERVE_BYTES,
    Saving,
    memory_in_use,
    saving_for,
    saving_in,
)
from inference.engines.opensora_adapter.stages import (
    Decoding,
    Loaded,
    MemoryRetry,
    ModelVariant,
    RenderStages,
    read_speed,
    weight_bytes,
)
from inference.opensora.controls import Speed
from inference.opensora.geometry import CHUNK_LATENTS
from inference.opensora.latents_file import pack
from inference.opensora.networks.fp8 import is_supported
from inference.opensora.preview import LatentPreview, PreviewFit

if TYPE_CHECKING:
    from inference.opensora.pipeline import Frames

_log = structlog.get_logger(__name__)


class OpenSoraEngine:
    """Engine that renders in three stages: text, sampling, decoding."""

    def __init__(self, variant: ModelVariant) -> None:
        self._variant = variant
        self._loaded: Loaded | None = None
        self._preview: LatentPreview | None = None
        self._fit = PreviewFit()
        self._fp8: bool | None = None
        """Whether the device supports FP8; None until it was first checked."""

    def load(self, on_progress: ProgressCallback) -> None:
        """Load the weights and warm up, so that the first job is as fast as the next."""
        if self._loaded is not None:
            return

        def report(done: int, total: int, name: str) -> None:
            on_progress(done / total if total else 0.0, name)

        loaded = self._variant.load(report)
        _check_room(loaded)
        loaded.text.bring()
        loaded.pipeline.text_encoder.encode("warm up")
        self._preview = loaded.preview
        self._loaded = loaded

    def render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[FrameChunk]:
        """Yield the clip's frames at `SIZES`.

        If memory runs out in spite of the plan, that stage is retried with the next saving, up to
        the last one.
        """
        loaded = self._loaded
        if loaded is None:
            raise EngineError("model.not_loaded", name=spec.model)
        vocabulary = self._variant.capabilities.vocabulary
        if vocabulary is not None:
            spec = replace(
                spec,
                prompt=vocabulary.translate(spec.prompt),
                negative=spec.negative and vocabulary.translate_words(spec.negative),
            )
        spec, notes = self._at_speed(spec, monitor)
        meter = monitor.meter
        job = RenderStages(loaded, self._variant, spec, monitor, self._preview)
        retry = MemoryRetry(self._plan(spec, loaded))
        with meter.stage("text"):
            captions = retry.run(job.encode)
        with meter.stage("sample"):
            latents = retry.run(lambda saving: job.sample(captions, inputs, saving))
            if spec.frames > 1:
                monitor.keep(pack(latents))
        if captions.prompt.shortened:
            notes = ("shortened", *notes)
        size = SIZES[spec.resolution, spec.aspect]
        decoding = Decoding(job, latents)
        learning = loaded.preview is None
        while True:
            with meter.stage("decode"):
                frames = retry.run(decoding.next_frames)
                if frames is None:
                    return
                if learning:
                    self._learn_preview(latents, frames)
                    learning = False
                chunk = FrameChunk(frames=scale_to_cover(frames, size), notes=notes)
            yield chunk

    def _at_speed(self, spec: Spec, monitor: Monitor) -> tuple[Spec, tuple[str, ...]]:
        """Return the spec at a speed that the device supports, with a note if it was changed."""
        if read_speed(spec) is not Speed.FAST or self._multiplies_fp8():
            return spec, ()
        _log.info("speed.no_fp8")
        monitor.instead("speed", Speed.BALANCED.value)
        options = {**spec.options, "speed": Speed.BALANCED.value}
        return replace(spec, options=options), ("no_fp8",)

    def _multiplies_fp8(self) -> bool:
        if self._fp8 is None and self._loaded is not None:
            self._fp8 = is_supported(self._loaded.device)
        return bool(self._fp8)

    def _learn_preview(self, latents: Tensor, frames: Frames) -> None:
        """Fit the preview map on a clip's first frames, for the clips after it.

        If the fit fails there are no previews; the render goes on without them.
        """
        try:
            clip = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1
            self._fit.add(latents[0, :, :CHUNK_LATENTS], clip)
            self._preview = self._fit.solve()
        except Exception as error:  # noqa: BLE001 - a solver's error must not fail the render
            _log.warning("preview.not_fitted", error=type(error).__name__)
            self._fit, self._preview = PreviewFit(), None

    def _plan(self, spec: Spec, loaded: Loaded) -> Saving:
        """Choose the memory plan of a render.

        Raises:
            UserError: `memory.*`: it does not fit.
            EngineError: `memory.in_use`.
        """
        known = self._variant.capabilities
        if not self._variant.plans_memory:
            return Saving.RESIDENT
        footprint = loaded.footprint()
        if loaded.device.type == "cpu":
            return saving_for(spec, known, footprint, cpu())
        return saving_in(spec, known, footprint, probe(), available())


def _check_room(loaded: Loaded) -> None:
    """Check that the GPU has room for the first network.

    Raises:
        EngineError: `memory.in_use`.
    """
    if loaded.device.type == "cpu":
        return
    free = available()
    if weight_bytes(loaded.text.module) + RESERVE_BYTES > free.memory_bytes:
        raise memory_in_use(probe(), free)


def scale_to_cover(frames: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Scale frames [T, H, W, 3] with Lanczos to cover `size`, and crop the centre."""
    height, width = frames.shape[1:3]
    if (width, height) == (size.width, size.height):
        return frames
    factor = max(size.width / width, size.height / height)
    box_width, box_height = size.width / factor, size.height / factor
    left, top = (width - box_width) / 2, (height - box_height) / 2
    box = (left, top, left + box_width, top + box_height)
    shape = (size.width, size.height)
    return np.stack(
        [
            np.asarray(Image.fromarray(frame).resize(shape, Image.Resampling.LANCZOS, box=box))
            for frame in frames
        ]
    )
