"""Requests that make jobs: in turn, and at most one job for each idempotency key.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web

from bot.http.access.guard import TOKEN, Guard
from bot.http.access.tokens import Token
from bot.http.body import LARGE, may_be_large, read_fields
from bot.http.videos import idempotency
from bot.http.videos.uploads import Uploads
from bot.platform import Services
from commands.context import Call
from commands.results import Accepted, Result
from inference.domain.errors import UserError
from inference.domain.job import Job

KEY_SECONDS = 30.0
"""How long a request waits for another one with its key: for less than that one waits itself for
other uploads, which these two may be."""

NO_FILES: Mapping[str, bytes] = MappingProxyType({})
NO_FIELDS: Mapping[str, str] = MappingProxyType({})


class Creation:
    """Makes the jobs of requests."""

    def __init__(self, services: Services, guard: Guard, uploads: Uploads) -> None:
        self._services = services
        self._guard = guard
        self._uploads = uploads
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Idempotency keys of requests under way; the second one waits for the first."""

    @contextlib.asynccontextmanager
    async def begin(self, request: web.Request) -> AsyncIterator[PendingCreation]:
        """Read the body of a request that makes a job.

        A large one is only read if its job may be taken, and together with few others. A request
        whose key is known, or that of another one under way, is not refused because the queue is
        full: it gets that job.

        Raises:
            UserError: `http.key`, `http.key_busy`, `http.busy`, `queue.*`, `quota.*`, or as
                `read_fields`.
        """
        token, admission = request[TOKEN], self._guard.admission
        key = idempotency.key_of(request)
        async with contextlib.AsyncExitStack() as stack:
            known: Job | None = None
            turn, large, repeats = asyncio.Lock(), may_be_large(request), False
            if key is not None:
                if large:
                    repeats = key in self._keys or await self._find_job(token, key) is not None
                turn = self._keys.setdefault(key, turn)
            if large:
                if not repeats:
                    admission.check_room(token)
                await stack.enter_async_context(admission.upload(request, token))
            fields = await read_fields(request)
            if key is not None:
                # Not before the body is there: who never sends it would keep all others waiting.
                try:
                    async with asyncio.timeout(KEY_SECONDS):
                        await stack.enter_async_context(turn)
                except TimeoutError:
                    raise UserError("http.key_busy", field="Idempotency-Key") from None
                known = await self._find_job(token, key)
            yield PendingCreation(self, self._guard, request, fields, key=key, known=known)

    async def _find_job(self, token: Token, key: str) -> Job | None:
        """Return the job of a key. One that was deleted frees it."""
        job = await self._services.jobs.by_key(key, tenant=token.tenant)
        if job is not None and job.removed_at is not None:
            await self._services.jobs.release_key(job.id)
            return None
        return job

    @contextlib.asynccontextmanager
    async def turn(
        self,
        request: web.Request,
        files: Mapping[str, bytes] = NO_FILES,
        *,
        fields: Mapping[str, str] = NO_FIELDS,
    ) -> AsyncIterator[dict[str, str]]:
        """Keep pictures and wait for the turn of a request; a job may be made in the block.

        Args:
            request: That makes one.
            files: Pictures by option; what a spec names them by is yielded.
            fields: See `Uploads.hold`.

        Raises:
            UserError: `http.busy`, `image.*`, or that the queue is full.
        """
        token, admission = request[TOKEN], self._guard.admission
        async with contextlib.AsyncExitStack() as stack:
            if files:
                admission.check_room(token)
                await stack.enter_async_context(admission.upload(request, token))
            held = self._uploads.hold(files, admission.turn(token), fields=fields)
            images = await stack.enter_async_context(held)
            stack.enter_context(admission.place(token))
            yield images


class PendingCreation:
    """One request for a job, with its body."""

    def __init__(
        self,
        creation: Creation,
        guard: Guard,
        request: web.Request,
        fields: dict[str, Any],
        *,
        key: str | None,
        known: Job | None,
    ) -> None:
        self.fields = fields
        self._creation = creation
        self._guard = guard
        self._request = request
        self._key = key
        self._known = known

    async def job(self, make: Make) -> Job:
        """Return the first job that the request makes, or that its key made before.

        Raises:
            UserError: `http.key_reused`, or what `make` raises.
        """
        body = await self._fingerprint()
        if self._known is not None:
            idempotency.check_repeated(self._known, body)
            return self._known
        call = self._guard.call(self._request, key=self._key, body=body)
        made = await make(self.fields, call, self)
        assert isinstance(made, Accepted)  # noqa: S101 - what renders returns nothing else
        return made.job

    async def _fingerprint(self) -> str:
        """Return the fingerprint of the request, if it has a key."""
        if self._key is None:
            return ""
        path, hashed = self._request.path, idempotency.fingerprint
        if (self._request.content_length or LARGE) < LARGE:
            return hashed(path, self.fields)
        return await asyncio.to_thread(hashed, path, self.fields)

    def turn(
        self, files: Mapping[str, bytes] = NO_FILES, *, fields: Mapping[str, str] = NO_FIELDS
    ) -> contextlib.AbstractAsyncContextManager[dict[str, str]]:
        """Return the block in which the job may be made; see `Creation.turn`."""
        return self._creation.turn(self._request, files, fields=fields)


Make = Callable[[dict[str, Any], Call, PendingCreation], Awaitable[Result]]
"""Makes a job of the fields of a body."""
