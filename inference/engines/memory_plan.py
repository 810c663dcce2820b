"""Memory plans of Open-Sora models: predicted peak memory, and the savings that lower it.

The coefficients come from a dry run of the whole engine (table `derive` of
`benchmarks/opensora/memory.py`); they hold for all sizes, because everything large is linear in
tokens or in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from inference.domain.device import Device
from inference.domain.errors import EngineError, UserError
from inference.domain.spec import Mode, Resolution
from inference.opensora.config import FP8_ROWS, GRAPHS_BYTES, GRAPHS_TOKENS
from inference.opensora.controls import Speed
from inference.opensora.geometry import SPACE_FACTOR, latent_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.domain.capabilities import Capabilities
    from inference.domain.spec import Size, Spec
    from inference.engines.base import Footprint

RESERVE_BYTES = 1_000_000_000
"""Memory of every device left for the driver, library workspaces and fragmentation."""

DRIVER_BYTES = 400_000_000
"""Part of the reserve that is in use before a process reads how much memory is free."""

GIGABYTE = 1e9

TEXT_TOKENS = 300
"""Tokens of the longest caption."""

_ENCODING = 50_000_000
"""Peak bytes of encoding the longest caption."""
_EVALUATION = 6.9
"""Peak of one transformer evaluation per branch, in tokens x hidden size: the same in fp32 and in
16 bits, with fused kernels and without."""
_FP8_ROW, _FP8_WEIGHTS = 9, 4
"""Further bytes of the MLP in FP8: per row in hidden sizes, and of its weights in their squares.
The 16-bit product of some rows is held beside all of them, and both factors in FP8."""
_POSITIONS = 3
"""Data kept per position of a frame, in hidden sizes."""
_DECODING, _DECODING_SLICED = 6.2, 3.52
"""Peak of decoding a chunk, in pixels of its frames x base channels: unsliced, and sliced."""
_DECODING_FUSED, _DECODING_SLICED_FUSED = 6.05, 3.12
"""As above, with kernels that normalise and pad in one pass."""
_PAST, _SLICES = 4, 23.1
"""Further peak in pixels of one frame x base channels: frames of padding, and work on a slice."""
_CHUNK_FRAMES, _IMAGE_FRAMES = 20, 4
"""Frames decoded from a chunk and from an image, including the three that are dropped."""
_LATENT_COPIES, _REFERENCE_COPIES = 6, 16
"""Copies of the latents: state, noise and velocities; with references, also these and masks."""
_KNOWN_VELOCITIES = 2
"""Velocities kept per branch if steps are skipped."""
_CLIP_COPIES = 3
"""Copies of the clip's latents in decoding: the input, denormalised, and one intermediate."""
_LATENT_CHANNELS, _PIXEL_CHANNELS, _FP32 = 16, 3, 4
_BRANCHES, _REFERENCE_BRANCHES = 2, 3


class Saving(IntEnum):
    """Memory plan; each level includes those before it and is a little slower."""

    RESIDENT = 0
    """No saving: all networks stay on the device."""
    TEXT_ASIDE = 1
    """The text encoder is removed from the device once the text is encoded."""
    SEQUENTIAL = 2
    """Guidance branches are evaluated one after the other."""
    ALONE = 3
    """The transformer is on the device only for sampling, and the VAE works frame by frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipShape:
    """Properties of a render that its memory depends on."""

    size: Size
    frames: int
    """Frames of one pass."""
    total_frames: int
    """Frames of the whole clip, including the clip that it extends."""
    references: bool
    """Whether a pass has reference frames."""
    skips: bool = False
    """Whether steps are skipped."""
    fp8: bool = False
    """Whether linear layers compute in FP8."""

    @classmethod
    def of(cls, spec: Spec, capabilities: Capabilities) -> ClipShape:
        """Return the shape of a render."""
        speed = spec.options.get("speed", Speed.EXACT)
        return cls(
            size=capabilities.sizes[spec.resolution, spec.aspect],
            frames=spec.frames,
            total_frames=spec.total_frames,
            references=(
                spec.mode is Mode.IMAGE_TO_VIDEO or spec.latents is not None or spec.loops > 1
            ),
            skips=speed != Speed.EXACT,
            fp8=speed == Speed.FAST,
        )

    @property
    def latent_size(self) -> tuple[int, int]:
        """Rows and columns of a latent frame."""
        return -(-self.size.height // SPACE_FACTOR), -(-self.size.width // SPACE_FACTOR)

    @property
    def tokens(self) -> int:
        """Tokens of one branch in one pass."""
        rows, columns = self.latent_size
        return latent_frames(self.frames) * -(-rows // 2) * -(-columns // 2)

    @property
    def latents(self) -> int:
        """Number of values in the latents of the clip."""
        rows, columns = self.latent_size
        return _LATENT_CHANNELS * latent_frames(self.total_frames) * rows * columns


def peak_bytes(
    footprint: Footprint, shape: ClipShape, saving: Saving, *, apart: bool = True
) -> int:
    """Predict the peak memory of a render, in bytes; see `stage_bytes`."""
    return max(stage_bytes(footprint, shape, saving, apart=apart).values())


def stage_bytes(
    footprint: Footprint, shape: ClipShape, saving: Saving, *, apart: bool = True
) -> dict[str, int]:
    """Predict the peak memory of each stage of a render, in bytes, including weights.

    Args:
        footprint: The model's footprint.
        shape: Shape of the render.
        saving: The memory plan.
        apart: Whether the device's memory is separate from the host's. On a CPU it is not, and
            moving weights off the device saves nothing.
    """
    text, transformer, vae = (
        footprint.text_bytes,
        footprint.transformer_bytes,
        footprint.vae_bytes,
    )
    sampling = sampling_bytes(footprint, shape, sequential=saving >= Saving.SEQUENTIAL)
    decoding = decoding_bytes(footprint, shape, sliced=saving >= Saving.ALONE)
    if not apart:
        weights = text + transformer * footprint.transformer_sets + vae
        beyond = {"text": _ENCODING, "sample": sampling, "decode": decoding}
        return {stage: weights + bytes_ for stage, bytes_ in beyond.items()}
    alone = saving >= Saving.ALONE
    beside_text = vae + (0 if alone else transformer)
    beside_sampling = vae + (text if saving < Saving.TEXT_ASIDE else 0)
    beside_decoding = beside_sampling - vae + (0 if alone else transformer)
    at_once = 1 if saving >= Saving.SEQUENTIAL else _BRANCHES
    graphs = GRAPHS_BYTES if at_once * shape.tokens <= GRAPHS_TOKENS else 0
    kept_graphs = graphs if saving < Saving.TEXT_ASIDE else 0
    return {
        "text": text + beside_text + _ENCODING + kept_graphs,
        "sample": transformer + beside_sampling + sampling + graphs,
        "decode": vae + beside_decoding + decoding + kept_graphs,
    }


def sampling_bytes(footprint: Footprint, shape: ClipShape, *, sequential: bool) -> int:
    """Predict the peak memory of sampling without weights, in bytes."""
    branches = _REFERENCE_BRANCHES if shape.references else _BRANCHES
    at_once = 1 if sequential else branches
    rows, columns = shape.latent_size
    frames = latent_frames(shape.frames)
    tokens = shape.tokens
    places = tokens // frames
    activations = _EVALUATION * at_once * tokens + _POSITIONS * places
    captions = branches
    if shape.references:
        activations += branches * tokens  # the embedded references
        captions += branches  # reference frames attend to the empty caption
    activations += captions * footprint.layers * TEXT_TOKENS * 2
    copies = _REFERENCE_COPIES if shape.references else _LATENT_COPIES
    if shape.skips:
        copies += _KNOWN_VELOCITIES * branches
    latents = copies * _LATENT_CHANNELS * frames * rows * columns
    passed = _CLIP_COPIES * shape.latents
    fp8 = _fp8_bytes(footprint.hidden_size, at_once * tokens) if shape.fp8 else 0
    return (
        int(activations * footprint.hidden_size * footprint.itemsize)
        + (latents + passed) * _FP32
        + fp8
    )


def _fp8_bytes(hidden_size: int, rows: int) -> int:
    return (_FP8_ROW * min(rows, FP8_ROWS) + _FP8_WEIGHTS * hidden_size) * hidden_size


def decoding_bytes(footprint: Footprint, shape: ClipShape, *, sliced: bool) -> int:
    """Predict the peak memory of decoding without weights, in bytes; it decodes in chunks."""
    frames = _IMAGE_FRAMES if shape.frames == 1 else _CHUNK_FRAMES
    if sliced:
        per_frame = _DECODING_SLICED_FUSED if footprint.fused else _DECODING_SLICED
        layers = per_frame * frames + _SLICES
    else:
        layers = (_DECODING_FUSED if footprint.fused else _DECODING) * frames + _PAST
    finished = frames * _PIXEL_CHANNELS * _FP32  # frames of the chunk before
    per_pixel = layers * footprint.base_channels * footprint.itemsize + finished
    pixels = int(per_pixel * shape.size.height * shape.size.width)
    return pixels + _CLIP_COPIES * shape.latents * _FP32


def plan(
    footprint: Footprint, shape: ClipShape, memory_bytes: int, *, apart: bool = True
) -> Saving | None:
    """Return the least saving with which a render fits, or None."""
    usable = memory_bytes - RESERVE_BYTES
    fitting = (one for one in Saving if peak_bytes(footprint, shape, one, apart=apart) <= usable)
    return next(fitting, None)


def saving_for(
    spec: Spec, capabilities: Capabilities, footprint: Footprint | None, device: Device
) -> Saving:
    """Return the memory plan of a render on a device; models without a footprint always fit.

    Raises:
        UserError: `memory.*`: it does not fit; the error names the nearest clips that do.
    """
    saving = _find_plan(spec, capabilities, footprint, device)
    if saving is None and footprint is not None:
        raise _too_large(spec, capabilities, footprint, device)
    return saving or Saving.RESIDENT


def saving_in(
    spec: Spec,
    capabilities: Capabilities,
    footprint: Footprint | None,
    device: Device,
    available: Device,
) -> Saving:
    """Return the memory plan of a render in the available memory of a device.

    Args:
        spec: The render.
        capabilities: The model's capabilities.
        footprint: The model's footprint.
        device: The device with its total memory.
        available: The device with the memory that other programs leave free.

    Raises:
        UserError: `memory.*`: it does not fit the device, even if all memory were free.
        EngineError: `memory.in_use`: it fits only with all memory free.
    """
    free = min(device.memory_bytes, available.memory_bytes + DRIVER_BYTES)
    saving = _find_plan(spec, capabilities, footprint, replace(available, memory_bytes=free))
    if saving is None:
        saving_for(spec, capabilities, footprint, device)
        raise memory_in_use(device, available)
    return saving


def memory_in_use(device: Device, available: Device) -> EngineError:
    """Return the transient error for memory that other programs hold."""
    return EngineError(
        "memory.in_use",
        transient=True,
        free=int(available.memory_bytes / GIGABYTE),
        there=int(device.memory_bytes / GIGABYTE),
    )


def _find_plan(
    spec: Spec, capabilities: Capabilities, footprint: Footprint | None, device: Device
) -> Saving | None:
    if footprint is None:
        return Saving.RESIDENT
    shape = ClipShape.of(spec, capabilities)
    return plan(_on(device, footprint), shape, device.memory_bytes, apart=not device.is_cpu)


def _on(device: Device, footprint: Footprint) -> Footprint:
    return footprint.in_fp32() if device.is_cpu else footprint


def _too_large(
    spec: Spec, capabilities: Capabilities, footprint: Footprint, device: Device
) -> UserError:
    if device.is_cpu:
        return _no_card(spec, capabilities, footprint, device)
    needed = peak_bytes(footprint, ClipShape.of(spec, capabilities), max(Saving)) + RESERVE_BYTES

    def fits(clip: Spec) -> bool:
        return _find_plan(clip, capabilities, footprint, device) is not None

    return too_large(spec, capabilities, device, needed, fits)


def too_large(
    spec: Spec,
    capabilities: Capabilities,
    device: Device,
    needed: int,
    fits: Callable[[Spec], bool],
) -> UserError:
    """Return the error with the missing memory and the nearest clip (shorter, smaller) to fit.

    Args:
        spec: The render.
        capabilities: The model's capabilities.
        device: The device that it does not fit.
        needed: Memory that it needs at least, in bytes.
        fits: Returns whether another clip fits.
    """
    params = {
        "resolution": spec.resolution.value,
        "count": spec.frames,
        "needed": math.ceil(needed / GIGABYTE),
        "there": int(device.memory_bytes / GIGABYTE),
    }
    lengths = [
        frames
        for frames in capabilities.lengths
        if frames <= spec.frames and (frames > 1 or spec.frames == 1)
    ]
    order = list(Resolution)
    for resolution in reversed(order[: order.index(spec.resolution) + 1]):
        if (resolution, spec.aspect) not in capabilities.sizes:
            continue
        clips = (replace(spec, resolution=resolution, frames=each) for each in reversed(lengths))
        longest = next((clip.frames for clip in clips if fits(clip)), None)
        if longest is None:
            continue
        if resolution is spec.resolution:
            return UserError("memory.too_long", longest=longest, **params)
        return UserError("memory.too_large", smaller=resolution, longest=longest, **params)
    return UserError("memory.too_small", **params)


def _no_card(
    spec: Spec, capabilities: Capabilities, footprint: Footprint, device: Device
) -> UserError:
    """Return the error for a missing GPU, where no shorter or smaller clip fits either."""
    if device.problem is not None:
        return UserError(device.problem)
    needed = peak_bytes(footprint, ClipShape.of(spec, capabilities), max(Saving)) + RESERVE_BYTES
    return UserError("gpu.needed", model=capabilities.title, needed=math.ceil(needed / GIGABYTE))
