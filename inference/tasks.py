"""Background tasks with an owner."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


class Tasks:
    """Tasks that serve for the length of a block and end by being cancelled."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._started: list[asyncio.Task[None]] = []

    def start(self, serving: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a coroutine until the block ends; if it fails, the block fails."""
        self._started.append(self._group.create_task(serving, name=name))

    def cancel(self) -> None:
        """Cancel all tasks."""
        for task in self._started:
            task.cancel()


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Tasks]:
    """Yield background tasks: none outlives the block, and a failure ends it."""
    async with asyncio.TaskGroup() as group:
        tasks = Tasks(group)
        try:
            yield tasks
        finally:
            tasks.cancel()
