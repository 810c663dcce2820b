"""Concurrency limits of requests, and what a full queue refuses without doing any work.

Everything that takes memory or time has a limit for all requests, one for each tenant and one for
each token: nobody fills it alone. Who waits for too long is refused: under overload a quick 429 is
worth more than an answer after seconds. Bodies are read, and pictures decoded, within `upload`;
jobs are made within `turn`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from aiohttp import web

from bot.http.access.tokens import Token
from bot.platform import Services
from commands.results import AdvisedError
from inference.clock import Clock
from inference.domain.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Limits on concurrent requests of one kind of work."""

    everybody: int
    tenant: int
    token: int
    seconds: float
    """How long a request waits for the others."""


TURNS = Limit(everybody=16, tenant=8, token=4, seconds=0.15)
"""Requests that make a job; each waits for the others' turns of the event loop."""

UPLOADS = Limit(everybody=16, tenant=8, token=2, seconds=60.0)
"""Requests with a large body or with pictures. A body may have 32 MB, and take this long too; the
first picture also waits for the media process to start."""

CHECKS = Limit(everybody=8, tenant=4, token=2, seconds=10.0)
"""Requests for the safety checks of text, which jobs wait for as well."""

FULL_SECONDS = 1.0
"""How long a full queue is believed to be full: `Retry-After` never says less."""

RETRY_SECONDS = (1, 2, 3)
"""Said to one after the other, so that not all come back together."""

_UPLOADING = web.RequestKey("uploading", bool)
"""Whether a request is within the limit of uploads already."""


class _Gate:
    """The limit of one kind of work."""

    def __init__(self, limit: Limit, retry: Iterator[int]) -> None:
        self._limit = limit
        self._retry = retry
        self._everybody = asyncio.Semaphore(limit.everybody)
        self._tenants: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._tokens: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def enter(self, token: Token) -> AsyncIterator[None]:
        """Count the block. Raises `UserError`: `http.busy`: the others take too long."""
        own = self._tokens.setdefault(token.id, asyncio.Semaphore(self._limit.token))
        tenant = self._tenants.setdefault(token.tenant, asyncio.Semaphore(self._limit.tenant))
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._limit.seconds):
                    for semaphore in (own, tenant, self._everybody):
                        await stack.enter_async_context(semaphore)
            except TimeoutError:
                raise UserError("http.busy", seconds=next(self._retry)) from None
            yield


_Refused = tuple[float, int, UserError]
"""Until when something is known, after how many departures of jobs, and what."""


class Admission:
    """Limits how many requests are handled at once: in all, per tenant and per token."""

    def __init__(self, clock: Clock, services: Services) -> None:
        self._clock = clock
        self._events = services.events
        self._jobs = services.jobs
        retry = itertools.cycle(RETRY_SECONDS)
        self._turns, self._uploads, self._checks = (
            _Gate(limit, retry) for limit in (TURNS, UPLOADS, CHECKS)
        )
        self._full: dict[str, _Refused] = {}
        self._spent: dict[str, _Refused] = {}
        """Quotas of which nothing is left."""

    def turn(self, token: Token) -> AbstractAsyncContextManager[None]:
        """Return a block that counts as a request that makes a job.

        Args:
            token: That asks.

        Raises:
            UserError: `http.busy`: its turn does not come soon.
        """
        return self._turns.enter(token)

    @contextlib.asynccontextmanager
    async def upload(self, request: web.Request, token: Token) -> AsyncIterator[None]:
        """Count the block as an upload; a request that is one already goes on.

        Args:
            request: That brings something.
            token: That it comes with.

        Raises:
            UserError: `http.busy`: other uploads take too long.
        """
        if _UPLOADING in request:
            yield
            return
        async with self._uploads.enter(token):
            request[_UPLOADING] = True
            try:
                yield
            finally:
                del request[_UPLOADING]

    def check(self, token: Token) -> AbstractAsyncContextManager[None]:
        """Return a block that counts as a safety check.

        Raises:
            UserError: `http.busy`: other checks take too long.
        """
        return self._checks.enter(token)

    def check_room(self, token: Token) -> None:
        """Check that a job would be taken, as far as that is known before its body is read.

        Raises:
            UserError: `queue.draining`, `queue.stopping`, or `queue.full_*` and `quota.*` again, as
                long as no job has left the queue since.
        """
        self._jobs.check_accepting()
        self._check_remembered(self._full, token)
        self._check_remembered(self._spent, token)

    @contextlib.contextmanager
    def place(self, token: Token) -> Iterator[None]:
        """Submit a job in the block, unless the queue was full for this token a moment ago.

        Raises:
            UserError: `queue.full_*` again, as long as no job has left the queue since.
        """
        if not self._jobs.draining:
            self._check_remembered(self._full, token)
        departures = self._events.departures
        try:
            yield
        except UserError as error:
            # Without its stack frames, which hold the body of the request.
            again = UserError(error.code, **error.params)
            known = self._clock.monotonic() + FULL_SECONDS, departures, again
            if error.code.startswith("queue.full"):
                self._full[token.id] = known
            elif isinstance(error, AdvisedError) and error.advice.params.get("left") == 0:
                self._spent[token.id] = known
            raise

    def _check_remembered(self, refused: Mapping[str, _Refused], token: Token) -> None:
        until, departures, problem = refused.get(token.id, (0.0, 0, None))
        unchanged = departures == self._events.departures
        if problem is not None and unchanged and self._clock.monotonic() < until:
            raise UserError(problem.code, **problem.params)
