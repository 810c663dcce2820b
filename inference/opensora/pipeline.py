"""Open-Sora pipeline: encodes a request's text, samples latents and decodes frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inference.device_errors import not_finite
from inference.opensora import checkpoint
from inference.opensora.conditioning import (
    ReferenceKind,
    continue_clip,
    fit_image,
    place_references,
    to_pixels,
    to_uint8,
)
from inference.opensora.controls import Speed
from inference.opensora.geometry import (
    CHUNK_LATENTS,
    IMAGE_FPS,
    PixelSize,
    latent_frames,
    latent_size,
    schedule_ratio,
    timesteps,
)
from inference.opensora.networks import winograd
from inference.opensora.networks.fp8 import use_fp8
from inference.opensora.presets import NANO, OFFICIAL_I2V, OFFICIAL_T2V, SamplingPreset
from inference.opensora.prompts import suffix
from inference.opensora.sampler import Estimate, Hooks, References, Sampler, branch_conditions

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from inference.opensora.graphs import GraphCache
    from inference.opensora.networks.transformer import STDiT3
    from inference.opensora.networks.vae import VideoVae
    from inference.opensora.text import EncodedCaption, TextEncoder

    Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRequest:
    """Request for one clip or image."""

    prompt: str
    size: PixelSize
    """Requested size (`geometry.official_size`); the result has `compute_decoded_size`."""
    frames: int
    """Frames per pass: 1 for an image, else 16n + 1."""
    seed: int
    steps: int | None = None
    """Sampling steps; None is the preset's."""
    guidance: float | None = None
    """Guidance scale of the prompt; None is the preset's."""
    fps: float = 24
    """Frames per second to condition on: lower makes things move faster. Ignored for images."""
    motion: str | None = None
    aesthetic: str | None = None
    camera: str | None = None
    negative: str | None = None
    loops: int = 1
    """Number of passes; each continues the last chunk of the one before."""
    speed: Speed = Speed.EXACT
    """How much quality may be traded for time."""

    def suffix(self) -> str:
        """Caption suffix for the request's options; images have neither motion nor camera."""
        moving = self.frames > 1
        return suffix(
            self.prompt,
            aesthetic=self.aesthetic,
            motion=self.motion if moving else None,
            camera=self.camera if moving else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """The encoded texts of a request."""

    prompt: EncodedCaption
    negative: EncodedCaption | None = None


class OpenSoraPipeline:
    """Text-to-video and image-to-video pipeline of transformer, VAE and text encoder.

    The networks may be on different devices and in different precisions, and may be moved between
    calls: `encode` needs only the text encoder, `sample` the transformer (and for an image the
    VAE), `decode` the VAE. Not thread-safe.
    """

    def __init__(
        self,
        *,
        transformer: STDiT3,
        vae: VideoVae,
        text_encoder: TextEncoder,
        preset: SamplingPreset = OFFICIAL_T2V,
        reference_preset: SamplingPreset = OFFICIAL_I2V,
        graphs: GraphCache | None = None,
    ) -> None:
        """Create a pipeline from loaded networks.

        Args:
            transformer: Denoising network. `Hooks.before_pass` may swap its weights for passes with
                references.
            vae: VAE.
            text_encoder: Text encoder.
            preset: Sampling preset for text.
            reference_preset: Sampling preset for passes with references.
            graphs: Cache of CUDA graphs for small shapes.
        """
        self.transformer = transformer
        self.vae = vae
        self.text_encoder = text_encoder
        self.preset = preset
        self.reference_preset = reference_preset
        self.sequential = False
        """Whether guidance branches are evaluated one by one, to save memory."""
        self.graphs = graphs

    @classmethod
    def load_nano(
        cls, folder: Path, on_progress: checkpoint.LoadProgress | None = None
    ) -> OpenSoraPipeline:
        """Load the bundled nano model from its folder, for the CPU.

        Raises:
            CheckpointError: A part is missing or broken.
        """
        transformer = checkpoint.load_transformer(folder / "transformer", on_progress=on_progress)
        vae = checkpoint.load_vae(folder / "vae", on_progress=on_progress)
        winograd.prepare(vae)
        return cls(
            transformer=transformer,
            vae=vae,
            text_encoder=checkpoint.load_text_encoder(
                folder / "text_encoder", on_progress=on_progress
            ),
            preset=NANO,
            reference_preset=NANO,
        )

    def generate(
        self,
        request: ClipRequest,
        *,
        image: Image.Image | None = None,
        last: Image.Image | None = None,
        hooks: Hooks | None = None,
    ) -> Iterator[Frames]:
        """Make a clip and yield its frames, uint8 [T, H, W, 3], chunk by chunk as decoded.

        The same request gives the same frames on the same machine. The generator is lazy: work
        begins with the first `next`.

        Args:
            request: What to make.
            image: First frame; scaled and cropped to the request's size.
            last: Last frame.
            hooks: Progress and cancellation; exceptions from them end the run.

        Raises:
            ValueError: The length is not legal, or a reference was given for an image request.
        """
        captions = self.encode(request)
        latents = self.sample(request, captions, image=image, last=last, hooks=hooks)
        yield from self.decode(latents, hooks=hooks)

    def encode(self, request: ClipRequest) -> Captions:
        """Encode the texts of a request."""
        negative = self.text_encoder.encode(request.negative) if request.negative else None
        prompt = self.text_encoder.encode(request.prompt, request.suffix())
        return Captions(prompt=prompt, negative=negative)

    @torch.inference_mode()
    def sample(
        self,
        request: ClipRequest,
        captions: Captions,
        *,
        image: Image.Image | None = None,
        last: Image.Image | None = None,
        previous: Tensor | None = None,
        hooks: Hooks | None = None,
    ) -> Tensor:
        """Sample the latents of a clip, fp32 [1, channels, t, h, w].

        Args:
            request: What to make.
            captions: From `encode`.
            image: First frame.
            last: Last frame, of the last pass if there are several.
            previous: Latents of an earlier clip of the same size; the result extends it and
                contains it.
            hooks: Progress and cancellation.

        Raises:
            ValueError: See `generate`.
            EngineError: `worker.not_finite`.
        """
        hooks = hooks or Hooks()
        use_fp8(self.transformer, on=request.speed is Speed.FAST)
        frames = latent_frames(request.frames)
        given = (image, last, previous)
        if frames == 1 and (any(one is not None for one in given) or request.loops > 1):
            raise ValueError("an image is made from text alone and in one pass")
        hooks.check()
        generator = torch.Generator("cpu").manual_seed(request.seed)
        first, end = (
            None if picture is None else self._latent(picture, request.size)
            for picture in (image, last)
        )
        clip = previous
        for loop in range(request.loops):
            tail = end if loop == request.loops - 1 else None
            references = (
                _place_references(first, tail, frames)
                if clip is None
                else continue_clip(clip.float().cpu(), frames, None if tail is None else tail[:, 0])
            )
            progress = replace(hooks, on_step=_count_passes(hooks.on_step, loop, request.loops))
            passed = self._sample_pass(request, captions, references, generator, progress)
            clip = passed if clip is None else _join_passes(clip.to(passed), passed)
        if clip is None:
            raise ValueError(f"{request.loops} passes make no clip")
        if not clip.isfinite().all():
            raise not_finite("sample")
        return clip

    def decode(self, latents: Tensor, *, hooks: Hooks | None = None) -> Iterator[Frames]:
        """Decode latents, yielding uint8 frames [T, H, W, 3] as they become final.

        Raises:
            EngineError: `worker.not_finite`.
        """
        check = (hooks or Hooks()).check
        chunks = self.vae.decode_chunks(latents)
        while True:
            check()
            # entered per chunk: the mode would stay on in the caller while the generator is paused
            with torch.inference_mode():
                pixels = next(chunks, None)
                if pixels is None:
                    return
                if not pixels.isfinite().all():
                    raise not_finite("decode")
                frames: Frames = to_uint8(pixels[0]).cpu().numpy()
            yield frames

    def _latent(self, image: Image.Image, size: PixelSize) -> Tensor:
        """Encode a picture to one latent frame, [channels, 1, h, w]."""
        pixels = to_pixels(fit_image(image, size))
        return self.vae.encode(pixels[None, :, None])[0].cpu()

    def _sample_pass(
        self,
        request: ClipRequest,
        captions: Captions,
        references: References | None,
        generator: torch.Generator,
        hooks: Hooks,
    ) -> Tensor:
        hooks.before_pass(references is not None)
        model = self.transformer
        preset = self.preset if references is None else self.reference_preset
        steps = request.steps or preset.steps
        guidance = preset.guidance if request.guidance is None else request.guidance
        guidance = max(1.0, guidance)  # below 1 the result would move towards the negative prompt
        preset = replace(preset, steps=steps, guidance=guidance)
        ratio = preset.timestep_shift
        if ratio is None:
            ratio = schedule_ratio(request.size, request.frames)
        height, width = latent_size(request.size)
        shape = (1, model.config.in_channels, latent_frames(request.frames), height, width)

        def noise() -> Tensor:
            # drawn on the CPU, so that a seed gives the same noise on every device; pinned, so that
            # the copy to the GPU is asynchronous
            drawn = torch.randn(shape, generator=generator, pin_memory=model.device.type == "cuda")
            return drawn.to(model.device, non_blocking=True)

        negative = captions.negative
        conditions = branch_conditions(
            model,
            shape,
            [captions.prompt.tokens],
            fps=IMAGE_FPS if request.frames == 1 else request.fps,
            size=request.size,
            negative=None if negative is None else [negative.tokens],
            references=references,
        )
        sampler = Sampler(
            model,
            conditions,
            preset,
            references=references,
            sequential=self.sequential,
            skips=request.speed is not Speed.EXACT,
            graphs=self.graphs,
            hooks=hooks,
        )
        return sampler.run(noise(), timesteps(steps, ratio), noise)


def _place_references(first: Tensor | None, last: Tensor | None, frames: int) -> References | None:
    """Return the encoded first and last pictures as references, or None without either."""
    if first is None and last is None:
        return None
    if first is None or last is None:
        kind = ReferenceKind.IMAGE_TAIL if first is None else ReferenceKind.IMAGE_HEAD
    else:
        kind = ReferenceKind.IMAGE_LOOP
    return place_references(kind, [one for one in (first, last) if one is not None], frames)


def _join_passes(clip: Tensor, following: Tensor) -> Tensor:
    """Append a pass to a clip, without the chunk that both share."""
    return torch.cat((clip, following[:, :, CHUNK_LATENTS:]), dim=2)


def _count_passes(
    on_step: Callable[[int, int, Estimate], None], loop: int, loops: int
) -> Callable[[int, int, Estimate], None]:
    """Return a callback that counts one pass's steps as part of all passes."""

    def report(step: int, steps: int, estimate: Estimate) -> None:
        on_step(loop * steps + step, loops * steps, estimate)

    return report
