"""Memory planning: peak memory by shapes, and the savings that lower it.

The coefficients were measured as the storages that live at once (`tests/opensora/allocations.py`);
they hold for all sizes, because everything large is linear in tokens or in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from inference.domain.errors import EngineError, UserError
from inference.domain.spec import Mode, Resolution
from inference.opensora.geometry import SPACE_FACTOR, latent_frames

if TYPE_CHECKING:
    from inference.domain.spec import Size, Spec
    from inference.engines.base import Capabilities, Footprint

RESERVE_BYTES = 1_000_000_000
"""Of every device: for the driver, the libraries' scratch space and what lies between tensors."""

_GIGABYTE = 1e9

CPU = "cpu"
"""Name of the device of a machine without a card."""

TEXT_TOKENS = 300
"""Tokens of the longest caption."""

_EVALUATION = 12.1
"""Peak of one evaluation of the transformer, in tokens x hidden size, per branch."""
_DECODING, _DECODING_SLICED = 6.5, 4.5
"""Peak of decoding a chunk, in pixels of its frames x base channels: whole, and frame by frame."""
_CHUNK_FRAMES, _IMAGE_FRAMES = 20, 4
"""Frames that the decoder makes of a chunk and of an image, before it drops the first three."""
_LATENT_COPIES = 4
"""State, noise and velocities."""
_LATENT_CHANNELS, _FP32 = 16, 4
_BRANCHES, _REFERENCE_BRANCHES = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU or the CPU, with its memory."""

    name: str
    """As its maker calls it; "cpu" without one."""
    memory_bytes: int
    """The card's memory, or the machine's."""
    problem: str | None = None
    """Catalog code of why no card is seen, where that is known."""

    @property
    def is_cpu(self) -> bool:
        """Whether there is no card."""
        return self.name == CPU


class Saving(IntEnum):
    """Memory-saving plan; each level includes those before it and is a little slower."""

    RESIDENT = 0
    """Nothing is: all networks stay on the device."""
    TEXT_ASIDE = 1
    """The text encoder leaves the device once the text is encoded."""
    SEQUENTIAL = 2
    """The branches of the guidance are evaluated one after the other."""
    ALONE = 3
    """The transformer leaves for the others, and the VAE works frame by frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipShape:
    """Shape of a render, as far as memory depends on it."""

    size: Size
    frames: int
    """Of one pass."""
    references: bool
    """Whether a pass keeps given frames."""

    @classmethod
    def of(cls, spec: Spec, capabilities: Capabilities) -> ClipShape:
        """Return the shape of a render."""
        return cls(
            size=capabilities.sizes[spec.resolution, spec.aspect],
            frames=spec.frames,
            references=(
                spec.mode is Mode.IMAGE_TO_VIDEO or spec.latents is not None or spec.loops > 1
            ),
        )


def peak_bytes(
    footprint: Footprint, shape: ClipShape, saving: Saving, *, apart: bool = True
) -> int:
    """Predict the most memory that a render takes at once.

    Args:
        footprint: Of the model.
        shape: Of the clip.
        saving: How memory is saved.
        apart: Whether the device has memory of its own. Without, what leaves it stays in there.
    """
    text, transformer, vae = (
        footprint.text_bytes,
        footprint.transformer_bytes,
        footprint.vae_bytes,
    )
    sampling = sampling_bytes(footprint, shape, sequential=saving >= Saving.SEQUENTIAL)
    decoding = decoding_bytes(footprint, shape, sliced=saving >= Saving.ALONE)
    if not apart:
        return text + transformer * footprint.transformer_sets + vae + max(sampling, decoding)
    alone = saving >= Saving.ALONE
    beside_text = vae + (0 if alone else transformer)
    beside_sampling = vae + (text if saving < Saving.TEXT_ASIDE else 0)
    beside_decoding = beside_sampling - vae + (0 if alone else transformer)
    return max(
        text + beside_text,
        transformer + beside_sampling + sampling,
        vae + beside_decoding + decoding,
    )


def sampling_bytes(footprint: Footprint, shape: ClipShape, *, sequential: bool) -> int:
    """Predict what sampling takes beyond the weights."""
    branches = _REFERENCE_BRANCHES if shape.references else _BRANCHES
    at_once = 1 if sequential else branches
    rows, columns = (-(-side // SPACE_FACTOR) for side in (shape.size.height, shape.size.width))
    frames = latent_frames(shape.frames)
    tokens = frames * -(-rows // 2) * -(-columns // 2)
    activations = _EVALUATION * at_once * tokens
    captions = branches
    if shape.references:
        activations += branches * tokens  # the embedded references
        captions += branches  # given frames look at the empty one
    activations += captions * footprint.layers * TEXT_TOKENS * 2
    latents = _LATENT_COPIES * _LATENT_CHANNELS * frames * rows * columns
    return int(activations * footprint.hidden_size * footprint.itemsize) + latents * _FP32


def decoding_bytes(footprint: Footprint, shape: ClipShape, *, sliced: bool) -> int:
    """Predict what decoding takes beyond the weights; it goes chunk by chunk, however long."""
    frames = _IMAGE_FRAMES if shape.frames == 1 else _CHUNK_FRAMES
    pixels = frames * shape.size.height * shape.size.width
    factor = _DECODING_SLICED if sliced else _DECODING
    return int(factor * pixels * footprint.base_channels * footprint.itemsize)


def plan(
    footprint: Footprint, shape: ClipShape, memory_bytes: int, *, apart: bool = True
) -> Saving | None:
    """Return the mildest saving with which a render fits, or None."""
    usable = memory_bytes - RESERVE_BYTES
    fitting = (one for one in Saving if peak_bytes(footprint, shape, one, apart=apart) <= usable)
    return next(fitting, None)


def saving_for(spec: Spec, capabilities: Capabilities, device: Device) -> Saving:
    """Return how to render on a device; a model without a footprint fits everywhere.

    Raises:
        UserError: `memory.*`: it does not fit; the error names the nearest things that do.
    """
    footprint = capabilities.footprint
    saving = _planned(spec, capabilities, device)
    if saving is None and footprint is not None:
        raise _too_large(spec, capabilities, footprint, device)
    return saving or Saving.RESIDENT


def saving_in(spec: Spec, capabilities: Capabilities, device: Device, available: Device) -> Saving:
    """Return how to render with the memory that is available of a device.

    Args:
        spec: What to render.
        capabilities: Of its model.
        device: With all its memory.
        available: The same device with what others leave of it.

    Raises:
        UserError: `memory.*`: it would not fit an empty device either.
        EngineError: `memory.in_use`: it would.
    """
    saving = _planned(spec, capabilities, available)
    if saving is None:
        saving_for(spec, capabilities, device)
        raise memory_in_use(device, available)
    return saving


def memory_in_use(device: Device, available: Device) -> EngineError:
    """Return the error for memory that something else holds; it may be free the next time."""
    return EngineError(
        "memory.in_use",
        transient=True,
        free=int(available.memory_bytes / _GIGABYTE),
        there=int(device.memory_bytes / _GIGABYTE),
    )


def _planned(spec: Spec, capabilities: Capabilities, device: Device) -> Saving | None:
    if capabilities.footprint is None:
        return Saving.RESIDENT
    footprint = _on(device, capabilities.footprint)
    shape = ClipShape.of(spec, capabilities)
    return plan(footprint, shape, device.memory_bytes, apart=not device.is_cpu)


def _on(device: Device, footprint: Footprint) -> Footprint:
    return footprint.in_fp32() if device.is_cpu else footprint


def _too_large(
    spec: Spec, capabilities: Capabilities, footprint: Footprint, device: Device
) -> UserError:
    """Say how much is missing, and the nearest that fits: shorter if that will do, or smaller."""
    shape = ClipShape.of(spec, capabilities)
    if device.is_cpu:
        return _no_card(spec, capabilities, footprint, device)
    needed = peak_bytes(footprint, shape, max(Saving)) + RESERVE_BYTES
    params = {
        "resolution": spec.resolution.value,
        "count": spec.frames,
        "needed": math.ceil(needed / _GIGABYTE),
        "there": int(device.memory_bytes / _GIGABYTE),
    }
    longest = _longest(spec, spec.resolution, capabilities, device)
    if longest is not None:
        return UserError("memory.too_long", longest=longest, **params)
    order = list(Resolution)
    for resolution in reversed(order[: order.index(spec.resolution)]):
        longest = _longest(spec, resolution, capabilities, device)
        if longest is not None:
            return UserError("memory.too_large", smaller=resolution, longest=longest, **params)
    return UserError("memory.too_small", **params)


def _no_card(
    spec: Spec, capabilities: Capabilities, footprint: Footprint, device: Device
) -> UserError:
    """Say that it is the card that is missing: no choice of length or size makes up for it."""
    if device.problem is not None:
        return UserError(device.problem)
    needed = peak_bytes(footprint, ClipShape.of(spec, capabilities), max(Saving)) + RESERVE_BYTES
    return UserError("gpu.needed", model=capabilities.title, needed=math.ceil(needed / _GIGABYTE))


def _longest(
    spec: Spec, resolution: Resolution, capabilities: Capabilities, device: Device
) -> int | None:
    """Return the most frames, no more than asked for, that fit at a resolution."""
    if (resolution, spec.aspect) not in capabilities.sizes:
        return None
    lengths = [
        frames
        for frames in capabilities.frames
        if frames <= spec.frames and (frames > 1 or spec.frames == 1)
    ]
    fitting = (
        frames
        for frames in reversed(lengths)
        if _planned(replace(spec, resolution=resolution, frames=frames), capabilities, device)
        is not None
    )
    return next(fitting, None)
