"""Device child: prints torch's view of the GPU as JSON; started by `device_report`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inference.engines.device import available, cpu, probe
from inference.workers.device_report import DeviceReport

_DRIVER = Path("/proc/driver/nvidia/version")


def _report() -> DeviceReport:
    driver = _DRIVER.read_text().partition("\n")[0] if _DRIVER.exists() else None
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return DeviceReport(driver=driver, memory_bytes=cpu().memory_bytes)
    import torch  # noqa: PLC0415 - takes seconds, and may not be installed

    device = probe()
    return DeviceReport(
        torch=installed,
        cuda=torch.version.cuda,
        driver=driver,
        name=device.name,
        memory_bytes=device.memory_bytes,
        free_bytes=available().memory_bytes,
        problem=device.problem,
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_report())))
