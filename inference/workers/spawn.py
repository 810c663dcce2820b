"""Child processes: start, messages and reliable termination."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from inference.domain.errors import WorkerLost
from inference.log_setup import current_style
from inference.workers.environment import command, minimal, without_secrets
from inference.workers.protocol import Decoder, Message, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_READ_BYTES = 65536
_EXIT_SECONDS = 5.0
"""Longest time from the end of the pipe to the exit of the process; core dumps take a while."""

_WORKING_FOLDER = "/"
"""Working folder of every child, so that relative paths find nothing of ours."""

_PRIVATE = 0o077
"""Umask of every child: files are readable by this user only."""


class Child:
    """A running child process, with its message channel."""

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
        """Process id of the child."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the child's end was noticed; messages sent to it are lost."""
        return self._reader.at_eof()

    def send(self, message: Message) -> None:
        """Send a message without waiting, because messages are few and small."""
        self.send_frame(encode(message))

    def send_frame(self, frame: bytes) -> None:
        """Send an encoded message."""
        self._writer.write(frame)

    async def receive(self, within_seconds: float) -> Message | None:
        """Return the next message, or None after the time limit.

        Raises:
            WorkerLost: The child has ended (`worker.died`) or sent an invalid message
                (`worker.protocol`).
        """
        try:
            # A timeout loses no data: what arrived stays in the reader.
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
        """Kill the process with SIGKILL, which also ends a stopped one."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> int:
        """Kill the child if it runs, reap it and return its exit status."""
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
    module: str,
    config: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    strangers: bool = False,
) -> AsyncIterator[Child]:
    """Context manager that runs `python -m module` as a child process.

    The child gets no secrets, imports nothing from the working folder, and its files are private.
    Its output goes to this process's stderr.

    Args:
        module: Module whose main function starts with `Link.from_arguments`.
        config: JSON data for the child.
        environment: Variables to add.
        strangers: Whether it opens untrusted files; then it inherits a minimal environment.

    Raises:
        OSError: The system cannot start another process.
    """
    inherited = minimal(os.environ) if strangers else without_secrets(os.environ)
    style = replace(current_style(), process=module)
    if strangers:  # it may open only the files of its calls
        style = replace(style, file="")
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            process = await asyncio.create_subprocess_exec(
                *command(module, plugins=not strangers),
                *("--fd", str(theirs.fileno()), "--config", json.dumps(config)),
                *("--log", json.dumps(asdict(style))),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(),),
                cwd=_WORKING_FOLDER,
                env={**inherited, **(environment or {})},
                umask=_PRIVATE,
            )
        except BaseException:
            writer.close()
            raise
    child = Child(process, reader, writer)
    try:
        yield child
    finally:
        await child.close()
