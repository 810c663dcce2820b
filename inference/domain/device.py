"""A device that renders: a GPU or the CPU."""

from __future__ import annotations

from dataclasses import dataclass

CPU = "cpu"
"""Name of the device of a machine without a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU or the CPU, with its memory."""

    name: str
    """As its maker calls it; "cpu" without one. Devices of one name are of one kind: estimates
    that were learned on one hold on the other."""
    memory_bytes: int
    """The GPU's memory, or the machine's."""
    problem: str | None = None
    """Catalog code of why no GPU is seen, where that is known."""

    @property
    def is_cpu(self) -> bool:
        """Whether there is no GPU."""
        return self.name == CPU
