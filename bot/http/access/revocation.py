"""Ends the requests of tokens that are revoked, or expire, while they are under way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator

from bot.http.access import tokens
from bot.http.access.tokens import Token
from inference.clock import Clock
from inference.domain.errors import UserError
from inference.retries import survive
from inference.store.sqlite.database import Database

CHECK_SECONDS = 0.5
"""How often the tokens of requests under way are read: another process may revoke them."""


class Revocation:
    """The requests under way, by token, and the loop that ends them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._under_way: defaultdict[str, set[asyncio.Timeout]] = defaultdict(set)

    def under_way(self, token: Token) -> int:
        """Return how many requests of a token are under way."""
        return len(self._under_way.get(token.id, ()))

    @contextlib.asynccontextmanager
    async def watch(self, token: Token) -> AsyncIterator[None]:
        """Run the block as long as the token is valid.

        Raises:
            UserError: `http.unauthorized`: it is not any more.
        """
        try:
            async with asyncio.timeout(None) as limit:
                self._under_way[token.id].add(limit)
                try:
                    yield
                finally:
                    self._under_way[token.id].discard(limit)
                    if not self._under_way[token.id]:
                        del self._under_way[token.id]
        except TimeoutError:
            if not limit.expired():
                raise
            raise UserError("http.unauthorized") from None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Watch inside the block."""
        task = asyncio.create_task(self._run(), name="http-revocation")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self._under_way:
                await survive(self._check, name="http.revocation")

    async def _check(self) -> None:
        asked = list(self._under_way)
        valid = await tokens.valid_among(self._database, asked, self._clock.now())
        for key in asked:
            if key not in valid:
                for limit in self._under_way.get(key, ()):
                    if limit.expired():  # it ends already, and takes its time
                        continue
                    limit.reschedule(asyncio.get_running_loop().time())
