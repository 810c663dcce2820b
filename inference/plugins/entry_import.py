"""Import of entry points, with stdout protected from the plugins' code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.metadata import EntryPoint
from typing import Any


def load_entry_point(point: EntryPoint) -> Any:
    """Import the object of an entry point, with stdout protected."""
    with protect_stdout():
        return point.load()


@contextmanager
def protect_stdout() -> Iterator[None]:
    """Protect stdout from a plugin's code, which runs in the block.

    What it prints goes to stderr, also below Python, as programs that it starts do. What it puts
    in place of stdout or stderr is taken away.
    """
    with ExitStack() as stack:
        stack.enter_context(redirect_stderr(sys.stderr))
        stack.enter_context(redirect_stdout(sys.stderr))
        with suppress(OSError):  # one of them is closed
            answers = os.dup(1)
            stack.callback(os.close, answers)
            os.dup2(2, 1)
            stack.callback(os.dup2, answers, 1)
        yield
