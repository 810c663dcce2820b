"""The inbox: requests of Slack that were acknowledged and are not answered yet.

Slack sends an event again until it is acknowledged, and a command, a press or a form never. So what
takes longer than an acknowledgement may is written down before it, and replayed at the next start
if the process was gone before the answer. A replayed request has the key of the first
(`Origin.key`) and makes the same job; only its answer may come twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiosqlite
import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.slack.background import ACK_SECONDS, BackgroundTasks
from inference.store.sqlite.database import Database

INBOUND = "inbound"
"""Name of the request in slack-bolt's context, by which listeners receive it."""

MOST_TRIES = 5
"""Starts after which a request is given up: it may be what ends the process."""

_SECRET = "token"  # noqa: S105 - a name
"""Field of a body that nothing reads: Slack's old proof of where it comes from."""

_log = structlog.get_logger(__name__)


class InboundRequest:
    """One request on its way from its acknowledgement to its answer."""

    def __init__(
        self,
        database: Database,
        background: BackgroundTasks,
        body: dict[str, Any],
        number: int | None = None,
    ) -> None:
        """Take a request.

        Args:
            database: Keeps it.
            background: Runs the work for it.
            body: As slack-bolt parsed it.
            number: Of its row, if an earlier process has acknowledged it.
        """
        self._database = database
        self._background = background
        self.body = body
        self.replayed = number is not None
        """Whether it was acknowledged long ago: Slack no longer shows an acknowledgement's text."""
        self.taken = False
        """Whether there is work that will settle it."""
        self._number = number
        self._settled = False
        self._lock = asyncio.Lock()

    async def acknowledge(
        self,
        ack: Callable[[], Awaitable[Any]],
        work: Coroutine[Any, Any, None],
        *,
        name: str,
        seconds: float = ACK_SECONDS,
    ) -> None:
        """Acknowledge it once it is answered or, if that takes longer, kept.

        Args:
            ack: Acknowledges it.
            work: Does what was asked, and answers.
            name: Of the work, for the log.
            seconds: How long to wait for the work.
        """
        self.taken = True
        working = self._background.start(self._run_and_settle(work), name=name)
        await asyncio.wait({working}, timeout=seconds)
        if not working.done():
            keeping = self._background.start(self._keep(), name="keep")
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
        await ack()

    async def settle(self) -> None:
        """Delete the request: it is answered."""
        self._settled = True
        async with self._lock:
            if self._number is None:
                return
            number = self._number

            async def work(connection: aiosqlite.Connection) -> None:
                await connection.execute("DELETE FROM slack_inbox WHERE number = ?", (number,))

            await self._database.write("settle_request", work)
            self._number = None

    async def _run_and_settle(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; what is cancelled, because the program ends, is left to the next start."""
        try:
            await work
        except Exception:
            await self.settle()
            raise
        await self.settle()

    async def _keep(self) -> None:
        async with self._lock:
            if self._settled or self._number is not None:
                return
            body = json.dumps({key: said for key, said in self.body.items() if key != _SECRET})

            async def work(connection: aiosqlite.Connection) -> int | None:
                written = await connection.execute(
                    "INSERT INTO slack_inbox (body) VALUES (?)", (body,)
                )
                return written.lastrowid

            self._number = await self._database.write("keep_request", work)


class Inbox:
    """The table `slack_inbox`."""

    def __init__(self, database: Database, background: BackgroundTasks) -> None:
        self._database = database
        self._background = background

    def request(self, body: dict[str, Any]) -> InboundRequest:
        """Return the request that Slack has just sent, to be kept until it is answered."""
        return InboundRequest(self._database, self._background, body)

    async def left(self) -> list[InboundRequest]:
        """Return the requests that an earlier process acknowledged but did not answer.

        To be called before Slack is listened to.
        """

        async def work(connection: aiosqlite.Connection) -> list[aiosqlite.Row]:
            given_up = await connection.execute(
                "DELETE FROM slack_inbox WHERE tries >= ?", (MOST_TRIES,)
            )
            if given_up.rowcount:
                _log.error("slack.inbox.given_up", requests=given_up.rowcount)
            await connection.execute("UPDATE slack_inbox SET tries = tries + 1")
            return list(
                await connection.execute_fetchall("SELECT * FROM slack_inbox ORDER BY number")
            )

        if not await self._database.read("SELECT 1 FROM slack_inbox LIMIT 1"):
            return []
        rows = await self._database.write("replay_requests", work)
        return [
            InboundRequest(self._database, self._background, _body(row["body"]), row["number"])
            for row in rows
        ]

    async def replay(self, app: AsyncApp, requests: list[InboundRequest]) -> None:
        """Give requests to the app as if Slack sent them now."""
        if requests:
            _log.info("slack.inbox.replayed", requests=len(requests))
        for request in requests:
            await self._background.start(_dispatch(app, request), name="replay")


async def _dispatch(app: AsyncApp, request: InboundRequest) -> None:
    again = AsyncBoltRequest(mode="socket_mode", body=request.body, context={INBOUND: request})
    await app.async_dispatch(again)
    if not request.taken:  # no listener takes it any more
        await request.settle()


def _body(stored: str) -> dict[str, Any]:
    """Return the body of a row; of a damaged row an empty one, which no listener takes."""
    try:
        found = json.loads(stored)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
