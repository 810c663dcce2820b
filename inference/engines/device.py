"""The accelerator a worker process has, by name and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One card, or the CPU."""

    name: str
    """As its maker calls it; "cpu" without one."""
    memory_bytes: int
    """The card's memory, or the machine's."""


def probe() -> Device:
    """Ask torch for the card and fall back to the CPU.

    Only torch knows what it will run on: visible devices, slices of a card, other makers.
    It is imported here, so call this in a worker process.
    """
    if find_spec("torch") is not None:
        import torch  # noqa: PLC0415 - seconds and hundreds of megabytes, in workers only

        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            return Device(name=card.name, memory_bytes=card.total_memory)
    return cpu()


def cpu() -> Device:
    """Return the machine itself."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device(name="cpu", memory_bytes=memory_bytes)
