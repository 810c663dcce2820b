"""Memory check for models that run through diffusers: the plan for a device, or what would fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from inference.diffusers_pipelines.memory_plan import (
    RESERVE_BYTES,
    Footprint,
    Memory,
    Plan,
    Shape,
    choose_plan,
    device_bytes,
    footprint_of,
    host_bytes,
    host_memory,
    plans_of,
    predict_footprint,
)
from inference.domain.errors import UserError
from inference.engines.memory_plan import GIGABYTE, too_large

if TYPE_CHECKING:
    from inference.diffusers_pipelines.traits import Family
    from inference.domain.capabilities import Capabilities
    from inference.domain.device import Device
    from inference.domain.spec import Spec
    from inference.engines.diffusers_adapter.video_model import VideoModelEntry


def find_footprint(entry: VideoModelEntry, *, on_cpu: bool = False) -> Footprint:
    """Return the footprint of the weights on disk, or of those that would be downloaded."""
    if entry.folder is not None:
        return footprint_of(entry.folder, on_cpu=on_cpu)
    assert entry.preset is not None  # noqa: S101 - `entry_of` makes no other
    quantized = {name: file.stat().st_size for name, file in entry.gguf.items()}
    return predict_footprint(entry.preset, on_cpu=on_cpu, quantized=quantized)


def check_fit(
    spec: Spec, capabilities: Capabilities, entry: VideoModelEntry, device: Device
) -> None:
    """Check that a render fits a device, before it is accepted.

    Raises:
        UserError: `memory.*`, `gpu.*`: it does not fit; the error names the nearest that does.
    """
    if not device.is_cpu:
        plan_for(
            spec,
            capabilities,
            entry.family,
            find_footprint(entry),
            device=device,
            host=host_memory(),
        )
        return
    if device.problem is not None:
        raise UserError(device.problem)
    if find_footprint(entry, on_cpu=True).total_bytes > device.memory_bytes:
        least = least_bytes(spec, capabilities, entry.family, find_footprint(entry))
        needed = math.ceil(least / GIGABYTE)
        raise UserError("gpu.needed", model=capabilities.title, needed=needed)


def least_bytes(
    spec: Spec, capabilities: Capabilities, family: Family, footprint: Footprint
) -> int:
    """Return the memory of the smallest GPU that a render fits, in bytes."""
    shape = _shape(spec, capabilities)
    least = min(device_bytes(footprint, family, shape, one) for one in plans_of(footprint))
    return least + RESERVE_BYTES


def _shape(spec: Spec, capabilities: Capabilities) -> Shape:
    size = capabilities.sizes[spec.resolution, spec.aspect]
    return Shape(width=size.width, height=size.height, frames=spec.frames)


def plan_for(
    spec: Spec,
    capabilities: Capabilities,
    family: Family,
    footprint: Footprint,
    *,
    device: Device,
    host: int,
) -> Plan:
    """Return the memory plan of a render on a device.

    Args:
        spec: The render.
        capabilities: The model's capabilities.
        family: The model's family.
        footprint: `find_footprint`, or the footprint of loaded weights.
        device: The device with the memory that may be used.
        host: Memory of the machine, in bytes.

    Raises:
        UserError: `memory.*`, `gpu.*`: it does not fit; the error names the nearest that does.
    """
    memory = Memory(device_bytes=device.memory_bytes, host_bytes=host)

    def plan(clip: Spec) -> Plan | None:
        return choose_plan(footprint, family, _shape(clip, capabilities), memory)

    in_host = host_bytes(footprint)
    if in_host > host:
        gigabytes = {"needed": math.ceil(in_host / GIGABYTE), "there": int(host / GIGABYTE)}
        raise UserError("memory.machine", model=capabilities.title, **gigabytes)
    found = plan(spec)
    if found is not None:
        return found
    needed = least_bytes(spec, capabilities, family, footprint)
    raise too_large(spec, capabilities, device, needed, lambda clip: plan(clip) is not None)
