"""Notes what operations do on a GPU: bytes alive, waits, leaks of precision, overlong convolutions.

A roofline comes with it: seconds by kind of work, if each operation took the longer of its
arithmetic and its traffic on one H100.
"""

from __future__ import annotations

import functools
import math
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten

COUNTABLE = 2**31 - 1
"""Elements of one sample that the kernels of a convolution can count."""

_SMALL = 1 << 16
"""Elements up to which the precision of a result costs nothing."""

GEMM, ATTENTION, CONVOLUTION = 620e12, 450e12, 350e12
"""Operations per second that one H100 reaches with bf16."""
BANDWIDTH = 2.6e12
"""Bytes per second that it reaches."""
LAUNCH = 5e-6
"""Seconds that starting a kernel takes."""

NUMBER = 2.5
"""What every number is that somebody reads: there are none."""

_READS = {aten.item, aten._local_scalar_dense, aten.is_nonzero, aten.equal}
_PINS = {aten.pin_memory, aten._pin_memory}
_MATRICES = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten._addmm_activation}
_WITHOUT_WORK = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty}
_COPIES = {aten.clone, aten._to_copy, aten.copy_}


class Ledger(TorchDispatchMode):
    """Counts what lives on a GPU of so many bytes, and notes what would be slow or wrong there.

    Attributes:
        alive: Bytes that live now.
        peak: Most bytes that lived at once.
        peaks: The same by stage, with the place in the code.
        waits: How often the host waits for the GPU, by kind and place.
        leaks: Operations that widen bf16 to fp32 because one operand is fp32, by place.
        overlong: Convolutions that see or make more elements than their kernels can count.
        seconds: The roofline, by stage and kind.
        launches: How often each stand-in of a Triton kernel was launched.
        steps: How many steps the host has told of.
        awaited: How many of them it knows to be done, because it waited.
    """

    def __init__(self, memory_bytes: int) -> None:
        super().__init__()
        self.memory_bytes = memory_bytes
        self.alive = self.peak = 0
        self.stage = ""
        self.peaks: dict[str, tuple[int, str]] = {}
        self.waits: Counter[str] = Counter()
        self.leaks: Counter[str] = Counter()
        self.overlong: Counter[str] = Counter()
        self.seconds: Counter[tuple[str, str]] = Counter()
        self.launches: Counter[str] = Counter()
        self.steps = self.awaited = 0
        self._live: dict[int, int] = {}
        self._pinned: set[int] = set()

    def clear(self) -> None:
        """Forget all but what lives."""
        for one in (self.peaks, self.waits, self.leaks, self.overlong, self.seconds):
            one.clear()
        self.launches.clear()
        self.peak, self.steps, self.awaited = self.alive, 0, 0

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Note what happens in the block under a stage."""
        outer, self.stage = self.stage, stage
        try:
            yield
        finally:
            self.stage = outer

    def wait(self, kind: str) -> None:
        """Note that the host waits for the GPU."""
        self.waits[f"{kind}: {place()}"] += 1
        self.awaited = self.steps

    def launch(self, name: str, moved: float) -> None:
        """Note that a kernel of our own was launched, which reads and writes so many bytes."""
        self.launches[name] += 1
        self._spend("memory", max(moved / BANDWIDTH, LAUNCH))

    def pin(self, tensor: Tensor) -> Tensor:
        """Note that a tensor's memory is page-locked, so that nobody waits for copies of it."""
        self._pinned.add(_key(tensor))
        return tensor

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation on fake tensors and note what it does."""
        kwargs = dict(kwargs or {})
        if func.namespace != "aten":  # questions about a tensor
            return func(*args, **kwargs)
        kind = func._overloadpacket
        if kind in _READS:
            return self._read(kind, args[0])
        if kind in _PINS:
            return self.pin(args[0].clone())
        if _is_composite(func.name()):
            # arrives in one piece where no gradient is needed
            attends = kind is aten.scaled_dot_product_attention
            whole = self._attention if attends else func.decompose
            with self:
                return whole(*args, **kwargs)
        pinned = kwargs.pop("pin_memory", False)
        result = func(*args, **kwargs)
        if pinned:
            self.pin(result)
        if kind is aten.convolution:
            result = self._convolved(result, *args[:2])
        self._note(func, args, kwargs, result)
        return result

    def _read(self, kind: Any, tensor: Tensor) -> Any:
        if _on_gpu(tensor):
            self.wait(kind.__name__.strip("_"))
        if kind in {aten.is_nonzero, aten.equal} or tensor.dtype is torch.bool:
            return True
        return NUMBER if tensor.is_floating_point() else int(NUMBER)

    def _note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        made = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        kind = func._overloadpacket
        if kind is aten._to_copy:
            self._crossing(given[0], made[0], patient=not kwargs.get("non_blocking"))
        elif kind is aten.copy_:
            self._crossing(given[1], given[0], patient=True not in (*args[2:], *kwargs.values()))
        made = [one for one in made if _on_gpu(one)]
        if not made:
            return
        known = {_key(one) for one in given}
        fresh = [one for one in made if _key(one) not in known]
        for one in fresh:
            self._hold(one)
        if fresh:
            self._precision(kind, given, fresh)
        if (fresh or func._schema.is_mutable) and kind not in _WITHOUT_WORK:
            self._work(kind, [one for one in given if _on_gpu(one)], fresh or made)

    def _crossing(self, source: Tensor, target: Tensor, *, patient: bool) -> None:
        """Note a copy between host and GPU that the host waits for."""
        if source.device == target.device:
            return
        if patient or not (_on_gpu(source) or _key(source) in self._pinned):
            self.wait("download" if _on_gpu(source) else "upload")

    def _precision(self, kind: Any, given: list[Tensor], fresh: list[Tensor]) -> None:
        """Note operands of two precisions: kernels for matrices refuse, others widen silently."""
        types = {one.dtype for one in given if one.is_floating_point() and one.numel() > 1}
        if kind in _MATRICES or kind is aten.convolution:
            if len(types) > 1:
                raise TypeError(f"{kind.__name__} of {types} at {place()}")
        elif kind is not aten._to_copy and types == {torch.bfloat16, torch.float32}:
            widened = fresh[0].dtype is torch.float32 and fresh[0].numel() > _SMALL
            if widened:
                self.leaks[f"{kind.__name__}: {place()}"] += 1

    def _work(self, kind: Any, given: list[Tensor], written: list[Tensor]) -> None:
        """Add an operation to the roofline."""
        moved = sum(map(_bytes, given)) + sum(map(_bytes, written))
        name, rate, operations = "memory", 1.0, 0.0
        if kind in _MATRICES:
            inner = given[-1].shape[0] if given[-1].ndim == 2 else given[-1].shape[-2]
            name, rate, operations = "matrices", GEMM, 2.0 * written[0].numel() * inner
        elif kind is aten.convolution:
            weight = given[1]
            name, rate = "convolutions", CONVOLUTION
            operations = 2.0 * written[0].numel() * weight[0].numel()
            # cuDNN adds the bias in a pass of its own
            self._spend("memory", 2 * _bytes(written[0]) / BANDWIDTH)
        elif kind in _COPIES:
            name = "copies"
        self._spend(name, max(operations / rate, moved / BANDWIDTH, LAUNCH))

    def _spend(self, kind: str, seconds: float) -> None:
        self.seconds[self.stage, kind] += seconds

    def _convolved(self, result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """Return a convolution's result in the layout that cuDNN gives it."""
        if not _on_gpu(x):
            return result
        longest = max(x[0].numel(), result[0].numel())
        if longest > COUNTABLE:
            self.overlong[f"{longest / 2**31:.1f} x 2**31: {place()}"] += 1
        layout = torch.channels_last_3d if x.ndim == 5 else torch.channels_last
        if not (_laid_out(x, layout) or _laid_out(weight, layout)):
            return result
        if not x.is_contiguous(memory_format=layout):
            self._spend("copies", 2 * _bytes(x) / BANDWIDTH)
            self._reach(self.alive + _bytes(x))
        return torch.empty_like(result, memory_format=layout)

    def _attention(  # noqa: PLR0917 - as torch has it
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **_options: Any,
    ) -> Tensor:
        """Attend as the fused kernels do, which keep no scores; or, where none may, with them."""
        every = [query, key, value, *([] if attn_mask is None else [attn_mask])]
        if len({one.device for one in every}) > 1:
            raise TypeError(f"attention on {[str(one.device) for one in every]} at {place()}")
        if not query.dtype == key.dtype == value.dtype:
            raise TypeError(f"attention of {[one.dtype for one in every]} at {place()}")
        if not all(map(_fusible, (query, key, value))):
            scores = query @ key.transpose(-2, -1)
            if attn_mask is not None:
                scores = scores.masked_fill(attn_mask.logical_not(), -torch.inf)
            return scores.float().softmax(-1).to(query.dtype) @ value
        batch, heads, length, width = query.shape
        out = query.new_empty((batch, length, heads, value.shape[-1]))
        statistics = query.new_empty((batch, heads, length), dtype=torch.float32)
        operations = 2 * batch * heads * length * key.shape[2] * (width + value.shape[-1])
        operations /= 2 if is_causal else 1
        moved = sum(map(_bytes, (query, key, value, out, statistics)))
        self._spend("attention", max(operations / ATTENTION, moved / BANDWIDTH, LAUNCH))
        return out.transpose(1, 2)

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live:
            return
        size = storage.nbytes()
        if self.alive + size > self.memory_bytes:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {size / 1e9:.2f} GB at {place()}")
        self._live[key] = size
        self.alive += size
        weakref.finalize(storage, self._drop, key)
        self._reach(self.alive)

    def _reach(self, size: int) -> None:
        self.peak = max(self.peak, size)
        if size > self.peaks.get(self.stage, (0, ""))[0]:
            self.peaks[self.stage] = size, place()

    def _drop(self, key: int) -> None:
        self.alive -= self._live.pop(key, 0)


def place() -> str:
    """Name the function of the project that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        if "/inference/" in frame.f_code.co_filename:
            return f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "outside"


@functools.cache
def _is_composite(name: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cuda"


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    """Return the bytes behind a tensor; what is broadcast counts once."""
    sides = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(side for side, stride in sides if stride) * tensor.element_size()


def _laid_out(tensor: Tensor, layout: torch.memory_format) -> bool:
    return tensor.is_contiguous(memory_format=layout) and not tensor.is_contiguous()


def _fusible(tensor: Tensor) -> bool:
    """Return whether the fused kernels of attention take a tensor of queries, keys or values."""
    aligned = tensor.stride(-1) == 1 and all(stride % 8 == 0 for stride in tensor.stride()[:-1])
    width = tensor.shape[-1]
    return tensor.dtype is torch.bfloat16 and aligned and width % 8 == 0 and width <= 256
