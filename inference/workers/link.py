"""Message channel from a child process to its parent; the other end is in `spawn`."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn, Self

import structlog

from inference.log_setup import LogStyle, configure_logging, log_uncaught
from inference.workers.protocol import Decoder, Message, ProtocolError, encode

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_BYTES = 65536
_EXIT_ORPHANED = 70
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

_log = structlog.get_logger(__name__)


class ParentLink:
    """The child's end of the channel: sends from any thread, receives in a separate thread.

    When the parent closes the channel or dies, the process exits at once, so that no orphan keeps
    the device's memory.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    @classmethod
    def from_arguments(cls) -> tuple[Self, dict[str, Any]]:
        """Set up this process as a child started by `spawn`; returns the link and the config."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--fd", type=int, required=True)
        parser.add_argument("--config", type=json.loads, required=True)
        parser.add_argument("--log", type=json.loads, default={})
        arguments = parser.parse_args()
        configure_logging(LogStyle(**arguments.log))
        log_uncaught()
        _obey_the_parent_only()
        return cls(socket.socket(fileno=arguments.fd)), arguments.config

    def send(self, message: Message) -> None:
        """Send a message; blocks if the parent does not read."""
        try:
            with self._sending:
                self._connection.sendall(encode(message))
        except OSError:
            _exit_orphaned()

    def close(self) -> None:
        """Close the socket in a forked process; the original keeps its copy."""
        self._connection.close()

    def listen(self, on_message: Callable[[Message], None]) -> None:
        """Start the receiving thread, which calls `on_message`; it must not block."""
        threading.Thread(target=self._receive, args=(on_message,), daemon=True).start()

    def _receive(self, on_message: Callable[[Message], None]) -> None:
        decoder = Decoder()
        try:
            while data := self._connection.recv(_READ_BYTES):
                for message in decoder.feed(data):
                    on_message(message)
        except (OSError, ProtocolError) as error:
            _log.error("worker.link_lost", error=type(error).__name__)
        _exit_orphaned()


def _exit_orphaned() -> NoReturn:
    os._exit(_EXIT_ORPHANED)


def _obey_the_parent_only() -> None:
    # Ctrl-C and service managers signal the whole process group; the parent stops the child.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    die_with_parent()


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent ends (Linux: `PR_SET_PDEATHSIG`)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent has ended meanwhile
            _exit_orphaned()
