"""Concurrency limit for requests that make jobs; those for a full queue are refused at once.

Under overload a quick 429 is worth more than an answer after seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from weakref import WeakValueDictionary

from bot.platform import Services
from inference.clock import Clock
from inference.domain.errors import UserError

AT_ONCE = 16
"""Requests in work, of all tokens: each waits for the others' turns of the loop."""

PER_TOKEN = 4
"""Of these, of one token."""

TURN_SECONDS = 0.15
"""How long a request waits for its turn."""

FULL_SECONDS = 1.0
"""How long a full queue is believed to be full: `Retry-After` never says less."""

RETRY_SECONDS = (1, 2, 3)
"""Said to one after the other, so that not all come back together."""


class Admission:
    """Limits how many requests are handled at once, in all and per token."""

    def __init__(self, clock: Clock, services: Services) -> None:
        self._clock = clock
        self._events = services.events
        self._jobs = services.jobs
        self._all = asyncio.Semaphore(AT_ONCE)
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._full: dict[str, tuple[float, int, UserError]] = {}
        self._retry = itertools.cycle(RETRY_SECONDS)

    @contextlib.asynccontextmanager
    async def turn(self, token: str) -> AsyncIterator[None]:
        """Count the block as a request in progress, or refuse it.

        Args:
            token: Id of the token that asks.

        Raises:
            UserError: `http.busy`: its turn does not come soon.
        """
        own = self._own.setdefault(token, asyncio.Semaphore(PER_TOKEN))
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await stack.enter_async_context(own)
                    await stack.enter_async_context(self._all)
            except TimeoutError:
                raise UserError("http.busy", seconds=next(self._retry)) from None
            yield

    @contextlib.contextmanager
    def place(self, token: str) -> Iterator[None]:
        """Submit a job in the block, unless the queue was full for this token a moment ago.

        Raises:
            UserError: `queue.full_*` again, as long as no job has left the queue since.
        """
        until, departures, problem = self._full.get(token, (0.0, 0, None))
        unchanged = departures == self._events.departures and not self._jobs.draining
        if problem is not None and unchanged and self._clock.monotonic() < until:
            raise UserError(problem.code, **problem.params)
        departures = self._events.departures
        try:
            yield
        except UserError as error:
            if error.code.startswith("queue.full"):
                self._full[token] = (self._clock.monotonic() + FULL_SECONDS, departures, error)
            raise
