"""Device of a worker process: name, total, free and used memory.

`python -m inference.engines.device` prints the number of GPUs, for processes without torch.
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
    """Return the GPU that torch uses, or the CPU.

    Only torch knows which device it will use, given visible devices, MIG slices and vendors. This
    imports torch, so call it in a worker process.
    """
    if find_spec("torch") is not None:
        import torch  # noqa: PLC0415 - takes seconds and hundreds of MB; in workers only

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                if torch.cuda.is_available():
                    gpu = torch.cuda.get_device_properties(0)
                    return Device(name=gpu.name, memory_bytes=gpu.total_memory)
            except (RuntimeError, AssertionError) as error:  # the driver failed
                return replace(cpu(), problem=_problem(str(error)))
        return replace(cpu(), problem=_problem(" ".join(str(one.message) for one in said)))
    return cpu()


def _problem(words: str) -> str | None:
    """Return the code for torch's reason to see no GPU; None if the machine has none."""
    found = unseen_gpu(words)
    return None if found is None else found.code


def available() -> Device:
    """Return the device with the memory that this process may use.

    That is the free memory and what this process holds already; other programs have the rest.
    """
    device = probe()
    if torch := _torch_on_gpu():
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
    if torch := _torch_on_gpu():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):  # Linux only
        _CLEAR.write_text("5")


def peak_bytes() -> int | None:
    """Return the peak memory since `reset_peak`; None where it is unknown.

    On a GPU, memory that torch allocated for tensors; on the CPU, the process's resident memory.
    """
    if torch := _torch_on_gpu():
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _torch_on_gpu() -> Any:
    """Return torch if this process has imported it and has a GPU, else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_available() else None


def _count() -> int:
    if find_spec("torch") is None:
        return 0
    import torch  # noqa: PLC0415 - as in `probe`

    return int(torch.cuda.device_count())


if __name__ == "__main__":
    print(_count())  # noqa: T201 - read by the calling process
