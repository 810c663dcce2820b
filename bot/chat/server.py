"""The process that serves a data folder for a chat: another one, or the chat's own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from bot.config.sections import Config
from bot.control.client import ControlClient, connect
from inference.domain.errors import StoreError, UserError

GONE = frozenset({"control.lost", "control.not_running"})
"""Codes of errors that say that no process serves any more."""

PATIENCE_SECONDS = 60.0
"""Longest that a process takes to let go of the folder once it has stopped answering."""

_LOOK_SECONDS = 0.2


class Server:
    """The process that serves the folder; made by `open_server`."""

    def __init__(
        self, config: Config, client: ControlClient, stack: contextlib.AsyncExitStack
    ) -> None:
        self._config = config
        self._stack = stack
        self.client = client
        self.own = False
        """Whether it lives and ends with this process."""

    async def take_over(self, patience: float = PATIENCE_SECONDS) -> bool:
        """Become the serving process of the folder, unless another process is.

        Args:
            patience: Seconds to wait for a process that has the folder and does not answer.

        Returns:
            Whether it is this process that serves.

        Raises:
            UserError: The config cannot work.
            StoreError: Another process owns the data and does not answer.
        """
        # Imported late: a chat that only connects does not need them.
        from bot.app import open_app  # noqa: PLC0415
        from bot.control.server import serve_control  # noqa: PLC0415

        deadline = time.monotonic() + patience
        while not await self._answers():
            try:
                app = await self._stack.enter_async_context(open_app(self._config))
            except StoreError as error:
                if error.code != "store.locked" or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            await self._stack.enter_async_context(serve_control(app))
            self.own = True
            break
        return self.own

    async def _answers(self) -> bool:
        try:
            return await self.client.ready()
        except UserError as error:
            if error.code not in GONE:
                raise
            return False


@contextlib.asynccontextmanager
async def open_server(config: Config) -> AsyncIterator[Server]:
    """Yield the process that serves a config's folder: this one, if no other does."""
    async with connect(config.bot.data_dir) as client, contextlib.AsyncExitStack() as stack:
        server = Server(config, client, stack)
        await server.take_over(patience=0)
        yield server
