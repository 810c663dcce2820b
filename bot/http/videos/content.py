"""Files of finished videos: the clip, a still of it, or a sheet of stills."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from enum import StrEnum
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from bot.http.error_responses import error_json
from bot.platform import Services
from commands.context import Call
from commands.handlers.queue import check_shown
from inference.domain.errors import EngineError, UserError
from inference.domain.job import Job

FOLDER = "stills"
"""Beside the clip; it goes with it."""

SHEET = "sheet.jpg"

STILL = ".jpg"
"""Suffix of stills."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FEW_RANGES = 8
"""So many at once are no attack."""

Found = TypeVar("Found")

TYPES = {".mp4": "video/mp4", ".png": "image/png", STILL: "image/jpeg"}


class Variant(StrEnum):
    """A file of a video that can be fetched."""

    VIDEO = "video"
    THUMBNAIL = "thumbnail"
    SPRITESHEET = "spritesheet"


ENDS = {Variant.VIDEO: "", Variant.THUMBNAIL: "", Variant.SPRITESHEET: "-sheet"}
"""Of the names of files, so that the two pictures of a video are not saved as one."""


class Content:
    """Finds or makes the files."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._making = asyncio.Lock()

    async def file(self, call: Call, job: Job, variant: Variant) -> Path:
        """Return a file of a finished job.

        Raises:
            UserError: `job.files_expired`, or `safety.age_restricted`.
            EngineError: A still cannot be made.
        """
        file = await asyncio.to_thread(self._services.jobs.files, job)
        if file is None:
            raise UserError("job.files_expired", job=job.id)
        check_shown(call, job)
        return file if variant is Variant.VIDEO else await self._still(job, file, variant)

    async def read(self, call: Call, job: Job, variant: Variant) -> bytes:
        """Return the bytes of a file of a finished job. Raises as `file`."""
        return await _read_present(job, (await self.file(call, job, variant)).read_bytes)

    async def size(self, call: Call, job: Job) -> int:
        """Return how many bytes the file of a finished job has. Raises as `file`."""
        file = await self.file(call, job, Variant.VIDEO)
        return await _read_present(job, lambda: file.stat().st_size)

    async def response(
        self, request: web.Request, call: Call, job: Job, variant: Variant
    ) -> web.StreamResponse:
        """Return a file of a finished job; Range and ETag are honoured. Raises as `file`."""
        file = await self.file(call, job, variant)
        if (wanted := request.headers.get("If-Range")) is not None:
            found = await _read_present(job, file.stat)
            changed = formatdate(math.ceil(found.st_mtime), usegmt=True)
            if wanted not in (f'"{found.st_mtime_ns:x}-{found.st_size:x}"', changed):
                # aiohttp takes any later date, and text that is no date: it sends all of what was
                # changed since.
                request._cache["if_range"] = EPOCH  # noqa: SLF001 - nothing public says so
        asked = request.headers.copy()
        ranges = _range(asked.popall("Range", []))
        if ranges is not None and request.method == "GET":  # HEAD has none
            asked["Range"] = ranges
        request._headers = request.clone(headers=asked).headers  # noqa: SLF001 - as above
        headers = {
            "Content-Type": TYPES.get(file.suffix, "application/octet-stream"),
            "Content-Disposition": f'attachment; filename="{job.id}{ENDS[variant]}{file.suffix}"',
            "Cache-Control": "private, no-cache",
        }
        return _File(file, job=job, locale=call.locale, headers=headers)

    async def _still(self, job: Job, clip: Path, variant: Variant) -> Path:
        """Return the still or the sheet, made at the first time.

        Raises:
            EngineError: It cannot be made.
        """
        media, folder = self._services.media, clip.parent / FOLDER
        if media is None:
            raise EngineError("media.unavailable", transient=True)
        async with self._making:  # the media process has one lane anyway
            if not await asyncio.to_thread((folder / SHEET).is_file):
                try:
                    await media.sheet(clip, folder, SHEET)
                except EngineError:
                    if await asyncio.to_thread(clip.is_file):
                        raise
                    raise UserError("job.files_expired", job=job.id) from None
            stills = await asyncio.to_thread(lambda: sorted(folder.glob(f"[0-9]*{STILL}")))
        if variant is Variant.SPRITESHEET:
            return folder / SHEET
        if not stills:
            raise UserError("job.files_expired", job=job.id)
        return stills[len(stills) // 2]


async def _read_present(job: Job, read: Callable[[], Found]) -> Found:
    """Read a file of a job in a thread; it may have been deleted meanwhile.

    Raises:
        UserError: `job.files_expired`.
    """
    try:
        return await asyncio.to_thread(read)
    except FileNotFoundError:
        raise UserError("job.files_expired", job=job.id) from None


class _File(web.FileResponse):
    """A file; where aiohttp sends none, with an empty body, the answer is an error as others."""

    def __init__(self, file: Path, *, job: Job, locale: str, headers: dict[str, str]) -> None:
        super().__init__(file, headers=headers)
        self._job = job
        self._locale = locale
        self._opened: BufferedReader | None = None
        """Until aiohttp sends it, and closes it then."""
        self._left = False
        """Whether the client left before that."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file, unless it was sent: aiohttp asks for each answer once more."""
        if self.prepared:
            return None
        try:
            return await super().prepare(request)
        except asyncio.CancelledError:
            self._left = True
            self._close_unsent()
            raise

    def _make_response(self, request: web.BaseRequest, accept_encoding: str) -> Any:
        """Open the file, in a thread: nothing else closes it if the client leaves meanwhile."""
        result = super()._make_response(request, accept_encoding)
        self._opened = result[1]
        if self._left:
            self._close_unsent()
        return result

    async def _prepare_open_file(
        self, request: web.BaseRequest, fobj: BufferedReader, *found: Any
    ) -> AbstractStreamWriter | None:
        self._opened = None
        return await super()._prepare_open_file(request, fobj, *found)

    def _close_unsent(self) -> None:
        if self._opened is not None:
            self._opened.close()

    async def _start(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send the headers, and the error if there is one."""
        if self.status < HTTPStatus.BAD_REQUEST:
            return await super()._start(request)
        body = json.dumps({"error": error_json(self._problem(), self._locale)}).encode()
        del self.headers["Content-Disposition"]
        self.content_type, self.charset = "application/json", "utf-8"
        self.content_length = len(body)
        writer = await super()._start(request)
        if request.method != "HEAD":
            await writer.write(body)
        return writer

    def _problem(self) -> UserError:
        if self.status == HTTPStatus.PRECONDITION_FAILED:
            return UserError("http.precondition")
        if self.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return UserError("http.file_range")
        return UserError("job.files_expired", job=self._job.id)  # deleted a moment ago


def _range(given: list[str]) -> str | None:
    """Return the header by which aiohttp answers a request for ranges rightly, if there is one.

    It knows one range, and 416 for all else, where a unit that is unknown has to be ignored and
    several ranges may be; and it takes the last 0 bytes for all of them.
    https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    """
    unit, _, ranges = ",".join(given).partition("=")
    if unit.strip().lower() != "bytes" or 0 < ranges.count(",") < FEW_RANGES:
        return None
    return "bytes=-" if re.fullmatch(r"-0+", ranges) else f"bytes={ranges}"
