"""Erasure of a person from the job core: stops their jobs, deletes all rows and files."""

from __future__ import annotations

import asyncio

import structlog

from inference.assist.cache import RefinementCache
from inference.domain.errors import StoreError
from inference.jobs.dispatcher import Dispatcher
from inference.jobs.queue import JobQueue
from inference.store.artifacts import Artifacts
from inference.store.jobs import JobStore

_log = structlog.get_logger(__name__)


class Eraser:
    """Erases people; the rows and what outlives them are up to `inference.store.erasure`."""

    def __init__(
        self,
        *,
        store: JobStore,
        artifacts: Artifacts,
        queue: JobQueue,
        dispatcher: Dispatcher,
        refinements: RefinementCache,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._queue = queue
        self._dispatcher = dispatcher
        self._refinements = refinements

    async def erase(self, tenant: str, requester_id: str) -> int:
        """Erase a person, to the end even if the caller is cancelled; return how many jobs."""
        return await asyncio.shield(self._erase(tenant, requester_id))

    async def _erase(self, tenant: str, requester_id: str) -> int:
        # First, so that no pending answer is cached after the erasure.
        await self._refinements.forget(tenant, requester_id)
        erased = await self._store.forget(tenant, requester_id)
        for job_id in erased.unfinished:
            self._queue.discard(job_id, tenant)
        for job_id in erased.running:
            await self._dispatcher.cancel(job_id)
        for job_id in erased.unfinished:  # more may come: expiry removes them for a while
            await asyncio.to_thread(self._artifacts.remove, job_id)
        gone = [
            job_id
            for job_id in erased.ended
            if await asyncio.to_thread(self._artifacts.remove, job_id)
        ]
        try:
            await self._store.settle_removals(gone)
            await self._store.purge()
        except StoreError as error:  # the rows are gone; only free pages may still hold words
            _log.error("store.not_purged", code=error.code)
        return erased.count
