"""Hooks on a pipeline: progress at every step, and checks for cancellation inside one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from diffusers import FirstBlockCacheConfig
from torch import nn

OnStep = Callable[[int, int], None]
"""Called as (steps done, steps in all) after each step; may raise."""

Check = Callable[[], None]
"""Raises when the render is to stop."""

CACHE_THRESHOLD = 0.08
"""Change of the first block's output, relative, below which the others are left out; 0.05 to 0.2 is
advised."""

DENOISERS = ("transformer", "transformer_2")


class _Bar:
    """What a pipeline gets for its progress bar."""

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
def steps_reported(pipeline: Any, on_step: OnStep) -> Iterator[None]:
    """Report the steps of any pipeline: all open a progress bar, not all have a callback."""

    def bar(iterable: Any = None, total: int | None = None) -> _Bar:
        return _Bar(total if total is not None else len(iterable), on_step)

    pipeline.progress_bar = bar
    try:
        yield
    finally:
        del pipeline.progress_bar


@contextmanager
def stoppable(modules: list[nn.Module], check: Check) -> Iterator[None]:
    """Check before every block of the modules: a step of a large model can take a minute."""
    with ExitStack() as stack:
        for module in modules:
            for block in (module, *blocks(module)):
                hook = block.register_forward_pre_hook(lambda *_args: check())
                stack.callback(hook.remove)
        yield


@contextmanager
def counted(modules: list[nn.Module], count: Callable[[int], None]) -> Iterator[None]:
    """Count the evaluations of the modules: called with the size of the batch."""

    def before(_module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        given = options.get("hidden_states", args[0] if args else None)
        count(len(given) if given is not None else 1)

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        yield


@contextmanager
def cached(modules: list[nn.Module]) -> Iterator[None]:
    """Leave out the rest of an evaluation whose first block gave nearly the same as before."""
    caching: list[Any] = [*modules]
    config: Any = FirstBlockCacheConfig
    with ExitStack() as stack:
        for module in caching:
            module.enable_cache(config(threshold=CACHE_THRESHOLD))
            stack.callback(module.disable_cache)
        yield


def blocks(module: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a network: the members of its outermost lists."""
    found: list[nn.Module] = []
    for child in module.children():
        found.extend(child.children() if isinstance(child, nn.ModuleList) else blocks(child))
    return found


def networks(pipeline: Any) -> list[nn.Module]:
    """Return all networks of a pipeline."""
    return [part for part in pipeline.components.values() if isinstance(part, nn.Module)]


def denoisers(pipeline: Any) -> list[nn.Module]:
    """Return the networks that take the steps."""
    parts = (getattr(pipeline, name, None) for name in DENOISERS)
    return [part for part in parts if part is not None]
