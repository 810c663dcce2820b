"""CUDA graphs of the transformer: one launch in place of thousands.

An evaluation of a small shape is over before the host has launched its kernels. Replayed as a
graph it is not, but a graph is bound to its memory: inputs are copied to where it reads them, and
it holds for one shape, one number of branches and weights that stay where they are.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from inference.device_errors import is_out_of_memory
from inference.opensora.config import GRAPHS_BYTES, GRAPHS_TOKENS
from inference.opensora.networks.fp8 import uses_fp8

if TYPE_CHECKING:
    from inference.opensora.networks.transformer import Conditions, STDiT3


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recorded evaluation."""

    replay: Callable[[], object]
    """Runs it again, on what its inputs hold then."""
    output: Tensor
    """Where its result is after that."""
    nbytes: int
    """Of device memory that it keeps."""


class Recorder(Protocol):
    """Records what a device does."""

    def record(self, run: Callable[[], Tensor]) -> Recording:
        """Record a function that has run before, without its effect.

        Raises:
            RuntimeError: It cannot be recorded.
        """
        ...


class CudaRecorder:
    """Records CUDA graphs, each with memory of its own."""

    def record(self, run: Callable[[], Tensor]) -> Recording:
        """See `Recorder.record`."""
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # as capturing does, which would hide what the graph takes
        before = torch.cuda.memory_reserved()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = run()
        taken = torch.cuda.memory_reserved() - before
        return Recording(replay=graph.replay, output=output, nbytes=max(taken, output.nbytes))


class GraphCache:
    """The transformer's evaluations, replayed where their shape is small.

    The first evaluation of a shape runs as usual, which also warms libraries up; the second is
    recorded. What was not used for the longest time goes first. Not for use from several threads.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        limit_bytes: int = GRAPHS_BYTES,
        most_tokens: int = GRAPHS_TOKENS,
        on_refused: Callable[[RuntimeError], None] = lambda _error: None,
    ) -> None:
        """Begin without graphs.

        Args:
            recorder: Of the device.
            limit_bytes: Of all graphs with their inputs.
            most_tokens: Of all branches, for an evaluation to be recorded.
            on_refused: Called with why a shape cannot be recorded; it runs without a graph.
        """
        self._recorder = recorder
        self._on_refused = on_refused
        self._limit_bytes = limit_bytes
        self._most_tokens = most_tokens
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._seen: Hashable = None
        """Key of the evaluation that ran last without a graph."""
        self._refused: set[Hashable] = set()

    @property
    def nbytes(self) -> int:
        """Bytes of all graphs and their inputs."""
        return sum(graph.nbytes for graph in self._graphs.values())

    def __len__(self) -> int:
        return len(self._graphs)

    def denoise(self, model: STDiT3, x: Tensor, timestep: Tensor, conditions: Conditions) -> Tensor:
        """Return what `STDiT3.denoise` returns."""
        graph = self._graph(model, x, timestep, conditions)
        if graph is None:
            return model.denoise(x, timestep, conditions)
        return graph.run(x, timestep)

    def clear(self) -> None:
        """Give all memory back."""
        self._shrink(0)
        self._seen = None

    def _graph(
        self, model: STDiT3, x: Tensor, timestep: Tensor, conditions: Conditions
    ) -> _Graph | None:
        for bound in self._graphs.values():
            if bound.bound() is conditions:
                return bound
        if _tokens(x) > self._most_tokens:
            self.clear()  # whatever is this large needs the memory
            return None
        key = (_signature((x, timestep, conditions)), uses_fp8(model), _places(model))
        graph = self._graphs.get(key)
        if graph is not None:
            self._graphs.move_to_end(key)
            graph.bind(conditions)
            return graph
        if key in self._refused:
            return None
        if key != self._seen:
            self._seen = key
            return None
        return self._record(key, model, x, timestep, conditions)

    def _record(
        self,
        key: Hashable,
        model: STDiT3,
        x: Tensor,
        timestep: Tensor,
        conditions: Conditions,
    ) -> _Graph | None:
        try:
            graph = _Graph(self._recorder, model, x, timestep, conditions)
        except RuntimeError as error:
            if is_out_of_memory(error):
                self.clear()
            self._on_refused(error)
            self._refused.add(key)
            return None
        if graph.nbytes > self._limit_bytes:
            self._refused.add(key)
            return None
        self._graphs[key] = graph
        self._shrink(self._limit_bytes)
        return graph

    def _shrink(self, most: int) -> None:
        if self.nbytes <= most:
            return
        while self.nbytes > most:
            self._graphs.popitem(last=False)
        torch.cuda.empty_cache()


class _Graph:
    """A recorded evaluation with its inputs."""

    def __init__(
        self,
        recorder: Recorder,
        model: STDiT3,
        x: Tensor,
        timestep: Tensor,
        conditions: Conditions,
    ) -> None:
        self._x, self._timestep = x.clone(), timestep.clone()
        self._conditions = _copied(conditions)
        self.bound = weakref.ref(conditions)
        """The conditions that are copied to where the graph reads them, while their job lasts."""
        self._recording = recorder.record(
            lambda: model.denoise(self._x, self._timestep, self._conditions)
        )
        inputs = (self._x, self._timestep, self._conditions)
        self.nbytes = self._recording.nbytes + sum(each.nbytes for each in _tensors(inputs))

    def bind(self, conditions: Conditions) -> None:
        """Take other conditions of the same shapes."""
        for mine, given in zip(_tensors(self._conditions), _tensors(conditions), strict=True):
            mine.copy_(given)
        self.bound = weakref.ref(conditions)

    def run(self, x: Tensor, timestep: Tensor) -> Tensor:
        """Evaluate the network."""
        self._x.copy_(x)
        self._timestep.copy_(timestep)
        self._recording.replay()
        return self._recording.output.clone()


def _tokens(x: Tensor) -> int:
    batch, _, frames, height, width = x.shape
    return batch * frames * ceil(height / 2) * ceil(width / 2)


def _places(model: STDiT3) -> tuple[int, ...]:
    """Return where the weights are: elsewhere a graph would read what is there now."""
    return tuple(weight.data_ptr() for weight in model.parameters())


def _members(value: Any) -> list[Any] | None:
    """Return what a container holds; None for anything else."""
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    return None


def _signature(value: Any) -> Hashable:
    """Return the shapes of all tensors in a value, and everything else as it is."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    members = _members(value)
    return value if members is None else tuple(map(_signature, members))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    for member in _members(value) or ():
        yield from _tensors(member)


def _copied(value: Any) -> Any:
    """Return a value with copies of its tensors."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple):
        made = [_copied(member) for member in value]
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _copied(getattr(value, field.name)) for field in fields(value)}
        return replace(value, **parts)
    return value
