"""Device report: what torch sees of the GPU, asked in a process of its own.

Torch stays out of the caller; `device_child` answers.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass

from inference.workers.environment import command, without_secrets

SECONDS = 120.0
"""Longest that torch may take to be imported and to find its devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """The device that renders would run on."""

    torch: str | None = None
    """Version; None where it is not installed or cannot be imported."""
    cuda: str | None = None
    """The CUDA version that torch was built for; None for a CPU build."""
    driver: str | None = None
    """First line of the driver's own description."""
    name: str = "cpu"
    memory_bytes: int = 0
    free_bytes: int = 0
    problem: str | None = None
    """Catalog code of why no card is seen, or the type of the error on import."""


def read_device() -> DeviceReport:
    """Return the report of a child process."""
    try:
        asked = subprocess.run(  # noqa: S603 - a module of ours
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
