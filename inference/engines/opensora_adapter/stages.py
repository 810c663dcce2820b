"""Stages of a render with Open-Sora, which are retried with less memory if it runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from inference.device_errors import is_out_of_memory
from inference.domain.capabilities import Capabilities
from inference.domain.errors import EngineError
from inference.domain.spec import Spec
from inference.engines.base import Footprint, Inputs, Monitor
from inference.engines.memory_plan import Saving
from inference.opensora.checkpoint import LoadProgress
from inference.opensora.controls import Aesthetic, Camera, Motion, Speed
from inference.opensora.geometry import PixelSize
from inference.opensora.latents_file import unpack
from inference.opensora.networks import switch
from inference.opensora.pipeline import Captions, ClipRequest, OpenSoraPipeline
from inference.opensora.preview import LatentPreview
from inference.opensora.sampler import Estimate, Hooks
from inference.opensora.weight_swap import Resident

if TYPE_CHECKING:
    from inference.opensora.pipeline import Frames

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Loaded networks of a model."""

    pipeline: OpenSoraPipeline
    text: Resident
    transformer: Resident
    vae: Resident
    preview: LatentPreview | None = None
    """Preview map of the VAE; None until one is fitted on a finished clip."""
    attention_rows: int | None = None
    """Queries of the VAE's attention at a time; None is all of them."""

    @property
    def device(self) -> torch.device:
        """Device on which the networks run."""
        return self.vae.device

    def footprint(self) -> Footprint:
        """Return the memory footprint of the loaded networks."""
        pipeline = self.pipeline
        config = pipeline.transformer.config
        return Footprint(
            text_bytes=weight_bytes(self.text.module),
            transformer_bytes=weight_bytes(self.transformer.module),
            transformer_sets=len(self.transformer.sets),
            vae_bytes=weight_bytes(self.vae.module),
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
    """Whether memory is planned; not needed for nano, which fits everywhere."""
    load: Callable[[LoadProgress], Loaded]
    """Loads the networks."""
    size: Callable[[Spec], PixelSize]
    """Returns the size at which the model renders a spec; results are scaled to `SIZES`."""
    weights: Callable[[Spec, bool], str]
    """Returns the transformer's weight set for a pass, with or without reference frames."""


class RenderStages:
    """Stages of one render; each can be retried with more memory saving."""

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
            torch.cuda.synchronize()  # so that the time is measured in this stage
        return latents

    def decode(self, latents: Tensor, saving: Saving) -> Iterator[Frames]:
        """Decode the latents, yielding frames in chunks."""
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


class Decoding:
    """Decoding in chunks that resumes at the failed chunk after a retry."""

    def __init__(self, job: RenderStages, latents: Tensor) -> None:
        self._job = job
        self._latents = latents
        self._chunks: Iterator[Frames] | None = None
        self._done = 0

    def next_frames(self, saving: Saving) -> Frames | None:
        """Return the next frames, or None at the end."""
        chunks, self._chunks = self._chunks, None  # a generator that raised cannot resume
        if chunks is None:
            chunks = islice(self._job.decode(self._latents, saving), self._done, None)
        frames = next(chunks, None)
        self._chunks = chunks
        self._done += 1
        return frames


class MemoryRetry:
    """Retries a stage with the next memory saving after an out-of-memory error."""

    def __init__(self, saving: Saving) -> None:
        self._saving = saving

    def run(self, stage: Callable[[Saving], Found]) -> Found:
        """Run a stage.

        Raises:
            EngineError: `worker.out_of_memory`: memory ran out even with the last saving.
        """
        while True:
            try:
                return stage(self._saving)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._saving is max(Saving):
                    raise EngineError("worker.out_of_memory") from None
            # Outside the `except`, because the exception keeps the stage's tensors alive.
            self._saving = Saving(self._saving + 1)
            torch.cuda.empty_cache()


def weight_bytes(module: nn.Module) -> int:
    """Return the bytes of a network's weights."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _opened(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    with Image.open(path) as image:
        return image.convert("RGB")


def _kept(path: Path | None, request: ClipRequest, pipeline: OpenSoraPipeline) -> Tensor | None:
    """Read the latents of the clip to extend.

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
        motion=_caption_word(spec, "motion", Motion.OFF),
        aesthetic=_caption_word(spec, "aesthetic", Aesthetic.OFF),
        camera=_caption_word(spec, "camera", Camera.NONE),
        negative=spec.negative,
        loops=spec.loops,
        speed=read_speed(spec),
    )


def read_speed(spec: Spec) -> Speed:
    """Return the speed setting of a spec."""
    return Speed(str(spec.options.get("speed", Speed.EXACT)))


def _caption_word(spec: Spec, name: str, nothing: str) -> str | None:
    """Return the caption's words for an option, or None if the caption leaves it out."""
    value = str(spec.options[name])
    return None if value == nothing else value
