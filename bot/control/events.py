"""Event stream of the control socket: posted messages and changes of the queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import structlog

from bot.control.card_json import card_to_json
from bot.terminal.platform import MessageEvent, TerminalPlatform
from commands.text.card import Card
from inference.bug_report import log_bug
from inference.domain.events import EventBus, JobEvent
from inference.retries import backoff
from inference.tasks import running

PACE_SECONDS = 0.2
"""Least time between two events of the queue."""

REFRESH_SECONDS = 1.0
"""Longest time between two looks at a queue with jobs: estimates change by themselves."""

LONGEST_SECONDS = 30.0
"""The same while the queue cannot be read."""

_log = structlog.get_logger(__name__)

Send = Callable[[dict[str, Any]], Awaitable[None]]


class EventStream:
    """Stream of one tenant's events to one listener, as JSON data.

    `{"event": "message", "kind", "edited", "card"}` for everything posted or edited, and
    `{"event": "queue", "cards"}` with all unfinished jobs, the running one first.
    """

    def __init__(
        self,
        *,
        terminal: TerminalPlatform,
        events: EventBus,
        tenant: str,
        queue: Callable[[], Awaitable[list[Card]]],
    ) -> None:
        self._terminal = terminal
        self._events = events
        self._tenant = tenant
        self._queue = queue
        self._messages: asyncio.Queue[MessageEvent]
        self._moves: asyncio.Queue[JobEvent]

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[None]:
        """Collect events for `run` inside the block."""
        with self._terminal.listen() as self._messages, self._events.subscribe() as self._moves:
            yield

    async def run(self, send: Send, stop: asyncio.Event) -> None:
        """Send events until `stop` is set or `send` raises."""
        async with running() as tasks:
            tasks.start(self._send_messages(send), name="events-messages")
            tasks.start(self._send_queue(send), name="events-queue")
            await stop.wait()

    async def _send_messages(self, send: Send) -> None:
        while True:
            said = await self._messages.get()
            if said.job.tenant == self._tenant:
                try:
                    card = card_to_json(said.card)
                except Exception as error:  # noqa: BLE001 - one message must not end the others
                    log_bug(_log, "events.bug", error, job=said.job.id)
                    continue
                await send(
                    {
                        "event": "message",
                        "kind": said.kind.value,
                        "edited": said.edited,
                        "card": card,
                    }
                )

    async def _send_queue(self, send: Send) -> None:
        told: list[dict[str, Any]] | None = None
        failures = 0
        while True:
            try:
                queue = [card_to_json(card) for card in await self._queue()]
                failures = 0
            except Exception as error:  # noqa: BLE001 - the listener stays connected
                log_bug(_log, "events.bug", error)
                failures += 1
                queue = told or []
            if queue != told:
                told = queue
                await send({"event": "queue", "cards": queue})
            await asyncio.sleep(backoff(failures, first=PACE_SECONDS, longest=LONGEST_SECONDS))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS if queue or failures else None):
                    await self._moves.get()
            while not self._moves.empty():
                self._moves.get_nowait()
