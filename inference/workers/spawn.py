"""The parent's end: start a child with a message channel, and never leave one behind."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from inference.errors import WorkerLost
from inference.workers.protocol import Decoder, Message, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_READ_BYTES = 65536
_EXIT_SECONDS = 5.0
"""From the end of the pipe to the end of the process; a core dump may take a while."""

_SECRET_SUFFIXES = ("_TOKEN", "_SECRET", "_KEY")


class Child:
    """A running child process and the messages to and from it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()
        self._received: deque[Message] = deque()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether its end has been noticed; a message sent now would be lost."""
        return self._reader.at_eof()

    def send(self, message: Message) -> None:
        """Send without waiting: messages to a child are few and small."""
        self.send_frame(encode(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a message that was encoded before."""
        self._writer.write(frame)

    async def receive(self, within_seconds: float) -> Message | None:
        """Return the next message, or None when none came in time.

        Raises:
            WorkerLost: The child is gone (`worker.died`) or talks nonsense (`worker.protocol`).
        """
        try:
            # Data that arrives while the loop is blocked stays in the reader: nothing is lost.
            async with asyncio.timeout(within_seconds):
                while not self._received:
                    data = await self._reader.read(_READ_BYTES)
                    if not data:
                        break
                    self._received.extend(self._decoder.feed(data))
        except TimeoutError:
            return None
        except ConnectionError:
            pass
        if not self._received:
            raise WorkerLost("worker.died", exit=await self._exit())
        return self._received.popleft()

    def kill(self) -> None:
        """End the process now, also a stopped one."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> int:
        """Kill what is left of the child, reap it and return its exit status."""
        self.kill()
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        return await self._process.wait()

    async def _exit(self) -> int:
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()


@asynccontextmanager
async def spawn(
    module: str, config: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """Run `python -m module` as a child for as long as the context lasts.

    The child inherits the environment without what looks like a secret: it needs none, and one
    of the children reads files of strangers. Its output goes to this process's stderr.

    Args:
        module: One whose main function starts with `Link.from_arguments`.
        config: JSON data for it.
        environment: Variables to add.

    Raises:
        OSError: The system cannot start another process.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", module, "--fd", str(theirs.fileno()), "--config", json.dumps(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(),),
                env={**_without_secrets(os.environ), **(environment or {})},
            )
        except BaseException:
            writer.close()
            raise
    child = Child(process, reader, writer)
    try:
        yield child
    finally:
        await child.close()


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().endswith(_SECRET_SUFFIXES)
    }
