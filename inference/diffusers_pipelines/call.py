"""Arguments of pipeline calls, chosen by the pipeline's signature, because names differ."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, ImageOps

from inference.diffusers_pipelines.traits import Family, Images
from inference.domain.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.diffusers_pipelines.weights.folder import Folder

_CONDITIONS = {
    "LTXConditionPipeline": ("diffusers.pipelines.ltx.pipeline_ltx_condition", "LTXVideoCondition"),
    "LTX2ConditionPipeline": (
        "diffusers.pipelines.ltx2.pipeline_ltx2_condition",
        "LTX2VideoCondition",
    ),
}
"""Condition class for reference frames, by pipeline class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRequest:
    """Request for a clip; an image is a clip of one frame."""

    prompt: str
    negative: str | None = None
    width: int
    height: int
    frames: int
    fps: int
    """Frames per second of the file, passed to models that are conditioned on it."""
    steps: int
    sigmas: tuple[float, ...] | None = None
    """Noise levels, in place of a number of steps."""
    guidance: float
    guidance_low: float | None = None
    """Guidance scale of the second transformer."""
    seed: int
    image: Image.Image | None = None
    """First frame."""
    last: Image.Image | None = None
    """Last frame; only together with a first one."""
    lead: tuple[Image.Image, ...] = ()
    """First frames, in place of `image`: the end of the clip that is extended."""
    references: tuple[Image.Image, ...] = ()
    """Reference images for style or content, for families with `Family.references`."""
    reference_weight: float = 1.0
    """Weight of the reference images, 0 to 1."""
    sound: bool = True
    """Whether to generate sound, if the model can."""
    cache: bool = False
    """Whether evaluations that change little are skipped, for families with `Family.caches`."""

    @property
    def begins_with_frames(self) -> bool:
        """Whether the first frame or frames are fixed."""
        return self.image is not None or bool(self.lead)


def class_for(folder: Folder, request: ClipRequest) -> str:
    """Return the pipeline class for a request.

    Raises:
        EngineError: `folder.text_only`, `folder.image_only`, `folder.no_last`,
            `folder.needs_last`: the weights do not support the request.
    """
    family = folder.family
    name = family.image if request.begins_with_frames else family.text
    if name is None or name not in folder.classes:
        if request.begins_with_frames:
            raise EngineError("folder.text_only")
        raise EngineError("folder.image_only")
    if len(request.lead) > 1 and family.ends is not None:
        return family.ends
    if request.last is None:
        if folder.needs_last:
            raise EngineError("folder.needs_last")
        return name
    if family.ends is None or not folder.takes_last:
        raise EngineError("folder.no_last")
    return family.ends


def build_call(pipeline: Any, family: Family, request: ClipRequest) -> dict[str, Any]:
    """Return the keyword arguments of a pipeline call, without those that it does not have."""
    known = inspect.signature(pipeline.__call__).parameters
    generator = torch.Generator("cpu").manual_seed(request.seed)  # the same noise on every device
    call: dict[str, Any] = {
        **family.call,
        "prompt": request.prompt,
        "negative_prompt": request.negative,
        "width": request.width,
        "height": request.height,
        "num_frames": request.frames,
        "frame_rate": float(request.fps),
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance,
        "guidance_scale_2": request.guidance_low,
        "generator": generator,
        "output_type": "pt",
        "sample_audio": request.sound,
    }
    if request.sigmas is not None:
        # Pipelines without this argument have a built-in schedule for few steps.
        call |= {"sigmas": list(request.sigmas), "num_inference_steps": len(request.sigmas)}
    if request.references and family.references:
        call["reference_images"] = [
            pad_to_frame(image, request.width, request.height) for image in request.references
        ]
        call["conditioning_scale"] = request.reference_weight
    call |= _given_frames(pipeline, family, request)
    return {name: value for name, value in call.items() if name in known and value is not None}


def make_guider(pipeline: Any, request: ClipRequest) -> Any:
    """Return a guider with the request's scale, for pipelines that have one; else None."""
    guider = getattr(pipeline, "guider", None)
    return None if guider is None else guider.new(guidance_scale=request.guidance)


def token_limit(pipeline: Any) -> int | None:
    """Return the most tokens of a prompt that a pipeline reads; None if unknown."""
    parameter = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    if parameter is not None and isinstance(parameter.default, int):
        return parameter.default
    limit = getattr(pipeline, "tokenizer_max_length", None)
    return limit if isinstance(limit, int) else None


def crop_to_frame(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale a picture to cover the frame and crop its centre; pipelines would stretch it."""
    return ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def pad_to_frame(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale a picture into the frame on white, as VACE does, but with antialiasing."""
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGB", (width, height), "white")
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    canvas.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return canvas


def _given_frames(pipeline: Any, family: Family, request: ClipRequest) -> Mapping[str, Any]:
    first = request.lead or (() if request.image is None else (request.image,))
    last = () if request.last is None else (request.last,)
    given = [
        (index, [crop_to_frame(image, request.width, request.height) for image in images])
        for index, images in ((0, first), (request.frames - 1, last))
        if images
    ]
    if not given:
        return {}
    place = _CONDITIONS.get(type(pipeline).__name__)
    if family.given is Images.ARGUMENTS or place is None:
        names = ("image", "last_image")
        return {name: images[-1] for name, (_, images) in zip(names, given, strict=False)}
    kind = getattr(importlib.import_module(place[0]), place[1])
    if "frame_index" in inspect.signature(kind).parameters:
        return {
            "conditions": [
                kind(image=images[0], frame_index=index)
                if len(images) == 1
                else kind(video=images, frame_index=index)
                for index, images in given
            ]
        }
    # LTX-2 indexes latent frames; -1 is the last one.
    return {
        "conditions": [
            kind(frames=images if images[1:] else images[0], index=-1 if index else 0)
            for index, images in given
        ]
    }
