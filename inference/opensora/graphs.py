"""CUDA graphs of the transformer: one launch in place of thousands.

At small shapes the host takes longer to launch kernels than the GPU to run them. A replayed graph
avoids that. A graph reads fixed addresses: inputs are copied there, and it is valid for one shape,
one number of branches and weights that are not moved.
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
    """A recorded run of a function."""

    replay: Callable[[], object]
    """Runs it again, on the current values of its inputs."""
    output: Tensor
    """Tensor that holds the result after `replay`."""
    nbytes: int
    """Device memory that it holds."""


class Recorder(Protocol):
    """Port for recording the work of a device, to replay it later."""

    def record(self, run: Callable[[], Tensor]) -> Recording:
        """Record a function, which must have run once before; recording computes no result.

        Raises:
            RuntimeError: The function cannot be recorded.
        """
        ...


class CudaRecorder:
    """Recorder of CUDA graphs, each with a separate memory pool."""

    def record(self, run: Callable[[], Tensor]) -> Recording:
        """Record a graph for the current shapes, as `Recorder.record` does."""
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # as capturing does: not part of the size
        before = torch.cuda.memory_reserved()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = run()
        taken = torch.cuda.memory_reserved() - before
        return Recording(replay=graph.replay, output=output, nbytes=max(taken, output.nbytes))


class GraphCache:
    """LRU cache of recorded transformer evaluations, for small shapes.

    The first evaluation of a shape runs as usual, which also warms libraries up; the second is
    recorded. Not thread-safe.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        limit_bytes: int = GRAPHS_BYTES,
        most_tokens: int = GRAPHS_TOKENS,
        on_refused: Callable[[RuntimeError], None] = lambda _error: None,
    ) -> None:
        """Create an empty cache.

        Args:
            recorder: Recorder for the device.
            limit_bytes: Memory limit of all graphs with their inputs.
            most_tokens: Evaluations with more tokens over all branches are not recorded.
            on_refused: Called with the error if a shape cannot be recorded; it runs without a
                graph.
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
        """Device memory of all graphs and their inputs."""
        return sum(graph.nbytes for graph in self._graphs.values())

    def __len__(self) -> int:
        return len(self._graphs)

    def denoise(self, model: STDiT3, x: Tensor, timestep: Tensor, conditions: Conditions) -> Tensor:
        """Evaluate the network as `STDiT3.denoise` does, from a graph where possible."""
        graph = self._graph(model, x, timestep, conditions)
        if graph is None:
            return model.denoise(x, timestep, conditions)
        return graph.run(x, timestep)

    def clear(self) -> None:
        """Drop all graphs and free their memory."""
        self._shrink(0)
        self._seen = None

    def _graph(
        self, model: STDiT3, x: Tensor, timestep: Tensor, conditions: Conditions
    ) -> _Graph | None:
        for bound in self._graphs.values():
            if bound.bound() is conditions:
                return bound
        if _tokens(x) > self._most_tokens:
            self.clear()  # large evaluations need the memory
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
        self, key: Hashable, model: STDiT3, x: Tensor, timestep: Tensor, conditions: Conditions
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
    """A recorded transformer evaluation with its input buffers."""

    def __init__(
        self, recorder: Recorder, model: STDiT3, x: Tensor, timestep: Tensor, conditions: Conditions
    ) -> None:
        self._x, self._timestep = x.clone(), timestep.clone()
        self._conditions = _copy_tensors(conditions)
        self.bound = weakref.ref(conditions)
        """The conditions that were last copied to the graph's input buffers."""
        self._recording = recorder.record(
            lambda: model.denoise(self._x, self._timestep, self._conditions)
        )
        inputs = (self._x, self._timestep, self._conditions)
        self.nbytes = self._recording.nbytes + sum(each.nbytes for each in _tensors(inputs))

    def bind(self, conditions: Conditions) -> None:
        """Copy other conditions of the same shapes to the input buffers."""
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
    """Return the addresses of the weights; a graph is invalid after they are moved."""
    return tuple(weight.data_ptr() for weight in model.parameters())


def _members(value: Any) -> list[Any] | None:
    """Return the members of a container; None for anything else."""
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    return None


def _signature(value: Any) -> Hashable:
    """Return a hashable key of a value, with tensors by shape and everything else by value."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    members = _members(value)
    return value if members is None else tuple(map(_signature, members))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    for member in _members(value) or ():
        yield from _tensors(member)


def _copy_tensors(value: Any) -> Any:
    """Return a value with copies of its tensors."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple):
        made = [_copy_tensors(member) for member in value]
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _copy_tensors(getattr(value, field.name)) for field in fields(value)}
        return replace(value, **parts)
    return value
