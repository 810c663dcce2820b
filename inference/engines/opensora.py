"""Open-Sora engine.

One engine for all models of this architecture; `ModelVariant` says what is particular to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import structlog
import torch
from PIL import Image
from torch import Tensor, nn

from inference.device_errors import is_out_of_memory
from inference.domain.capabilities import Capabilities
from inference.domain.errors import EngineError
from inference.domain.spec import Size, Spec
from inference.engines.base import (
    Footprint,
    FrameChunk,
    Inputs,
    Monitor,
    ProgressCallback,
)
from inference.engines.device import available, cpu, probe
from inference.engines.geometry import SIZES
from inference.engines.memory import RESERVE_BYTES, Saving, memory_in_use, saving_for, saving_in
from inference.opensora.checkpoint import LoadProgress
from inference.opensora.controls import Aesthetic, Camera, Motion, Speed
from inference.opensora.geometry import CHUNK_LATENTS, PixelSize
from inference.opensora.latents_file import pack, unpack
from inference.opensora.networks import switch
from inference.opensora.networks.fp8 import is_supported
from inference.opensora.pipeline import Captions, ClipRequest, OpenSoraPipeline
from inference.opensora.preview import LatentPreview, PreviewFit
from inference.opensora.sampler import Estimate, Hooks
from inference.opensora.weight_swap import Resident

if TYPE_CHECKING:
    from inference.opensora.pipeline import Frames

Found = TypeVar("Found")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Networks of a model with their device."""

    pipeline: OpenSoraPipeline
    text: Resident
    transformer: Resident
    vae: Resident
    preview: LatentPreview | None = None
    """None if the VAE comes without one; it is then fitted to the clips that are made."""
    attention_rows: int | None = None
    """Queries of the VAE's attention at a time; None is all of them."""

    @property
    def device(self) -> torch.device:
        """Where they run."""
        return self.vae.device

    def footprint(self) -> Footprint:
        """Return what decides over their memory, of these very weights."""
        pipeline = self.pipeline
        config = pipeline.transformer.config
        return Footprint(
            text_bytes=_weight_bytes(self.text.module),
            transformer_bytes=_weight_bytes(self.transformer.module),
            transformer_sets=len(self.transformer.sets),
            vae_bytes=_weight_bytes(self.vae.module),
            hidden_size=config.hidden_size,
            layers=2 * config.depth,
            base_channels=pipeline.vae.config.decoder.base_channels,
            itemsize=pipeline.vae.dtype.itemsize,
            fused=self.device.type == "cuda" and switch.uses_kernels(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVariant:
    """Settings that differ between models of this architecture."""

    capabilities: Capabilities
    plans_memory: bool = True
    """Whether it may not fit where it runs."""
    load: Callable[[LoadProgress], Loaded]
    """Reads the weights."""
    size: Callable[[Spec], PixelSize]
    """Says at which size the model makes a clip; it is scaled to `SIZES` where that differs."""
    weights: Callable[[Spec, bool], str]
    """Names the transformer's set of weights for a pass, with or without given frames."""


class OpenSoraEngine:
    """Renders in three stages (text, sampling, decoding), each with only its weights loaded."""

    def __init__(self, variant: ModelVariant) -> None:
        self._variant = variant
        self._loaded: Loaded | None = None
        self._preview: LatentPreview | None = None
        self._fit = PreviewFit()
        self._fp8: bool | None = None
        """Whether the device multiplies FP8; None until somebody asks."""

    def load(self, on_progress: ProgressCallback) -> None:
        """Read the weights and warm up, so that the first job does not pay for it."""
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

        When memory runs out in spite of the plan, the stage it happened in is tried again with
        less of it, down to the most saving plan.
        """
        loaded = self._loaded
        if loaded is None:
            raise EngineError("model.not_loaded", name=spec.model)
        vocabulary = self._variant.capabilities.vocabulary
        if vocabulary is not None:
            spec = replace(
                spec,
                prompt=vocabulary.translated(spec.prompt),
                negative=spec.negative and vocabulary.translated_words(spec.negative),
            )
        spec, notes = self._at_speed(spec, monitor)
        meter = monitor.meter
        job = _RenderStages(loaded, self._variant, spec, monitor, self._preview)
        retry = _MemoryRetry(self._plan(spec, loaded))
        with meter.stage("text"):
            captions = retry.run(job.encode)
        with meter.stage("sample"):
            latents = retry.run(lambda saving: job.sample(captions, inputs, saving))
            if spec.frames > 1:
                monitor.keep(pack(latents))
        if captions.prompt.shortened:
            notes = ("shortened", *notes)
        size = SIZES[spec.resolution, spec.aspect]
        decoding = _Decoding(job, latents)
        learning = loaded.preview is None
        while True:
            with meter.stage("decode"):
                frames = retry.run(decoding.following)
                if frames is None:
                    return
                if learning:
                    self._learn_preview(latents, frames)
                    learning = False
                chunk = FrameChunk(frames=scaled(frames, size), notes=notes)
            yield chunk

    def _at_speed(self, spec: Spec, monitor: Monitor) -> tuple[Spec, tuple[str, ...]]:
        """Return what to render at a speed that the device has, and notes if it is another one."""
        if _speed(spec) is not Speed.FAST or self._multiplies_fp8():
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
        """Fit the map for previews to a clip's first frames: the next clip is drawn with it.

        A fit that does not work out is forgotten: no render fails for the lack of a preview.
        """
        try:
            clip = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1
            self._fit.add(latents[0, :, :CHUNK_LATENTS], clip)
            self._preview = self._fit.solve()
        except Exception as error:  # noqa: BLE001 - whatever the solver says, the clip is fine
            _log.warning("preview.not_fitted", error=type(error).__name__)
            self._fit, self._preview = PreviewFit(), None

    def _plan(self, spec: Spec, loaded: Loaded) -> Saving:
        """Decide how to render.

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


class _RenderStages:
    """Stages of one render, each repeatable with a stronger memory saving."""

    def __init__(
        self,
        loaded: Loaded,
        variant: ModelVariant,
        spec: Spec,
        monitor: Monitor,
        preview: LatentPreview | None,
    ) -> None:
        self._loaded = loaded
        self._variant = variant
        self._spec = spec
        self._monitor = monitor
        self._request = _request(spec, variant.size(spec))

        def on_step(done: int, total: int, estimate: Estimate) -> None:
            still = None if preview is None else lambda: preview.still(estimate())
            monitor.on_step(done, total, still)

        self._hooks = Hooks(
            on_step=on_step,
            check=monitor.cancel.raise_if_cancelled,
            before_pass=self._bring_weights,
            on_forwards=monitor.meter.count_forwards,
        )

    def encode(self, saving: Saving) -> Captions:
        """Encode the texts."""
        loaded = self._loaded
        if saving >= Saving.ALONE:
            loaded.transformer.leave()
        loaded.text.bring()
        captions = loaded.pipeline.encode(self._request)
        if saving >= Saving.TEXT_ASIDE:
            loaded.text.leave()
        return captions

    def sample(self, captions: Captions, inputs: Inputs, saving: Saving) -> Tensor:
        """Sample the latents."""
        loaded, pipeline = self._loaded, self._loaded.pipeline
        self._prepare(saving)
        pipeline.sequential = saving >= Saving.SEQUENTIAL
        latents = pipeline.sample(
            self._request,
            captions,
            image=_opened(inputs.image),
            last=_opened(inputs.last),
            previous=_kept(inputs.latents, self._request, pipeline),
            hooks=self._hooks,
        )
        if loaded.device.type == "cuda":
            torch.cuda.synchronize()  # so that the time counts for this stage
        return latents

    def decode(self, latents: Tensor, saving: Saving) -> Iterator[Frames]:
        """Decode the latents, from the first chunk on."""
        if saving >= Saving.ALONE:
            self._loaded.transformer.leave()
        self._prepare(saving)
        return self._loaded.pipeline.decode(latents, hooks=self._hooks)

    def _prepare(self, saving: Saving) -> None:
        loaded = self._loaded
        if saving >= Saving.TEXT_ASIDE:
            loaded.text.leave()
            if loaded.pipeline.graphs is not None:
                loaded.pipeline.graphs.clear()
        loaded.vae.bring()
        frames = 1 if saving >= Saving.ALONE else None
        loaded.pipeline.vae.work_in_slices(frames=frames, rows=loaded.attention_rows)

    def _bring_weights(self, references: bool) -> None:  # noqa: FBT001 - the hook's signature
        name = self._variant.weights(self._spec, references)
        transformer = self._loaded.transformer
        if not transformer.ready(name):
            with self._monitor.meter.stage("swap"):
                transformer.bring(name)


class _Decoding:
    """Chunked decoding that can resume after a retry."""

    def __init__(self, job: _RenderStages, latents: Tensor) -> None:
        self._job = job
        self._latents = latents
        self._chunks: Iterator[Frames] | None = None
        self._done = 0

    def following(self, saving: Saving) -> Frames | None:
        """Return the next frames, or None at the end."""
        chunks, self._chunks = self._chunks, None  # a decoder that fails is done with
        if chunks is None:
            chunks = islice(self._job.decode(self._latents, saving), self._done, None)
        frames = next(chunks, None)
        self._chunks = chunks
        self._done += 1
        return frames


class _MemoryRetry:
    """Retries a stage with the next memory saving after an out-of-memory error."""

    def __init__(self, saving: Saving) -> None:
        self._saving = saving

    def run(self, stage: Callable[[Saving], Found]) -> Found:
        """Run a stage.

        Raises:
            EngineError: `worker.out_of_memory`: with the most saving plan too.
        """
        while True:
            try:
                return stage(self._saving)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._saving is max(Saving):
                    raise EngineError("worker.out_of_memory") from None
            # Outside the handler, because the exception keeps the stage's tensors alive.
            self._saving = Saving(self._saving + 1)
            torch.cuda.empty_cache()


def _check_room(loaded: Loaded) -> None:
    """Check that the first network finds room on the card.

    Raises:
        EngineError: `memory.in_use`.
    """
    if loaded.device.type == "cpu":
        return
    free = available()
    if _weight_bytes(loaded.text.module) + RESERVE_BYTES > free.memory_bytes:
        raise memory_in_use(probe(), free)


def scaled(frames: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Scale frames [T, H, W, 3] with Lanczos so that they cover `size`, and cut what stands out."""
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


def _weight_bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _opened(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    with Image.open(path) as image:
        return image.convert("RGB")


def _kept(path: Path | None, request: ClipRequest, pipeline: OpenSoraPipeline) -> Tensor | None:
    """Read the latents to go on from.

    Raises:
        EngineError: `latents.unreadable`.
    """
    if path is None:
        return None
    channels = pipeline.transformer.config.in_channels
    try:
        return unpack(path, channels=channels, size=request.size)
    except ValueError as error:
        raise EngineError("latents.unreadable") from error


def _request(spec: Spec, size: PixelSize) -> ClipRequest:
    return ClipRequest(
        prompt=spec.prompt,
        size=size,
        frames=spec.frames,
        seed=spec.seed,
        steps=spec.steps,
        guidance=spec.cfg,
        fps=int(spec.options["fps"]),
        motion=_said(spec, "motion", Motion.OFF),
        aesthetic=_said(spec, "aesthetic", Aesthetic.OFF),
        camera=_said(spec, "camera", Camera.NONE),
        negative=spec.negative,
        loops=spec.loops,
        speed=_speed(spec),
    )


def _speed(spec: Spec) -> Speed:
    return Speed(str(spec.options.get("speed", Speed.EXACT)))


def _said(spec: Spec, name: str, nothing: str) -> str | None:
    """Return the words for a control, or None where the caption leaves it out."""
    value = str(spec.options[name])
    return None if value == nothing else value
