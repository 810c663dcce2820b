"""Hooks on pipelines: progress at every step, cancellation within steps, and caching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from diffusers import FirstBlockCacheConfig
from torch import nn

from inference.diffusers_pipelines.traits import DENOISERS

OnStep = Callable[[int, int], None]
"""Called as (steps done, steps in all) after each step; may raise."""

Check = Callable[[], None]
"""Raises if the render must stop."""

CACHE_THRESHOLD = 0.08
"""Relative change of the first block's output below which the other blocks are skipped. The
documentation of FirstBlockCache in diffusers advises 0.05 to 0.2."""


class _Bar:
    """Progress bar of a pipeline that calls `on_step`."""

    def __init__(self, total: int, on_step: OnStep) -> None:
        self.total = total
        self._on_step = on_step
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        self._done += count
        self._on_step(self._done, self.total)


@contextmanager
def report_steps(pipeline: Any, on_step: OnStep) -> Iterator[None]:
    """Report the steps of a pipeline through its progress bar; not all pipelines have callbacks."""

    def bar(iterable: Any = None, total: int | None = None) -> _Bar:
        return _Bar(total if total is not None else len(iterable), on_step)

    pipeline.progress_bar = bar
    try:
        yield
    finally:
        del pipeline.progress_bar


@contextmanager
def stop_between_blocks(modules: list[nn.Module], check: Check) -> Iterator[None]:
    """Call `check` before every block, because a step of a large model can take a minute."""
    with ExitStack() as stack:
        for module in modules:
            for block in (module, *blocks(module)):
                hook = block.register_forward_pre_hook(lambda *_args: check())
                stack.callback(hook.remove)
        yield


@contextmanager
def count_evaluations(modules: list[nn.Module], count: Callable[[int], None]) -> Iterator[None]:
    """Call `count` with the batch size of every evaluation of the modules."""

    def before(_module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        given = options.get("hidden_states", args[0] if args else None)
        count(len(given) if given is not None else 1)

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        yield


@contextmanager
def cache_blocks(modules: list[nn.Module]) -> Iterator[None]:
    """Enable FirstBlockCache, which skips other blocks if the first one's output hardly changed."""
    caching: list[Any] = [*modules]
    config: Any = FirstBlockCacheConfig
    with ExitStack() as stack:
        for module in caching:
            module.enable_cache(config(threshold=CACHE_THRESHOLD))
            stack.callback(module.disable_cache)
        yield


def blocks(module: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a network: the members of its outermost module lists."""
    found: list[nn.Module] = []
    for child in module.children():
        found.extend(child.children() if isinstance(child, nn.ModuleList) else blocks(child))
    return found


def networks(pipeline: Any) -> list[nn.Module]:
    """Return all networks of a pipeline."""
    return [part for part in pipeline.components.values() if isinstance(part, nn.Module)]


def denoisers(pipeline: Any) -> list[nn.Module]:
    """Return the transformers of a pipeline, which denoise."""
    parts = (getattr(pipeline, name, None) for name in DENOISERS)
    return [part for part in parts if part is not None]
