"""The path of the control socket, short enough for the kernel."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOCKET_NAME = "rushes.sock"
"""In the data directory."""

MAX_ADDRESS = 100
"""Bytes that the address of a Unix socket may have on every system, and some to spare."""


@contextlib.contextmanager
def short_socket_path(path: Path) -> Iterator[str]:
    """Yield an address of the socket at `path` that is short enough for the kernel."""
    if len(str(path).encode()) <= MAX_ADDRESS:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="rushes-") as directory:
        link = Path(directory) / "data"
        link.symlink_to(path.parent.resolve())
        yield str(link / path.name)
