"""Record of the last GPU, so that its loss is noticed, also after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from inference.domain.errors import EngineError
from inference.engines.registry import CPU_MODELS

if TYPE_CHECKING:
    from pathlib import Path

    from inference.engines.memory import Device

_log = structlog.get_logger(__name__)


class KnownGpu:
    """Name of the last GPU that a worker had, if any had one.

    Args:
        path: File that keeps it; None keeps it for this process only. Removing the file makes
            the models run on the CPU.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._name = ""

    def note(self, device: Device) -> None:
        """Remember a worker's device. Reads and writes the file: call it from a thread."""
        if self._path is None:
            self._name = self._name if device.is_cpu else device.name
            return
        try:
            if not device.is_cpu and device.name != self._name:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(device.name, encoding="utf-8")
            self._name = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("gpu.not_remembered", error=type(error).__name__)
            self._name = self._name if device.is_cpu else device.name

    def needed_by(self, model: str) -> bool:
        """Return whether a model is rendered on that GPU only."""
        return bool(self._name) and model not in CPU_MODELS

    def problem(self) -> EngineError:
        """Return the error for a lost GPU."""
        return EngineError("gpu.lost", transient=True, name=self._name)

    def check(self, model: str, device: Device) -> None:
        """Check that a model has the GPU that it needs.

        Raises:
            EngineError: `gpu.lost`.
        """
        if device.is_cpu and self.needed_by(model):
            raise self.problem()
