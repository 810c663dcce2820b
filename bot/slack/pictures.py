"""Pictures that people sent where the bot could see it: "the last image of this thread".

A channel's history is never read. What Slack tells of by itself is noted, as ids; which thread a
file is in is asked when somebody wants a picture from that thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiosqlite

from bot.slack.clients import Clients
from bot.slack.errors import WIRE_ERRORS
from bot.slack.origin import Origin
from inference.clock import Clock
from inference.errors import DeliveryError
from inference.store.database import Database

KEPT_SECONDS = 7 * 86_400.0

MOST_ASKED = 10
"""Files that are looked into for one request, newest first."""

LOOKUP_SECONDS = 3.0

_UNREADABLE = "check_file_info"
"""How Slack hands over a file of another company's: as a stub."""


class Pictures:
    """Finds the picture that somebody means."""

    def __init__(self, database: Database, clients: Clients, clock: Clock) -> None:
        self._database = database
        self._clients = clients
        self._clock = clock

    async def in_message(self, origin: Origin, files: Iterable[Mapping[str, Any]]) -> str | None:
        """Return the first picture among the files of a message."""
        for file in files:
            known = dict(file)
            if file.get("file_access") == _UNREADABLE or "mimetype" not in file:
                known = await self._info(origin, str(file["id"]))
            if _is_picture(known):
                return str(file["id"])
        return None

    async def in_thread(self, origin: Origin) -> str | None:
        """Return the newest picture of the thread in which somebody speaks, if it was seen."""
        if origin.thread_ts is None:
            return None
        workspace, channel = origin.installation.workspace, origin.channel
        rows = await self._database.read(
            "SELECT file, thread FROM slack_files WHERE workspace = ? AND channel = ?"
            " AND (thread IS NULL OR thread = ?) ORDER BY seen_at DESC LIMIT ?",
            (workspace, channel, origin.thread_ts, MOST_ASKED),
        )
        for row in rows:
            thread = row["thread"]
            if thread is None:
                known = await self._info(origin, row["file"])
                if not known:
                    continue
                thread = _thread(known, channel) if _is_picture(known) else ""
                await self.saw(origin, row["file"], thread)
            if thread == origin.thread_ts:
                return str(row["file"])
        return None

    async def saw(self, origin: Origin, file: str, thread: str | None) -> None:
        """Note a file; `thread` is None where that is not known, and empty where it has none."""
        now = self._clock.now()
        row = (origin.installation.workspace, origin.channel, file, thread, now)

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT INTO slack_files (workspace, channel, file, thread, seen_at)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (workspace, channel, file)"
                " DO UPDATE SET thread = coalesce(excluded.thread, thread)",
                row,
            )
            await connection.execute(
                "DELETE FROM slack_files WHERE seen_at < ?", (now - KEPT_SECONDS,)
            )

        await self._database.write("slack_file", work)

    async def _info(self, origin: Origin, file: str) -> dict[str, Any]:
        """Return what Slack says of a file, or nothing if it does not say."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.asking(origin.team, origin.enterprise)
                told = await client.files_info(file=file)
        except (*WIRE_ERRORS, DeliveryError):
            return {}
        return dict(told.get("file") or {})


def _is_picture(file: Mapping[str, Any]) -> bool:
    return str(file.get("mimetype", "")).startswith("image/")


def _thread(file: Mapping[str, Any], channel: str) -> str:
    """Return the thread that a file was shared in; a message is the beginning of its own."""
    shares = file.get("shares") or {}
    for places in shares.values():
        for share in places.get(channel, ()):
            return str(share.get("thread_ts") or share.get("ts") or "")
    return ""
