"""Uploads files to Slack, and shares each exactly once, also after crashes and lost answers.

The id of a file is kept before the call that shares it; afterwards Slack is asked whether the file
is there. A try that was interrupted is taken up where its trace says that it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import structlog

from bot.platform import Remember
from bot.slack.address import Address
from bot.slack.api.calls import Calls, slack_code
from bot.slack.api.errors import WIRE_ERRORS, by_status, delivery_error
from commands.text.card import Attachment
from inference import crash_points
from inference.clock import Clock
from inference.domain.errors import DeliveryError
from inference.domain.untrusted_text import cut

PATIENCE_SECONDS = 60.0
"""An upload is worth waiting for room in the middle of it."""

SETTLE_SECONDS = (0.3, 0.7, 1, 2, 3, 5, 8, 10)
"""Waits between looks at a completed file: Slack shares it some time after saying so.

No `backoff`: nothing failed, and the looks are to end after half a minute.
"""

UNSEEN = ""
"""Instead of a message's `ts`: shared as far as Slack said, but it does not let us look."""

MOST_COMPLETIONS = 2
"""A file that was not shared is completed once again; after that only its link is of use."""

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
"""Suffixes of files that Slack keeps a description of, for people who do not see them."""

MAX_TITLE = 200
"""Characters of a file's title."""

_UPLOAD_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where messages go."""

    channel: str
    thread_ts: str | None = None
    """The message that the thread hangs on; never a reply's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """A file on Slack, with the message that shows it."""

    file_id: str
    ts: str | None
    """Of the message that shows it, `UNSEEN` where Slack does not show it; None: no message
    does, and people need the link."""
    link: str | None = None


class Files:
    """Uploads, shares and deletes files."""

    def __init__(
        self, calls: Calls, clock: Clock, *, settle_seconds: Sequence[float] = SETTLE_SECONDS
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._settle_seconds = settle_seconds

    async def share(
        self,
        address: Address,
        target: Destination,
        attachment: Attachment,
        comment: str,
        *,
        trace: Mapping[str, Any],
        remember: Remember,
    ) -> SharedFile:
        """Share a file with a comment, and see that it is there.

        Args:
            address: Whose workspace it is.
            target: Where to.
            attachment: The file.
            comment: Shown with it; markup.
            trace: What earlier tries remembered: `file_id`, how often completing it was `asked`
                for and may have worked, and once it was seen the `shared_ts` of its message.
            remember: Commits the trace.

        Raises:
            DeliveryError: To be called again with what was remembered, if `transient`.
        """
        file_id: str | None = trace.get("file_id")
        if file_id is not None and trace.get("shared_ts") is not None:
            return SharedFile(file_id=file_id, ts=trace["shared_ts"])
        asked: int = trace.get("asked", 0)
        if file_id is None:
            file_id, asked = await self.upload(address, attachment), 0
            crash_points.point("after:slack_upload")
        completed = False
        for count in range(asked, MOST_COMPLETIONS + 1):
            ts = None
            if count:
                ts = await self._shared_ts(address, file_id, target.channel, completed=completed)
            if ts is not None:
                await remember({"file_id": file_id, "asked": count, "shared_ts": ts})
                return SharedFile(file_id=file_id, ts=ts)
            if count == MOST_COMPLETIONS:
                break
            await remember({"file_id": file_id, "asked": count + 1})
            crash_points.point("before:slack_complete")
            try:
                await self.complete(
                    address, file_id, title=attachment.description, target=target, comment=comment
                )
            except DeliveryError as error:
                if count and not error.transient:  # the reservation was good for once
                    break
                await self._stop(file_id, count, error, remember)
            completed = True
            crash_points.point("after:slack_complete")
        try:
            link = str((await self._info(address, file_id)).get("permalink", ""))
        except DeliveryError as error:
            await self._stop(file_id, MOST_COMPLETIONS, error, remember)
        return SharedFile(file_id=file_id, ts=None, link=link)

    async def upload(self, address: Address, attachment: Attachment) -> str:
        """Upload a file without sharing it yet, and return its id.

        Raises:
            DeliveryError: `delivery.too_large` among others; nothing is left over that matters.
        """
        size = (await asyncio.to_thread(attachment.path.stat)).st_size
        reserved = await self._calls.call(
            address,
            "files.getUploadURLExternal",
            patience=PATIENCE_SECONDS,
            filename=attachment.name,
            length=size,
            alt_txt=attachment.description if attachment.path.suffix in _PICTURES else None,
        )
        await self._fill(reserved["upload_url"], attachment.path)
        return str(reserved["file_id"])

    async def complete(
        self, address: Address, file_id: str, *, title: str, target: Destination, comment: str
    ) -> None:
        """Finish a filled file, and share it with a comment (markup).

        Raises:
            DeliveryError: Only `slack.unreachable` leaves open whether it was shared.
        """
        await self._calls.call(
            address,
            "files.completeUploadExternal",
            patience=PATIENCE_SECONDS,
            files=[{"id": file_id, "title": cut(title, MAX_TITLE)}],
            channel_id=target.channel,
            thread_ts=target.thread_ts,
            initial_comment=comment,
        )

    async def is_shown_in(self, address: Address, file_id: str, channel: str) -> bool:
        """Whether a file is a picture that Slack has processed and shows in a channel.

        Only such a one can be part of another message there.

        Raises:
            DeliveryError: Slack does not say.
        """
        file = await self._info(address, file_id)
        is_picture = str(file.get("mimetype") or "").startswith("image/")
        return is_picture and any(True for _ in _shares(file, channel))

    async def delete(self, address: Address, file_id: str) -> None:
        """Delete a file everywhere; one that is gone already is fine.

        Raises:
            DeliveryError: It stays.
        """
        try:
            await self._calls.call(address, "files.delete", file=file_id)
        except DeliveryError as error:
            if slack_code(error) not in {"file_not_found", "file_deleted"}:
                raise

    async def _shared_ts(
        self, address: Address, file_id: str, channel: str, *, completed: bool
    ) -> str | None:
        """Wait for a completed file to be in a channel.

        Args:
            address: Whose workspace it is.
            file_id: The file.
            channel: Where it was shared to.
            completed: Whether Slack said that it completed the file, so that its word can be
                taken where it does not let us look.

        Returns:
            The `ts` of the message that brought it, `UNSEEN`, or None if it never came.

        Raises:
            DeliveryError: Transient: Slack cannot be asked now. `delivery.unseen`: it does not let
                us look, and the file may or may not be there.
        """
        named = False
        for pause in (0.0, *self._settle_seconds):
            await self._clock.sleep(pause)
            try:
                file = await self._info(address, file_id)
            except DeliveryError as error:
                if error.transient:
                    raise
                if slack_code(error) != "file_not_found":  # not yet, as long as it is processed
                    _log.warning("slack.share_unseen", error=slack_code(error))
                    if not completed:
                        raise DeliveryError(
                            "delivery.unseen", transient=False, passing=True
                        ) from error
                    return UNSEEN
            else:
                for share in _shares(file, channel):
                    return str(share.get("ts", UNSEEN))
                named = channel in _channels(file)
        return UNSEEN if named else None

    async def _stop(
        self, file_id: str, asked: int, error: DeliveryError, remember: Remember
    ) -> NoReturn:
        """Note how many completions may have worked, and raise what stopped it."""
        if error.code == "slack.unreachable":  # it may have: that is what is noted already
            raise error
        if slack_code(error) == "file_not_found":  # the reservation ran out: start again
            await remember({"file_id": None, "asked": 0})
            raise DeliveryError("slack.upload_lost", transient=True) from error
        await remember({"file_id": file_id, "asked": asked})
        raise error

    async def _info(self, address: Address, file_id: str) -> dict[str, Any]:
        answer = await self._calls.call(
            address, "files.info", patience=PATIENCE_SECONDS, file=file_id
        )
        file: dict[str, Any] = answer.get("file") or {}
        return file

    async def _fill(self, url: str, path: Path) -> None:
        """Send the bytes; aiohttp reads the file in a thread."""
        session = self._calls.clients.session
        headers = {"Content-Type": "application/octet-stream"}
        file = await asyncio.to_thread(path.open, "rb")
        try:
            async with session.post(
                url, data=file, headers=headers, timeout=_UPLOAD_TIMEOUT
            ) as response:
                if not response.ok:
                    raise by_status(response.status, response.headers.get("Retry-After"))
        except WIRE_ERRORS as error:
            raise delivery_error(error) from error
        finally:
            await asyncio.to_thread(file.close)


def _shares(file: dict[str, Any], channel: str) -> Iterator[dict[str, Any]]:
    """Yield the messages of a channel that show a file, as `files.info` tells it."""
    for visibility in ("public", "private"):
        yield from ((file.get("shares") or {}).get(visibility) or {}).get(channel, ())


def _channels(file: dict[str, Any]) -> list[str]:
    """Return where a file is; without the messages, which are told apart from it."""
    return [id_ for kind in ("channels", "groups", "ims") for id_ in file.get(kind) or ()]
