"""The model of a package from elsewhere, which is found as any installed one is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / "plugins" / "toy"
"""Where the package lies with its metadata."""

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """Return what a child process needs to find it, and us."""
    return {"PYTHONPATH": os.pathsep.join(map(str, (PLACE, ROOT)))}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and its children find it."""
    monkeypatch.syspath_prepend(PLACE)
    monkeypatch.setenv("PYTHONPATH", str(PLACE))
