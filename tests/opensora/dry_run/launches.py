"""Stand-ins for the Triton kernels: a launch computes nothing, the ledger hears of its traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any
from unittest import mock

from torch import Tensor

from inference.opensora.networks import backends
from inference.opensora.networks.kernels import clips, tokens
from tests.opensora.dry_run.ledger import Ledger, place

Traffic = Callable[[tuple[int, ...], list[Tensor], dict[str, Any]], float]


def _rows(grid: tuple[int, ...], x: Tensor) -> int:
    return grid[0] * x.shape[-1] * x.element_size()


TRAFFIC: dict[str, Traffic] = {
    "_add_norm_modulate": lambda grid, given, how: _rows(grid, given[0]) * (2 + 2 * how["ADDS"]),
    "_add_gated": lambda grid, given, _: _rows(grid, given[0]) * 3,
    "_norm_rotate": lambda _grid, given, _: given[0].nbytes * 4 / 3,
    "_statistics": lambda _grid, given, _: given[0].nbytes,
    "_scaled": lambda _grid, given, how: (
        given[0].nbytes + given[4].nbytes + how["SKIPS"] * given[3].nbytes
    ),
}
"""Bytes that a launch reads and writes, by kernel; values of channels and tables are left out."""


@contextmanager
def stood_in(ledger: Ledger) -> Iterator[None]:
    """Let the kernels be there in the block, and agree with their definitions when asked."""
    with ExitStack() as stack:
        for name, traffic in TRAFFIC.items():
            home = tokens if hasattr(tokens, name) else clips
            stack.enter_context(mock.patch.object(home, name, _Kernel(name, traffic, ledger)))
        for name in ("_missing", "_difference"):
            stack.enter_context(mock.patch.object(backends, name, return_value=None))
        yield


class _Kernel:
    """What `kernels` takes for a function of Triton's."""

    def __init__(self, name: str, traffic: Traffic, ledger: Ledger) -> None:
        self._name, self._traffic, self._ledger = name, traffic, ledger

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        """Return what launches so many programs."""

        def launch(*given: object, **how: object) -> None:
            tensors = [one for one in given if isinstance(one, Tensor)]
            absent = {str(one.device) for one in tensors if one.device.type != "cuda"}
            if absent:
                raise TypeError(f"{self._name} of devices {absent} at {place()}")
            if prod(grid):
                self._ledger.launch(self._name, self._traffic(grid, tensors, how))

        return launch
