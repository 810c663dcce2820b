"""Finds reference pictures: of a message, or the last one of a thread.

A channel's history is never read. What Slack tells of by itself is noted, as ids; which thread a
file is in is asked when somebody wants a picture from that thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import aiosqlite

from bot.slack.api.clients import Clients, problem
from bot.slack.api.errors import WIRE_ERRORS, delivery_error
from bot.slack.api.file_access import STUB, is_picture, is_uploading, refusal, refusal_by_code
from bot.slack.origin import Origin
from inference.clock import Clock
from inference.domain.errors import DeliveryError, UserError
from inference.store.sqlite.database import Database

KEPT_SECONDS = 7 * 86_400.0

MOST_ASKED = 10
"""Files that are looked into for one request, newest first."""

LOOKUP_SECONDS = 3.0

UPLOADING_SECONDS = (0.5, 1.0, 2.0, 3.0)
"""Waits for a file that is still on its way to Slack."""


class Pictures:
    """Finds the picture that somebody means."""

    def __init__(self, database: Database, clients: Clients, clock: Clock) -> None:
        self._database = database
        self._clients = clients
        self._clock = clock

    async def in_message(
        self, origin: Origin, message: Mapping[str, Any], *, patient: bool = True
    ) -> str | None:
        """Return the first picture among the files of a message, or None if none was meant as one.

        Args:
            origin: Who means it.
            message: As Slack writes it; its own files come before those of messages that it shares.
            patient: Whether to wait for files that Slack does not have yet.

        Raises:
            UserError: `image.*`: there is none, and one of the files cannot be looked at.
        """
        reason: UserError | None = None
        for file in _files(message):
            known: Mapping[str, Any] = file
            try:
                if refusal(file) is None and (
                    file.get("file_access") == STUB or is_uploading(file)
                ):
                    known = await self._arrived(origin, str(file.get("id")), patient=patient)
            except UserError as error:
                reason = reason or error
                continue
            if is_picture(known):
                return str(file["id"])
            reason = reason or refusal(known)
        if reason is not None:
            raise reason
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
            file, thread = row["file"], row["thread"]
            try:
                known = await self._info(origin, file)
            except UserError:  # deleted since, or not for us
                continue
            except DeliveryError:  # it cannot be asked; what was learned before is good
                if thread is None:
                    continue
            else:
                if thread is None:
                    thread = _thread(known, channel) if is_picture(known) else ""
                    await self.saw(origin, file, thread)
                if not is_picture(known):
                    continue
            if thread == origin.thread_ts:
                return str(file)
        return None

    async def saw(self, origin: Origin, file: str, thread: str | None) -> None:
        """Note a file; `thread` is None where that is not known, and empty where it has none."""
        now = self._clock.now()
        row = (origin.installation.workspace, origin.channel, file, thread, now)

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT INTO slack_files (workspace, channel, file, thread, seen_at)"
                # After what was seen before, also when the clock was set back in between.
                " SELECT ?1, ?2, ?3, ?4, max(?5, coalesce(max(seen_at) + 0.001, 0))"
                " FROM slack_files WHERE workspace = ?1 AND channel = ?2"
                " ON CONFLICT (workspace, channel, file)"
                " DO UPDATE SET thread = coalesce(excluded.thread, thread)",
                row,
            )
            await connection.execute(
                "DELETE FROM slack_files WHERE seen_at < ?", (now - KEPT_SECONDS,)
            )

        await self._database.write("slack_file", work)

    async def _arrived(self, origin: Origin, file: str, *, patient: bool) -> Mapping[str, Any]:
        """Return what Slack says of a file, once it has all of it.

        Raises:
            UserError: `image.uploading`, `image.unknown`, or why it cannot be used.
        """
        for pause in (*(UPLOADING_SECONDS if patient else ()), None):
            try:
                known = await self._info(origin, file)
            except DeliveryError as error:
                raise UserError("image.unknown") from error
            if not is_uploading(known):
                return known
            if pause is not None:
                await self._clock.sleep(pause)
        raise UserError("image.uploading")

    async def _info(self, origin: Origin, file: str) -> Mapping[str, Any]:
        """Return what Slack says of a file.

        Raises:
            UserError: `image.*`: it says that the file is gone or not for us.
            DeliveryError: It cannot be asked now.
        """
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.asking(origin.team, origin.enterprise)
                told = await client.files_info(file=file)
        except WIRE_ERRORS as error:
            reason = refusal_by_code(problem(error))
            raise reason or delivery_error(error) from error
        found: Mapping[str, Any] = told.get("file") or {}
        return found


def _files(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from message.get("files") or ()
    for shared in message.get("attachments") or ():
        yield from shared.get("files") or ()


def _thread(file: Mapping[str, Any], channel: str) -> str:
    """Return the thread that a file was shared in; a message is the beginning of its own."""
    shares = file.get("shares") or {}
    for places in shares.values():
        for share in places.get(channel, ()):
            return str(share.get("thread_ts") or share.get("ts") or "")
    return ""
