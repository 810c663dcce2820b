"""Devices of this machine: names of slots, how a worker is bound to one, and the last GPU seen."""

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
"""The first card that there is, else the CPU."""

CARD = "cuda:"
"""What the name of a card begins with; its number follows."""

_VISIBLE, _THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"

_COUNT_SECONDS = 120.0
"""Longest that counting may take; importing torch from a cold disk is slow."""


def slot_names(devices: Sequence[str]) -> list[str]:
    """Return a name for a slot on each device; those of the same device are numbered."""
    return [
        device if devices.count(device) == 1 else f"{device} #{devices[:number].count(device) + 1}"
        for number, device in enumerate(devices)
    ]


def binding(device: str, devices: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that bind a worker to its device.

    Args:
        device: `auto`, `cpu` or `cuda:<number>`, counted as torch does in this process.
        devices: Of all slots: those on the CPU share its cores.
        environment: Of this process; what it says of threads is kept.
    """
    if device == AUTO:
        return {}
    if device != CPU:
        number = int(device.removeprefix(CARD))
        visible = [name for name in environment.get(_VISIBLE, "").split(",") if name.strip()]
        return {_VISIBLE: visible[number] if number < len(visible) else str(number)}
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = max(1, cores // devices.count(CPU))
    shared = devices.count(CPU) > 1 and _THREADS not in environment
    return {_VISIBLE: "", **({_THREADS: str(threads)} if shared else {})}


def missing(devices: Sequence[str]) -> tuple[list[str], int]:
    """Return which of these cards are not there, and how many there are; takes seconds."""
    if not any(device.startswith(CARD) for device in devices):
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
    except subprocess.TimeoutExpired:  # a driver that hangs; the workers will tell
        return [], 0
    # A library that breaks at import shows no card either.
    count = int(counted.stdout) if counted.stdout.strip().isdecimal() else 0
    cards = {f"{CARD}{number}" for number in range(count)}
    absent = [one for one in devices if one.startswith(CARD) and one not in cards]
    return list(dict.fromkeys(absent)), count


_log = structlog.get_logger(__name__)


class KnownGpu:
    """Name of the last GPU that a worker had, so that its loss is noticed, also after a restart.

    Args:
        path: File that keeps it; None keeps it for this process only. Removing the file makes
            the models run on the CPU.
        named: The card that there has to be, whether one was seen before or not.
    """

    def __init__(self, path: Path | None, named: str = "") -> None:
        self._path = path
        self._named = self._name = named

    def note(self, device: Device) -> None:
        """Remember a worker's device. Reads and writes the file: call it from a thread."""
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
        """Whether there ever was one."""
        return bool(self._name)

    def problem(self) -> EngineError:
        """Return the error for a lost GPU."""
        return EngineError("gpu.lost", transient=True, name=self._name)

    def check(self, device: Device) -> None:
        """Check that the GPU is there, for a model that needs one.

        Raises:
            EngineError: `gpu.lost`.
        """
        if device.is_cpu and self.known:
            raise self.problem()
