"""A wall clock that can be set: `time.time` plus the seconds in a file, read at every call.

Python imports this by itself in a bot that is started with this folder on its path.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_real, _file = time.time, os.environ.get("CHAOS_CLOCK")


def _time() -> float:
    try:
        return _real() + float(Path(_file or "").read_text(encoding="ascii") or 0)
    except (OSError, ValueError):
        return _real()


if _file:
    time.time = _time
