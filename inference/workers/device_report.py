"""Device report: torch's view of the GPU, read in a child process (`device_child`).

The caller does not import torch.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass

from inference.workers.environment import command, without_secrets

SECONDS = 120.0
"""Time limit for importing torch and finding devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """Description of the device that renders would run on."""

    torch: str | None = None
    """Version of torch; None if it is not installed or cannot be imported."""
    cuda: str | None = None
    """CUDA version that torch was built for; None for a CPU build."""
    driver: str | None = None
    """First line of the driver's description."""
    name: str = "cpu"
    memory_bytes: int = 0
    free_bytes: int = 0
    problem: str | None = None
    """Catalog code of the reason for no GPU, or the type of torch's import error."""


def read_device() -> DeviceReport:
    """Start a child process and return its report."""
    try:
        asked = subprocess.run(  # noqa: S603 - our module
            command("inference.workers.device_child", plugins=True),
            env=without_secrets(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        return DeviceReport(**json.loads(asked.stdout))
    except (subprocess.TimeoutExpired, ValueError, TypeError):
        return DeviceReport(problem="torch.broken")
