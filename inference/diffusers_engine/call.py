"""Arguments of pipelines, built from their signatures: names differ between them."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, ImageOps

from inference.diffusers_engine.traits import Family, Images
from inference.domain.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.diffusers_engine.weights.folder import Folder

_CONDITIONS = {
    "LTXConditionPipeline": ("diffusers.pipelines.ltx.pipeline_ltx_condition", "LTXVideoCondition"),
    "LTX2ConditionPipeline": (
        "diffusers.pipelines.ltx2.pipeline_ltx2_condition",
        "LTX2VideoCondition",
    ),
}
"""Class of a given frame, by pipeline class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRequest:
    """A clip to make; an image is a clip of one frame."""

    prompt: str
    negative: str | None = None
    width: int
    height: int
    frames: int
    fps: int
    """Of the file: models that know time are told."""
    steps: int
    sigmas: tuple[float, ...] | None = None
    """Noise levels instead of a number of steps."""
    guidance: float
    guidance_low: float | None = None
    """Of the second transformer."""
    seed: int
    image: Image.Image | None = None
    """The first frame."""
    last: Image.Image | None = None
    """The last frame; only with a first one."""
    lead: tuple[Image.Image, ...] = ()
    """Frames that it begins with instead of `image`: the end of the clip that it goes on from."""
    references: tuple[Image.Image, ...] = ()
    """Pictures that it is made after, of `Family.references` only."""
    reference_weight: float = 1.0
    """How strongly, 0 to 1."""
    sound: bool = True
    """Whether to make sound, where the model does."""
    cache: bool = False
    """Whether steps that change little are left out; of `Family.caches` only."""

    @property
    def begins_with_frames(self) -> bool:
        """Whether its first frames are given."""
        return self.image is not None or bool(self.lead)


def class_for(folder: Folder, request: ClipRequest) -> str:
    """Return the pipeline class that makes a clip.

    Raises:
        EngineError: `folder.text_only`, `folder.image_only`, `folder.no_last`,
            `folder.needs_last`: not these weights.
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
    """Return the arguments for a pipeline; those that it does not know are left out."""
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
        # Those that take none have a schedule for few steps of their own.
        call |= {"sigmas": list(request.sigmas), "num_inference_steps": len(request.sigmas)}
    if request.references and family.references:
        call["reference_images"] = [
            padded(image, request.width, request.height) for image in request.references
        ]
        call["conditioning_scale"] = request.reference_weight
    call |= _given_frames(pipeline, family, request)
    return {name: value for name, value in call.items() if name in known and value is not None}


def guided(pipeline: Any, request: ClipRequest) -> Any:
    """Return the part that holds the guidance scale of pipelines that take none in the call."""
    guider = getattr(pipeline, "guider", None)
    return None if guider is None else guider.new(guidance_scale=request.guidance)


def token_limit(pipeline: Any) -> int | None:
    """Return how many tokens of a prompt a pipeline reads."""
    parameter = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    if parameter is not None and isinstance(parameter.default, int):
        return parameter.default
    limit = getattr(pipeline, "tokenizer_max_length", None)
    return limit if isinstance(limit, int) else None


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return a picture that covers the frame, its middle: models would stretch it."""
    return ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def padded(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the whole of a picture on white, as VACE has it: it would shrink it unsmoothed."""
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
        (index, [fitted(image, request.width, request.height) for image in images])
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
    # LTX-2 counts latent frames; -1 is the last of them.
    return {
        "conditions": [
            kind(frames=images if images[1:] else images[0], index=-1 if index else 0)
            for index, images in given
        ]
    }
