"""Crash points: named places where a test can kill the process.

`RUSHES_FAULT=after:claim` sends `SIGKILL` to the process the first time it passes that point;
`RUSHES_FAULT=after:claim:3` the third time. Without the variable a point costs one comparison.
`RUSHES_FAULT_TRACE=FILE` appends the name of every point passed, which is how the crash suite
learns which points exist.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

VARIABLES = frozenset({"RUSHES_FAULT", "RUSHES_FAULT_TRACE"})
"""What this module reads from the environment."""

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Kill the process here if the environment asks for it."""
    trace = os.environ.get("RUSHES_FAULT_TRACE")
    if trace:
        with Path(trace).open("a", encoding="utf-8") as file:
            file.write(name + "\n")
    wanted = os.environ.get("RUSHES_FAULT")
    if not wanted:
        return
    head, _, tail = wanted.rpartition(":")
    wanted_name, count = (head, int(tail)) if tail.isdigit() else (wanted, 1)
    if name != wanted_name:
        return
    _passed[name] += 1
    if _passed[name] == count:
        os.kill(os.getpid(), signal.SIGKILL)
