"""Root without its right to open everything, so that tests of permissions run as root too."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

_VERSION = 0x20080522
"""Of capabilities in two words: see capget(2)."""

_OPENING = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


@contextlib.contextmanager
def held_to_permissions() -> Iterator[None]:
    """Let the permissions of files hold for this thread; for others than root they do anyway."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the upper halves
    if libc.capget(header, words):
        raise OSError(ctypes.get_errno(), "capget")
    before = words[0]
    words[0] = before & ~_OPENING
    if libc.capset(header, words):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        words[0] = before
        libc.capset(header, words)
