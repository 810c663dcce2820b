"""Requests that make jobs: in turn, and at most one job for each idempotency key.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web

from bot.http.access.guard import TOKEN, Guard
from bot.http.access.tokens import Token
from bot.http.body import LARGE
from bot.http.videos import idempotency
from bot.platform import Services
from commands.context import Call
from commands.results import Accepted, Result
from inference.domain.job import Job

Turn = contextlib.AbstractAsyncContextManager[None]
"""Block in which a job may be made; decoding pictures, which takes time, comes before it."""

Make = Callable[[dict[str, Any], Call, Turn], Awaitable[Result]]
"""Makes a job of the fields of a body."""


class _Repeated(Exception):
    """The job of an idempotency key is there already."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class Creation:
    """Makes the jobs of requests."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Idempotency keys of requests under way; the second one waits for the first."""

    async def job(self, request: web.Request, fields: dict[str, Any], make: Make) -> Job:
        """Return the first job that a request makes, or that its key made before.

        Raises:
            UserError: `http.key`, `http.key_reused`, `http.busy`, or what `make` raises.
        """
        key, body = idempotency.key_of(request), ""
        if key is not None:
            large = (request.content_length or LARGE) >= LARGE
            hashed = idempotency.fingerprint
            path = request.path
            body = await asyncio.to_thread(hashed, path, fields) if large else hashed(path, fields)
        call = self._guard.call(request, key=key, body=body)
        try:
            await self._check_new(request[TOKEN], key, body)  # before its pictures are decoded
            made = await make(fields, call, self._turn(request[TOKEN], key, body))
        except _Repeated as known:
            return known.job
        assert isinstance(made, Accepted)  # noqa: S101 - what renders returns nothing else
        return made.job

    @contextlib.asynccontextmanager
    async def _turn(self, token: Token, key: str | None, body: str) -> AsyncIterator[None]:
        """Wait for the turn of a request that makes a job; of one key there is one at a time.

        Raises:
            UserError: `http.busy`, `http.key_reused`, or that the queue is full.
            _Repeated: The job is there already.
        """
        admission = self._guard.admission
        async with contextlib.AsyncExitStack() as stack:
            if key is not None:
                await stack.enter_async_context(self._keys.setdefault(key, asyncio.Lock()))
            await stack.enter_async_context(admission.turn(token.id))
            await self._check_new(token, key, body)
            stack.enter_context(admission.place(token.id))
            yield

    async def _check_new(self, token: Token, key: str | None, body: str) -> None:
        """Check that there is no job of a key yet.

        Raises:
            _Repeated: There is.
            UserError: `http.key_reused`: there is, and it was another request.
        """
        if key is None:
            return
        job = await self._services.jobs.by_key(key, tenant=token.tenant)
        if job is not None and job.removed_at is not None:  # who deletes it may make it again
            await self._services.jobs.release_key(job.id)
        elif job is not None:
            idempotency.check_repeated(job, body)
            raise _Repeated(job)
