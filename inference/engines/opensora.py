"""Open-Sora behind the engine port: a spec in, frames of the asked size out."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from inference.engines.base import FrameChunk, Inputs, Monitor, ProgressCallback
from inference.engines.geometry import SIZES
from inference.engines.registry import ModelOptions
from inference.errors import EngineError
from inference.opensora.geometry import nano_size
from inference.opensora.keeping import pack, unpack
from inference.opensora.pipeline import ClipRequest, OpenSoraPipeline
from inference.opensora.preview import LatentPreview
from inference.opensora.sampler import Estimate, Hooks
from inference.spec import Aesthetic, Camera, Motion, Size, Spec


class NanoEngine:
    """The small model that ships. Its small frames are scaled up to the asked size."""

    def __init__(self, options: ModelOptions) -> None:
        if options.values:
            raise EngineError("model.bad_option", option=next(iter(options.values)), value="")
        self._pipeline: OpenSoraPipeline | None = None
        self._preview: LatentPreview | None = None

    def load(self, on_progress: ProgressCallback) -> None:
        """Read the weights from the package."""
        if self._pipeline is not None:
            return
        folder = Path(str(resources.files("inference").joinpath("weights", "nano")))

        def report(done: int, total: int, name: str) -> None:
            on_progress(done / total if total else 0.0, name)

        pipeline = OpenSoraPipeline.load_nano(folder, report)
        pipeline.text_encoder.encode("warm up")  # so that the first job does not pay for imports
        self._pipeline = pipeline
        self._preview = LatentPreview.load(folder / "vae")

    def render(self, spec: Spec, inputs: Inputs, monitor: Monitor) -> Iterator[FrameChunk]:
        """Yield the clip's frames at `SIZES`, scaled up from the model's own size."""
        pipeline, meter = self._pipeline, monitor.meter
        if pipeline is None:
            raise EngineError("model.not_loaded", name=spec.model)
        request = _request(spec)
        hooks = self._hooks(monitor)
        with meter.stage("text"):
            captions = pipeline.encode(request)
        with meter.stage("sample"):
            latents = pipeline.sample(
                request,
                captions,
                image=_opened(inputs.image),
                last=_opened(inputs.last),
                previous=_kept(inputs.latents, request, pipeline),
                hooks=hooks,
            )
        if request.frames > 1:
            monitor.keep(pack(latents))
        notes = ("shortened",) if captions.prompt.shortened else ()
        size = SIZES[spec.resolution, spec.aspect]
        decoded = pipeline.decode(latents, hooks=hooks)
        while True:
            with meter.stage("decode"):
                frames = next(decoded, None)
                if frames is None:
                    return
                chunk = FrameChunk(frames=scaled(frames, size), notes=notes)
            yield chunk

    def _hooks(self, monitor: Monitor) -> Hooks:
        preview = self._preview

        def on_step(done: int, total: int, estimate: Estimate) -> None:
            still = None if preview is None else lambda: preview.still(estimate())
            monitor.on_step(done, total, still)

        return Hooks(
            on_step=on_step,
            check=monitor.cancel.raise_if_cancelled,
            on_forwards=monitor.meter.count_forwards,
        )


def scaled(frames: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Scale frames [T, H, W, 3] with Lanczos so that they cover `size`, and cut what stands out."""
    height, width = frames.shape[1:3]
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


def _request(spec: Spec) -> ClipRequest:
    return ClipRequest(
        prompt=spec.prompt,
        size=nano_size(spec.aspect),
        frames=spec.frames,
        seed=spec.seed,
        steps=spec.steps,
        guidance=spec.cfg,
        fps=spec.fps,
        motion=None if spec.motion is Motion.OFF else spec.motion.value,
        aesthetic=None if spec.aesthetic is Aesthetic.OFF else spec.aesthetic.value,
        camera=None if spec.camera is Camera.NONE else spec.camera.value,
        negative=spec.negative,
        loops=spec.loops,
    )
