"""Device of a worker process: name, total, free and used memory.

`python -m inference.engines.device` prints how many cards torch sees, for processes without it.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inference.device_errors import unseen_gpu
from inference.domain.device import CPU, Device

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def probe() -> Device:
    """Return the GPU that torch sees, or the CPU.

    Only torch knows what it will run on: visible devices, slices of a card, other makers.
    It is imported here, so call this in a worker process.
    """
    if find_spec("torch") is not None:
        import torch  # noqa: PLC0415 - seconds and hundreds of megabytes, in workers only

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                if torch.cuda.is_available():
                    card = torch.cuda.get_device_properties(0)
                    return Device(name=card.name, memory_bytes=card.total_memory)
            except (RuntimeError, AssertionError) as error:  # the driver broke while it was asked
                return replace(cpu(), problem=_problem(str(error)))
        return replace(cpu(), problem=_problem(" ".join(str(one.message) for one in said)))
    return cpu()


def _problem(words: str) -> str | None:
    """Return the code of why torch sees no card; machines without one say nothing."""
    found = unseen_gpu(words)
    return None if found is None else found.code


def available() -> Device:
    """Return the device with the memory that is free for this process.

    That is what is free, for other programs use the card too, and what this process holds.
    """
    device = probe()
    if torch := _torch_on_a_card():
        free, total = torch.cuda.mem_get_info(0)
        mine = torch.cuda.memory_reserved(0)
        return replace(device, memory_bytes=min(int(total), int(free) + int(mine)))
    return device


def cpu() -> Device:
    """Return the CPU, with the machine's memory."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device(name=CPU, memory_bytes=memory_bytes)


def reset_peak() -> None:
    """Reset the peak memory counter."""
    if torch := _torch_on_a_card():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):  # only Linux has it
        _CLEAR.write_text("5")


def peak_bytes() -> int | None:
    """Return the peak memory since `reset_peak`; None where it is unknown.

    Of the card, what torch gave to tensors; without a card, what the process had in memory.
    """
    if torch := _torch_on_a_card():
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _torch_on_a_card() -> Any:
    """Return torch if this process has it already, and a card."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_available() else None


def _count() -> int:
    if find_spec("torch") is None:
        return 0
    import torch  # noqa: PLC0415 - as in `probe`

    return int(torch.cuda.device_count())


if __name__ == "__main__":
    print(_count())  # noqa: T201 - for the process that asks
