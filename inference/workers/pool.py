"""Pool of all slots of this installation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from typing import Self

import structlog

from inference.bug_report import log_bug
from inference.domain.device import Device
from inference.domain.errors import EngineError
from inference.domain.spec import Spec
from inference.workers.slot import Slot

_log = structlog.get_logger(__name__)


def _anything(_spec: Spec, _device: Device) -> bool:
    return True


class Pool:
    """Slots that are started and stopped together.

    Use as an async context manager.

    Args:
        slots: At least one slot; names are unique.
        fits: Returns whether a device has the memory for a render.
        on_cpu: Models that slots without a GPU may render even if other slots have one.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        fits: Callable[[Spec, Device], bool] = _anything,
        on_cpu: Container[str] = frozenset(),
    ) -> None:
        self.slots = tuple(slots)
        self._fits = fits
        self._on_cpu = on_cpu

    async def __aenter__(self) -> Self:
        for slot in self.slots:
            await slot.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.TaskGroup() as closing:
            for slot in self.slots:
                closing.create_task(slot.__aexit__())

    @property
    def away(self) -> bool:
        """Whether no slot could start a worker."""
        return all(slot.away for slot in self.slots)

    @property
    def restarts(self) -> int:
        """Number of worker restarts."""
        return sum(slot.restarts for slot in self.slots)

    @property
    def kinds(self) -> set[str]:
        """Names of the known devices."""
        return {slot.device.name for slot in self.slots if slot.device is not None}

    def fits(self, spec: Spec, name: str) -> bool:
        """Return whether a render fits a slot, by name.

        A render that fits no slot may go to any: its engine raises the error with the reason.
        """
        known = {slot.name: slot.device for slot in self.slots if slot.device is not None}
        if len(set(known.values())) < 2:  # noqa: PLR2004 - all alike
            return True
        gpus = spec.model not in self._on_cpu and any(
            not device.is_cpu for device in known.values()
        )
        able = {
            name
            for name, device in known.items()
            if not (gpus and device.is_cpu) and self._fits_device(spec, device)
        }
        return name in able or not able

    def _fits_device(self, spec: Spec, device: Device) -> bool:
        """Return whether a device has the memory; True if a plugin's check raises."""
        try:
            return self._fits(spec, device)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            log_bug(_log, "pool.memory_check_failed", error, model=spec.model)
            return True

    @property
    def device(self) -> Device | None:
        """The device with the most memory, which limits what can be rendered."""
        devices = [slot.device for slot in self.slots if slot.device is not None]
        gpus = [device for device in devices if not device.is_cpu]
        return max(gpus or devices, key=lambda device: device.memory_bytes, default=None)

    def check_gpu(self, model: str) -> None:
        """Check that at least one slot has not lost its GPU, for a model that needs one.

        Raises:
            EngineError: `gpu.lost`.
        """
        problems = []
        for slot in self.slots:
            try:
                slot.check_gpu(model)
            except EngineError as error:
                problems.append(error)
        if len(problems) == len(self.slots):
            raise problems[0]
