"""What a training says to the person who watches it."""

from __future__ import annotations

import sys
from collections.abc import Callable

Report = Callable[[str], None]
"""Takes a line for the person who watches."""


def say(line: str) -> None:
    """Write a line to standard output, at once even where that is a file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
