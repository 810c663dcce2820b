"""The most memory that tensors hold at once, as no kernel's scratch space blurs it."""

from __future__ import annotations

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """Counts the storages that operations make inside the block, and those that live on."""

    def __init__(self):
        super().__init__()
        self.peak_bytes = 0
        self._live = {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        known = {id(leaf) for leaf in tree_leaves((args, kwargs))}
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and id(tensor) not in known:
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage):
        key = storage._cdata
        if key not in self._live:
            self._live[key] = storage.nbytes()
            weakref.finalize(storage, self._live.pop, key, None)
            self.peak_bytes = max(self.peak_bytes, sum(self._live.values()))
