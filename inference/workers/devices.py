"""Devices of this machine: slot names, binding of workers to devices, and lost GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from inference.domain.device import CPU
from inference.domain.errors import EngineError
from inference.workers.environment import command, without_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from inference.domain.device import Device

AUTO = "auto"
"""Device setting for the first GPU, or the CPU without one."""

GPU = "cuda:"
"""Prefix of a GPU's name; its number follows."""

_VISIBLE, _THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"

_COUNT_SECONDS = 120.0
"""Time limit of counting GPUs; importing torch from a cold disk is slow."""


def slot_names(devices: Sequence[str]) -> list[str]:
    """Return the name of the slot on each device; slots of the same device are numbered."""
    return [
        device if devices.count(device) == 1 else f"{device} #{devices[:number].count(device) + 1}"
        for number, device in enumerate(devices)
    ]


def device_environment(
    device: str, devices: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment variables that bind a worker to its device.

    Args:
        device: `auto`, `cpu` or `cuda:<number>`, numbered as by torch in this process.
        devices: Devices of all slots; those on the CPU share its cores.
        environment: Environment of this process, whose thread settings are kept.
    """
    if device == AUTO:
        return {}
    if device != CPU:
        number = int(device.removeprefix(GPU))
        visible = [name for name in environment.get(_VISIBLE, "").split(",") if name.strip()]
        return {_VISIBLE: visible[number] if number < len(visible) else str(number)}
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = max(1, cores // devices.count(CPU))
    shared = devices.count(CPU) > 1 and _THREADS not in environment
    return {_VISIBLE: "", **({_THREADS: str(threads)} if shared else {})}


def missing(devices: Sequence[str]) -> tuple[list[str], int]:
    """Return those of some GPUs that do not exist, and the number of GPUs. Takes seconds."""
    if not any(device.startswith(GPU) for device in devices):
        return [], 0
    try:
        counted = subprocess.run(  # noqa: S603 - a module of ours
            command("inference.engines.device"),
            env=without_secrets(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=_COUNT_SECONDS,
        )
    except subprocess.TimeoutExpired:  # the driver hangs; workers will report it
        return [], 0
    # No number if a library fails to import, which counts as no GPU.
    count = int(counted.stdout) if counted.stdout.strip().isdecimal() else 0
    gpus = {f"{GPU}{number}" for number in range(count)}
    absent = [one for one in devices if one.startswith(GPU) and one not in gpus]
    return list(dict.fromkeys(absent)), count


_log = structlog.get_logger(__name__)


class KnownGpu:
    """Name of the last GPU of a worker, to detect that it was lost, also after a restart.

    Args:
        path: File with the name; None keeps it in memory. If the file is deleted, models may run
            on the CPU.
        named: GPU that the configuration requires, even if it was never seen.
    """

    def __init__(self, path: Path | None, named: str = "") -> None:
        self._path = path
        self._named = self._name = named

    def note(self, device: Device) -> None:
        """Save a worker's device. Reads and writes the file: call it from a thread."""
        if self._path is None:
            self._name = self._name if device.is_cpu else device.name
            return
        try:
            if not device.is_cpu and device.name != self._name:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(device.name, encoding="utf-8")
            self._name = (
                self._path.read_text(encoding="utf-8") if self._path.is_file() else self._named
            )
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("gpu.not_remembered", error=type(error).__name__)
            self._name = self._name if device.is_cpu else device.name

    @property
    def known(self) -> bool:
        """Whether a GPU was seen or is required."""
        return bool(self._name)

    def problem(self) -> EngineError:
        """Return the error for a lost GPU."""
        return EngineError("gpu.lost", transient=True, name=self._name)

    def check(self, device: Device) -> None:
        """Check that a device is a GPU if one is known, for a model that needs one.

        Raises:
            EngineError: `gpu.lost`.
        """
        if device.is_cpu and self.known:
            raise self.problem()
