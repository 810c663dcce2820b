"""Progress reports of training scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable

Report = Callable[[str], None]
"""Receives a line of progress."""


def say(line: str) -> None:
    """Write a line to standard output, unbuffered even if that is a file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
