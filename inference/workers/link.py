"""Message channel to the parent: the child's end."""

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


class Link:
    """Sends from any thread; receives on its own thread.

    The child lives no longer than the pipe: at its end the process exits on the spot, whatever
    the other threads are doing, so that no orphan keeps the device's memory.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    @classmethod
    def from_arguments(cls) -> tuple[Self, dict[str, Any]]:
        """Take over this process as the child `spawn` started; return the link and the config."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--fd", type=int, required=True)
        parser.add_argument("--config", type=json.loads, required=True)
        parser.add_argument("--log", type=json.loads, default={})
        arguments = parser.parse_args()
        configure_logging(LogStyle.from_dict(arguments.log))
        log_uncaught()
        _obey_the_parent_only()
        return cls(socket.socket(fileno=arguments.fd)), arguments.config

    def send(self, message: Message) -> None:
        """Send a message; blocks while the parent does not read."""
        try:
            with self._sending:
                self._connection.sendall(encode(message))
        except OSError:
            _exit_orphaned()

    def close(self) -> None:
        """Close this end in a forked process, silently."""
        self._connection.close()

    def listen(self, on_message: Callable[[Message], None]) -> None:
        """Start the receiving thread; `on_message` runs on it and must be quick."""
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
    # Ctrl-C and service stops signal the whole group; the parent shuts the child down.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    die_with_parent()


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, also inside native code."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended in between
            _exit_orphaned()
