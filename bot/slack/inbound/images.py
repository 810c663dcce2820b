"""Reference images: fetched from Slack's own hosts, with the right token, up to a size."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from bot.slack.address import Address
from bot.slack.api.calls import Calls, slack_code
from bot.slack.api.errors import WIRE_ERRORS
from bot.slack.api.file_access import STUB, is_uploading, refusal, refusal_by_code
from bot.slack.hosts import is_slacks
from inference.clock import Clock
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import Job
from inference.media.results import ImageLimits

PATIENCE_SECONDS = 30.0
"""Preparing a job can wait for room."""

RETRY_SECONDS = (1.0, 3.0, 10.0)
"""Waits between tries while Slack does not answer."""

MOST_REDIRECTS = 3

_CHUNK = 2**16
_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=30, sock_read=30)
_FILE_ID = re.compile(r"F[A-Z0-9]{1,30}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _Uploading(Exception):
    """Slack does not have all of a file yet."""


class SlackImages:
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
        for pause in (*RETRY_SECONDS, None):
            try:
                await self._fetch(Address(**job.address), image, target)
            except DeliveryError as error:
                if pause is None or not error.transient:
                    raise UserError("image.fetch_failed") from error
                await self._clock.sleep(error.retry_after or pause)
            except _Uploading as error:
                if pause is None:
                    raise UserError("image.uploading") from error
                await self._clock.sleep(pause)
            except WIRE_ERRORS as error:
                if pause is None:
                    raise UserError("image.fetch_failed") from error
                await self._clock.sleep(pause)
            else:
                return

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
            raise self._too_large()
        url = file.get("url_private_download") or file.get("url_private")
        if not url and file.get("file_access") == STUB:
            raise UserError("image.not_visible")
        if not url and is_uploading(file):
            raise _Uploading
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
                await self._save(response, target)
                return
        raise UserError("image.fetch_failed")

    async def _save(self, response: aiohttp.ClientResponse, target: Path) -> None:
        received = 0
        # A file that a thread opens is lost when this is cancelled meanwhile.
        with target.open("wb") as file:
            async for chunk in response.content.iter_chunked(_CHUNK):
                received += len(chunk)
                if received > self._limits.file_bytes:
                    raise self._too_large()
                await asyncio.to_thread(file.write, chunk)

    def _too_large(self) -> UserError:
        return UserError("image.too_large", limit_mb=self._limits.file_bytes // 2**20)
