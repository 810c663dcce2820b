"""Ports for servers that somebody opens later."""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

FIRST = 10_000
EACH = 1_000
"""Ports of one process of the tests; with twenty of them below what the system gives away."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20
_turns = itertools.count(random.SystemRandom().randrange(EACH))


def free_port() -> int:
    """Return a port that nobody has, nor gets before it is opened.

    A port that the system chose may be given to somebody else once it is closed again: to a server
    on port 0, or to an outgoing connection of any process.
    """
    for _ in range(EACH):
        port = FIRST + EACH * _WORKER + next(_turns) % EACH
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
