"""Ablations of the engine's optimisations; without any of them, the work is the original's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

from benchmarks.opensora import slow
from benchmarks.opensora.job import (
    ATTENTION_ROWS,
    Model,
    on_gpu,
    uses_triton,
    usual_layout,
    usual_slices,
)
from inference.opensora.networks import switch

Without = Callable[[Model], AbstractContextManager[Model]]
"""Context manager that switches one optimisation of a model off."""


@contextmanager
def every_branch(model: Model) -> Iterator[Model]:
    """Evaluate branches whose guidance is 1 too."""
    yield replace(model, sampler=slow.EveryBranch)


@contextmanager
def _prepared_each_time(model: Model) -> Iterator[Model]:
    yield replace(model, prepare_each_time=True)


@contextmanager
def _padded_windows(model: Model) -> Iterator[Model]:
    slow.use_padded_windows(model.transformer, on=True)
    try:
        yield model
    finally:
        slow.use_padded_windows(model.transformer, on=False)


@contextmanager
def _other_rows(model: Model) -> Iterator[Model]:
    model.vae.work_in_slices(frames=None, rows=None if on_gpu(model) else ATTENTION_ROWS)
    try:
        yield model
    finally:
        usual_slices(model.vae)


@contextmanager
def _contiguous_weights(model: Model) -> Iterator[Model]:
    slow.use_contiguous_weights(model.vae)
    try:
        yield model
    finally:
        usual_layout(model.vae)


@contextmanager
def _wide_text(model: Model) -> Iterator[Model]:
    model.text.float()
    try:
        yield model
    finally:
        model.text.to(model.transformer.dtype)


@contextmanager
def _plain_torch(model: Model) -> Iterator[Model]:
    switch.use_kernels(on=False)
    try:
        yield model
    finally:
        switch.use_kernels(on=True)


def short_cuts(model: Model) -> Mapping[str, Without]:
    """Return the optimisations of a model by name, each with its switch."""
    rows = "VAE attention by rows" if on_gpu(model) else "VAE attention in one piece"
    found: dict[str, Without] = {
        "skipping branches whose guidance is 1": every_branch,
        "keys, values and tables once a request": _prepared_each_time,
        "windows without masks": _padded_windows,
        rows: _other_rows,
        "VAE weights channels last": _contiguous_weights,
    }
    if uses_triton(model):
        found = {"Triton kernels": _plain_torch, **found}
    return {**found, "T5 in bf16": _wide_text} if on_gpu(model) else found


@contextmanager
def as_the_original(model: Model) -> Iterator[Model]:
    """Switch all optimisations off, which leaves the work of the original."""
    with ExitStack() as stack:
        for without in short_cuts(model).values():
            model = stack.enter_context(without(model))
        yield model
