"""Checks of the machine: Python, torch, the GPU, memory for each model, and the disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from bot import factories
from bot.config.sections import Config
from bot.doctor.findings import Finding, fail, ok, warn
from inference.domain.device import Device
from inference.domain.errors import UserError
from inference.domain.spec import Resolution
from inference.engines.entry import ModelEntry
from inference.workers.device_report import DeviceReport

LEAST_PYTHON = (3, 11)

GIGABYTE = 1e9

LOW_BYTES = 5 * GIGABYTE
"""Free on the data disk: a week of clips of a small team."""

FULL_BYTES = 0.5 * GIGABYTE
"""Below this clips and backups begin to fail."""


def python(version: Sequence[int] = sys.version_info[:3]) -> Iterator[Finding]:
    """Check the interpreter."""
    shown = ".".join(map(str, version))
    if tuple(version[:2]) < LEAST_PYTHON:
        yield fail("python", "doctor.python.old", version=shown)
    else:
        yield ok("python", "doctor.python.fine", version=shown)


def torch(config: Config, report: DeviceReport) -> Iterator[Finding]:
    """Check that torch is there for the models that need it."""
    if report.torch is not None:
        build = report.cuda and f"CUDA {report.cuda}"
        yield ok("torch", "doctor.torch.fine", version=report.torch, build=build or "CPU")
    elif report.problem is not None:
        yield fail("torch", "doctor.torch.broken")
    elif needing := [each.capabilities.name for each in _models(config) if each.uses_torch]:
        yield fail("torch", "doctor.torch.missing", models=", ".join(needing))
    else:
        yield ok("torch", "doctor.torch.unneeded")


def gpu(config: Config, report: DeviceReport) -> Iterator[Finding]:
    """Check that a GPU is seen where an installed model needs one."""
    if report.torch is None:
        return
    if report.name != "cpu":
        driver = report.driver or "?"
        size = _gigabytes(report.memory_bytes)
        yield ok("gpu", "doctor.gpu.fine", name=report.name, size=size, driver=driver)
        return
    needing = [each.capabilities.title for each in _models(config) if each.needs_card]
    if not needing:
        yield ok("gpu", "doctor.gpu.unneeded")
    elif report.problem is not None:
        yield fail("gpu", f"error.{report.problem}")
    elif report.cuda is None:
        yield fail("gpu", "doctor.gpu.cpu_build", models=", ".join(needing))
    else:
        yield fail("gpu", "doctor.gpu.missing", models=", ".join(needing))


def memory(config: Config, report: DeviceReport) -> Iterator[Finding]:
    """Compare the free memory of the GPU with what each installed model takes at most."""
    if report.name == "cpu":
        return
    for entry in _models(config):
        model = entry.capabilities
        if not entry.needs_card:
            continue
        check = f"memory.{model.name}"
        whole = Device(name=report.name, memory_bytes=report.memory_bytes)
        left = Device(name=report.name, memory_bytes=report.free_bytes)
        there = [r for r in model.resolutions if entry.fits(r, whole)]
        free = [r for r in model.resolutions if entry.fits(r, left)]
        numbers = {
            "model": model.title,
            "free": _gigabytes(report.free_bytes),
            "size": _gigabytes(report.memory_bytes),
        }
        if not there:
            yield _too_small(entry, whole, check, numbers)
        elif not free:
            yield fail(check, "doctor.memory.in_use", **numbers)
        elif len(free) < len(model.resolutions):
            yield warn(check, "doctor.memory.partly", **numbers, most=max(free, key=_order).value)
        else:
            yield ok(check, "doctor.memory.fine", **numbers)


def _too_small(
    entry: ModelEntry, device: Device, check: str, numbers: Mapping[str, str]
) -> Finding:
    """Say which memory is too small: the GPU's, or the machine's."""
    try:
        entry.check_memory(entry.largest_spec(entry.capabilities.resolutions[0]), device)
    except UserError as error:
        if error.code == "memory.machine":
            return fail(check, "error.memory.machine", **error.params)
    return fail(check, "doctor.memory.too_small", **numbers)


def disk(config: Config, free: int | None = None) -> Iterator[Finding]:
    """Check the free space where the data lies, and where backups do if that is another disk."""
    folder, backups = _nearest(config.bot.data_dir), _nearest(factories.backup_folder(config))
    if free is None and not shutil.disk_usage(folder).total:
        return  # /proc and the like have no room to tell; the data folder is told by its own check
    yield _disk(folder, free)
    if config.backup.keep and not _same_disk(folder, backups):
        yield _disk(backups, free)


def _disk(folder: Path, free: int | None) -> Finding:
    free = shutil.disk_usage(folder).free if free is None else free
    numbers = {"free": _gigabytes(free), "path": str(folder)}
    if free < FULL_BYTES:
        return fail("disk", "doctor.disk.full", **numbers)
    if free < LOW_BYTES:
        return warn("disk", "doctor.disk.low", **numbers)
    return ok("disk", "doctor.disk.fine", **numbers)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _models(config: Config) -> list[ModelEntry]:
    try:
        return factories.models(config).usable(config.models.installed)
    except (UserError, ValidationError):  # told with the config
        return []


def _order(resolution: Resolution) -> int:
    return list(Resolution).index(resolution)


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if os.path.isdir(one))  # noqa: PTH112


def _gigabytes(size: float) -> str:
    return f"{size / GIGABYTE:.1f}"
