"""Reference images on Slack: found in messages and threads, fetched from Slack's own hosts.

A channel's history is never read. The ids of files in Slack's events are kept; which thread a
file is in is asked when an image from that thread is wanted.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import aiosqlite
from yarl import URL

from bot.network.image_download import save, too_large
from bot.slack.address import Address
from bot.slack.api.calls import Calls, slack_code
from bot.slack.api.clients import Clients, problem
from bot.slack.api.errors import WIRE_ERRORS, delivery_error
from bot.slack.api.file_access import (
    STUB,
    UploadUnfinished,
    is_picture,
    is_uploading,
    refusal,
    refusal_by_code,
)
from bot.slack.hosts import is_slacks
from bot.slack.origin import Origin
from inference.clock import Clock
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import Job
from inference.media.results import ImageLimits
from inference.retries import retry
from inference.store.sqlite.database import Database

KEPT_SECONDS = 7 * 86_400.0

MOST_ASKED = 10
"""Files that are looked into for one request, newest first."""

LOOKUP_SECONDS = 3.0

UPLOADING_TRIES = 5
UPLOADING_SECONDS = 0.5
"""Before the second look at a file that is still on its way to Slack."""

PATIENCE_SECONDS = 30.0
"""Preparing a job can wait for room."""

TRIES = 4
FIRST_SECONDS = 2.0
"""After a try that Slack did not answer."""

MOST_REDIRECTS = 3

_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=30, sock_read=30)
_FILE_ID = re.compile(r"F[A-Z0-9]{1,30}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ImageFinder:
    """Finds the image that a request refers to."""

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
                    known = await self._wait_for_upload(
                        origin, str(file.get("id")), patient=patient
                    )
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
        """Return the newest picture of the message's thread, if it was seen."""
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

    async def _wait_for_upload(
        self, origin: Origin, file: str, *, patient: bool
    ) -> Mapping[str, Any]:
        """Return Slack's metadata of a file once its upload is complete.

        Raises:
            UserError: `image.uploading`, `image.unknown`, or why it cannot be used.
        """

        async def look() -> Mapping[str, Any]:
            known = await self._info(origin, file)
            if is_uploading(known):
                raise UploadUnfinished
            return known

        try:
            return await retry(
                look,
                again=lambda error: isinstance(error, UploadUnfinished),
                tries=UPLOADING_TRIES if patient else 1,
                first=UPLOADING_SECONDS,
                clock=self._clock,
            )
        except UploadUnfinished as error:
            raise UserError("image.uploading") from error
        except DeliveryError as error:
            raise UserError("image.unknown") from error

    async def _info(self, origin: Origin, file: str) -> Mapping[str, Any]:
        """Return Slack's metadata of a file.

        Raises:
            UserError: `image.*`: it says that the file is gone or not for us.
            DeliveryError: It cannot be asked now.
        """
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.connect_with_retries(origin.team, origin.enterprise)
                told = await client.files_info(file=file)
        except WIRE_ERRORS as error:
            reason = refusal_by_code(problem(error))
            raise reason or delivery_error(error) from error
        found: Mapping[str, Any] = told.get("file") or {}
        return found


class ImageFetcher:
    """Fetches the images that came with a command, by the id of their file; see `ImageSource`."""

    def __init__(
        self,
        calls: Calls,
        clock: Clock,
        *,
        limits: ImageLimits = ImageLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._limits = limits

    async def fetch(self, job: Job, image: str, target: Path) -> None:
        """Write the bytes of the image, a file id, to `target`.

        Raises:
            UserError: `image.*`: it cannot be fetched, or is too large.
        """
        if not _FILE_ID.fullmatch(image):
            raise UserError("image.fetch_failed")
        fetch = partial(self._fetch, Address(**job.address), image, target)
        try:
            await retry(fetch, again=_passes, tries=TRIES, first=FIRST_SECONDS, clock=self._clock)
        except UploadUnfinished as error:
            raise UserError("image.uploading") from error
        except (DeliveryError, *WIRE_ERRORS) as error:
            raise UserError("image.fetch_failed") from error

    async def _fetch(self, address: Address, file_id: str, target: Path) -> None:
        # What events carry may be a mere stub ("check_file_info" in shared channels): always ask.
        try:
            answer = await self._calls.call(
                address, "files.info", patience=PATIENCE_SECONDS, file=file_id
            )
        except DeliveryError as error:
            raise refusal_by_code(slack_code(error)) or error from error
        file: dict[str, Any] = answer.get("file") or {}
        if (reason := refusal(file)) is not None:
            raise reason
        if int(file.get("size") or 0) > self._limits.file_bytes:
            raise too_large(self._limits)
        url = file.get("url_private_download") or file.get("url_private")
        if not url and file.get("file_access") == STUB:
            raise UserError("image.not_visible")
        if not url and is_uploading(file):
            raise UploadUnfinished
        if not url:
            raise UserError("image.fetch_failed")
        client = await self._calls.clients.of(address.team, address.enterprise)
        await self._download(URL(url), f"Bearer {client.token}", target)

    async def _download(self, url: URL, authorization: str, target: Path) -> None:
        session = self._calls.clients.session
        for _ in range(MOST_REDIRECTS + 1):
            if not is_slacks(url, self._calls.clients.api_base_url):
                raise UserError("image.fetch_failed")
            async with session.get(
                url,
                headers={"Authorization": authorization},
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                if response.status in _REDIRECTS:
                    url = url.join(URL(response.headers.get("Location", "")))
                    continue
                response.raise_for_status()
                if response.content_type == "text/html":  # a login page, with status 200
                    raise UserError("image.fetch_failed")
                await save(response, target, self._limits)
                return
        raise UserError("image.fetch_failed")


def _passes(error: Exception) -> bool:
    """Whether another try may do better."""
    if isinstance(error, DeliveryError):
        return error.transient
    return isinstance(error, (UploadUnfinished, *WIRE_ERRORS))


def _files(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from message.get("files") or ()
    for shared in message.get("attachments") or ():
        yield from shared.get("files") or ()


def _thread(file: Mapping[str, Any], channel: str) -> str:
    """Return the thread that a file was shared in; a message that is in none begins one."""
    shares = file.get("shares") or {}
    for places in shares.values():
        for share in places.get(channel, ()):
            return str(share.get("thread_ts") or share.get("ts") or "")
    return ""
