"""Compilation of a transformer's repeated blocks; without a compiler they run eagerly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import structlog
import torch
from torch import nn
from torch._dynamo import config as dynamo

from inference.device_errors import is_out_of_memory

_log = structlog.get_logger(__name__)

BACKEND: Any = "inductor"
"""Backend of `torch.compile`."""


class BlockCompiler:
    """Compiler of blocks' `forward` methods; hooks on the blocks stay outside the graph.

    Blocks of one class share their code, so it is compiled once for all of them.

    Args:
        wanted: Whether to compile.
    """

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted
        self.active = wanted
        """False after compilation failed, or if there was nothing to compile."""
        self._compiled: dict[int, Callable[..., Any]] = {}

    @contextmanager
    def over(self, networks: list[nn.Module]) -> Iterator[None]:
        """Context manager in which the networks' blocks run compiled."""
        if not self.active:
            yield
            return
        found = [block for network in networks for block in find_repeated_blocks(network)]
        if not found:
            self._give_up("no_blocks")
        with ExitStack() as stack:
            for block in found:
                replaced: Any = block
                replaced.forward = self._forward(block)
                stack.callback(delattr, block, "forward")
            yield

    def _forward(self, block: nn.Module) -> Callable[..., Any]:
        if id(block) not in self._compiled:
            eager = block.forward
            compiled = torch.compile(eager, backend=BACKEND)

            def forward(*args: Any, **options: Any) -> Any:
                if not self.active:
                    return eager(*args, **options)
                try:
                    # without it torch runs a block eagerly once there are too many graphs of it
                    with dynamo.patch(fail_on_recompile_limit_hit=True):
                        return compiled(*args, **options)
                except Exception as error:
                    if is_out_of_memory(error):
                        raise
                    self._give_up(type(error).__name__)
                # Raises again if the error was not the compiler's.
                return eager(*args, **options)

            self._compiled[id(block)] = forward
        return self._compiled[id(block)]

    def _give_up(self, why: str) -> None:
        self.active = False
        _log.warning("compile.not_used", error=why)


def find_repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the blocks that a diffusers class lists as worth compiling; some list none."""
    names = getattr(network, "_repeated_blocks", None) or ()
    return [block for block in network.modules() if type(block).__name__ in names]
