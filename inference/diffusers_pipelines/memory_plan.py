"""Memory plans of diffusers models: predicted peak memory under each plan. No torch.

Weights are counted exactly. Other memory is estimated from widths; the factors are fitted to Wan's
published peaks (73 GB at 480p and 80 GB at 720p for A14B, 8 GB for 1.3B), not to measurements.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from inference.diffusers_pipelines.weights.quantization import BITSANDBYTES, method_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.diffusers_pipelines.traits import Family, Preset, Widths
    from inference.diffusers_pipelines.weights.folder import Folder

RESERVE_BYTES = 1_000_000_000
"""Memory of every device left for the driver and libraries."""

HOST_RESERVE_BYTES = 3_000_000_000
"""Memory of the machine left for the system, the bot and libraries."""

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with a container's memory limit, in cgroup v2 and v1."""

_SAMPLING = 12
"""Peak of one evaluation of the transformer, in tokens x hidden size."""
_DECODING = 8
"""Peak of the decoder, in pixels x channels at full size."""
_TILE_PIXELS = 512 * 512
_STREAMED_BYTES = 2_000_000_000
"""Weights on the device at a time in group offloading."""
_PIXEL_BYTES = 12
"""Bytes of a decoded pixel: three channels in fp32."""


class Placement(IntEnum):
    """Placement of weights during a render, from fastest to least memory."""

    RESIDENT = 0
    """All weights stay on the device."""
    TEXT_AWAY = 1
    """The text encoder is moved to the host once the prompt is encoded."""
    MODEL_OFFLOAD = 2
    """Only one network is on the device at a time."""
    GROUP_OFFLOAD = 3
    """Layers of the transformer and text encoder are copied to the device one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A memory plan; `PLANS` lists those in use."""

    placement: Placement
    fp8: bool = False
    """Whether the transformer's weights are stored in FP8: half the memory, a different clip."""
    tiled: bool = False
    """Whether the VAE decodes in tiles, which changes pictures slightly."""


PLANS: tuple[Plan, ...] = (
    *(Plan(placement=placement) for placement in Placement),
    Plan(placement=Placement.GROUP_OFFLOAD, fp8=True),
    Plan(placement=Placement.TEXT_AWAY, tiled=True),
    Plan(placement=Placement.MODEL_OFFLOAD, tiled=True),
    Plan(placement=Placement.GROUP_OFFLOAD, tiled=True),
    Plan(placement=Placement.GROUP_OFFLOAD, fp8=True, tiled=True),
)
"""Plans from most to least memory: first those that are slower, then those that change the clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Numbers that determine the memory of a diffusers pipeline: bytes of weights, and widths."""

    text_bytes: int
    transformers: tuple[int, ...]
    """Bytes of each transformer; they are used one after the other."""
    vae_bytes: int
    other_bytes: int
    """Bytes of all other networks: connectors, and those for sound."""
    widths: Widths
    itemsize: int = 2
    vae_itemsize: int = 2
    quantized: bool = False
    """Whether weights have fewer bits than floats, so that they cannot be stored in FP8."""
    fixed: bool = False
    """Whether weights cannot leave the device: bitsandbytes puts them there while loading."""

    @property
    def total_bytes(self) -> int:
        """Bytes of all weights."""
        return self.text_bytes + sum(self.transformers) + self.vae_bytes + self.other_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Shape of a clip."""

    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Available memory in bytes."""

    device_bytes: int
    host_bytes: int


def host_memory() -> int:
    """Return the memory of the machine, or the lower limit of its container, in bytes."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _LIMITS:
        with suppress(OSError, ValueError):  # absent, or "max"
            most = min(most, int(limit.read_text(encoding="ascii")))
    return most


def footprint_of(folder: Folder, *, on_cpu: bool = False) -> Footprint:
    """Return the footprint of the weights in a folder."""
    numbers = {name: part.numbers for name, part in folder.parts.items() if part.is_network}
    quantized = {name: part.size_bytes for name, part in folder.parts.items() if part.is_compressed}
    widths = _widths_of(folder)
    fixed = any(method_of(part) == BITSANDBYTES for part in folder.parts.values())
    found = _footprint(numbers, folder.family, widths, on_cpu=on_cpu, quantized=quantized)
    return replace(found, fixed=fixed)


def _widths_of(folder: Folder) -> Widths:
    """Return the widths from a folder's configs, with the family's as defaults."""
    family = folder.family
    denoiser = folder.parts.get("transformer") or folder.parts["transformer_2"]
    heads = denoiser.config.get("num_attention_heads")
    head = denoiser.config.get("attention_head_dim")
    hidden = heads * head if isinstance(heads, int) and isinstance(head, int) else None
    finer = (family.pixels_per_latent / folder.pixels_per_latent) ** 2
    return replace(
        family.widths,
        hidden=hidden or family.widths.hidden,
        tokens_per_pixel=family.widths.tokens_per_pixel * finer,
    )


def predict_footprint(
    preset: Preset, *, on_cpu: bool = False, quantized: Mapping[str, int] = MappingProxyType({})
) -> Footprint:
    """Return the footprint of a preset, whose weights may not be downloaded.

    Args:
        preset: The preset.
        on_cpu: Whether it runs on the CPU, in fp32.
        quantized: Bytes of parts that come from GGUF files.
    """
    numbers = {name: int(billions * 1e9) for name, billions in preset.parameters.items()}
    widths = preset.widths or preset.family.widths
    return _footprint(numbers, preset.family, widths, on_cpu=on_cpu, quantized=quantized)


def _footprint(
    numbers: Mapping[str, int],
    family: Family,
    widths: Widths,
    *,
    on_cpu: bool,
    quantized: Mapping[str, int],
) -> Footprint:
    itemsize = 4 if on_cpu else 2
    vae_itemsize = 4 if on_cpu or family.fp32_vae else 2
    sizes = {
        name: quantized.get(name, count * (vae_itemsize if name == "vae" else itemsize))
        for name, count in numbers.items()
    }
    text = sum(size for name, size in sizes.items() if name.startswith("text_encoder"))
    denoisers = tuple(size for name, size in sizes.items() if name.startswith("transformer"))
    vae = sizes.get("vae", 0)
    return Footprint(
        text_bytes=text,
        transformers=denoisers,
        quantized=bool(quantized),
        vae_bytes=vae,
        other_bytes=sum(sizes.values()) - text - sum(denoisers) - vae,
        widths=widths,
        itemsize=itemsize,
        vae_itemsize=vae_itemsize,
    )


def device_bytes(footprint: Footprint, family: Family, shape: Shape, plan: Plan) -> int:
    """Predict the peak device memory of a render, in bytes."""
    sampling = sampling_bytes(footprint, family, shape)
    decoding = decoding_bytes(footprint, shape, tiled=plan.tiled)
    rest = footprint.vae_bytes + footprint.other_bytes
    transformers = sum(footprint.transformers) // (2 if plan.fp8 else 1)
    largest = max(footprint.transformers, default=0) // (2 if plan.fp8 else 1)
    match plan.placement:
        case Placement.RESIDENT:
            return footprint.text_bytes + transformers + rest + max(sampling, decoding)
        case Placement.TEXT_AWAY:
            return transformers + rest + max(footprint.text_bytes, sampling, decoding)
        case Placement.MODEL_OFFLOAD:
            return max(footprint.text_bytes, largest + sampling, rest + decoding)
        case Placement.GROUP_OFFLOAD:
            streamed = min(_STREAMED_BYTES, max(largest, footprint.text_bytes))
            return rest + max(streamed + sampling, decoding)


def host_bytes(footprint: Footprint) -> int:
    """Predict the host memory of a model, in bytes: that of all its weights.

    They are read into host memory before a plan is chosen, and some plans keep them there.
    """
    return footprint.total_bytes + HOST_RESERVE_BYTES


def sampling_bytes(footprint: Footprint, family: Family, shape: Shape) -> int:
    """Predict the peak memory of sampling without weights, in bytes."""
    widths = footprint.widths
    latents = (shape.frames - 1) // family.frames_per_latent + 1
    tokens = latents * shape.width * shape.height * widths.tokens_per_pixel
    return int(_SAMPLING * tokens * widths.hidden * footprint.itemsize * (1 + widths.batched))


def decoding_bytes(footprint: Footprint, shape: Shape, *, tiled: bool) -> int:
    """Predict the peak memory of decoding without weights, in bytes, with the finished pixels."""
    pixels = shape.width * shape.height
    at_once = min(pixels, _TILE_PIXELS) if tiled else pixels
    frames = min(footprint.widths.frames_at_once or shape.frames, shape.frames)
    working = _DECODING * at_once * frames * footprint.widths.decoder * footprint.vae_itemsize
    return working + 2 * pixels * shape.frames * _PIXEL_BYTES


def choose_plan(footprint: Footprint, family: Family, shape: Shape, memory: Memory) -> Plan | None:
    """Return the first plan with which a render fits, or None."""
    if host_bytes(footprint) > memory.host_bytes:
        return None
    usable = memory.device_bytes - RESERVE_BYTES
    return next(
        (
            plan
            for plan in plans_of(footprint)
            if device_bytes(footprint, family, shape, plan) <= usable
        ),
        None,
    )


def plans_of(footprint: Footprint) -> tuple[Plan, ...]:
    """Return the plans that a model supports, from most to least memory."""
    if footprint.fixed:
        return PLANS[:1]
    return tuple(plan for plan in PLANS if not (plan.fp8 and footprint.quantized))


def stronger(plan: Plan, plans: Sequence[Plan] = PLANS) -> Plan | None:
    """Return the plan to try after memory ran out with another, or None."""
    later = [one for one in PLANS[PLANS.index(plan) + 1 :] if one in plans]
    return next((one for one in later if one.placement >= plan.placement), None)
